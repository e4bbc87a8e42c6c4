"""Both sides of a C-GET at once: what is proposed, and taking what the archive sends (PS3.4 C.4.3).

Called by `dimse`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom import build_context, build_role, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from workbench.pacs.arrivals import Arrivals
from workbench.pacs.association import MOST_CONTEXTS
from workbench.pacs.matches import Instance
from workbench.pacs.sopclasses import STORAGE, TRANSFER_SYNTAXES

FEW_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless)
"""Proposed where the archive does not say which classes a series holds: every class has to fit in."""
_SUCCESS, _OUT_OF_RESOURCES, _NOT_ASKED_FOR = 0x0000, 0xA700, 0xA900


def proposal(
    wanted: Sequence[Instance],
) -> tuple[list[PresentationContext], list[SCP_SCU_RoleSelectionNegotiation]]:
    """Contexts and roles under which the archive can send these instances as they are stored.

    One context for each class and transfer syntax, so that nothing need be converted; room is left for the
    context of C-GET itself.
    """
    named = [UID(one) for one in dict.fromkeys(instance.sop_class for instance in wanted)]
    known = all(named)
    classes: Sequence[UID] = named if known else STORAGE
    syntaxes = TRANSFER_SYNTAXES if known else FEW_SYNTAXES
    contexts = [build_context(one, syntax) for one in classes for syntax in syntaxes]
    return contexts[: MOST_CONTEXTS - 1], [build_role(one, scp_role=True) for one in classes]


class Received:
    """Takes what the archive sends during a C-GET, and breaks off what passes every limit."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._pending = 0

    def handlers(self) -> list[EventHandlerType]:
        """For the association."""
        return [(evt.EVT_C_STORE, self._store), (evt.EVT_DATA_RECV, self._count)]

    def _store(self, event: Event) -> int:
        self._pending = 0
        assert isinstance(event.request, C_STORE)
        uid = str(event.request.AffectedSOPInstanceUID)
        if self._arrivals.take(uid, [event.encoded_dataset()]) is not None:
            return _SUCCESS
        return _OUT_OF_RESOURCES if self._arrivals.full else _NOT_ASKED_FOR

    def _count(self, event: Event) -> None:
        """An instance is held in memory until it is whole, so its size is watched as it comes."""
        self._pending += len(event.data)
        if self._pending > self._arrivals.inbox.limits.bytes + 2**20:
            self._arrivals.full = True
            event.assoc.abort(block=False)
