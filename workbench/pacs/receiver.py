"""The storage receiver: what an archive moves to us (C-MOVE) or a modality sends lands in a folder.

Verification and storage SCP (PS3.4 annexes A and B). Only titles on the list may call, and only up to the
limits; the address is this machine's own unless the archives file says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from workbench.errors import PacsError
from workbench.pacs import association as _association  # noqa: F401 - silences the library's log
from workbench.pacs.archive import Limits
from workbench.pacs.config import ReceiverSettings
from workbench.pacs.inbox import Inbox, InboxFull
from workbench.pacs.sopclasses import STORAGE, TRANSFER_SYNTAXES
from workbench.pacs.tls import server_context

_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_SLACK = 2**20


class Receiver:
    """Receives into `inbox` from the moment it is made; see `listening`.

    Args:
        settings: of the archives file.
        folder: made private; must be empty.
        arrived: called with the number of files so far after each one.
    """

    def __init__(
        self, settings: ReceiverSettings, folder: Path, arrived: Callable[[int], None] = lambda files: None
    ) -> None:
        self.inbox = Inbox("receiver", folder, Limits(settings.instances, settings.bytes))
        self.refused = 0
        self._arrived = arrived
        self._pending: dict[int, int] = {}

    def handlers(self) -> list[EventHandlerType]:
        """For the server."""
        return [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_DATA_RECV, self._count),
            (evt.EVT_CONN_CLOSE, self._forget),
        ]

    def _store(self, event: Event) -> int:
        self._pending[id(event.assoc)] = 0
        try:
            self.inbox.write([event.encoded_dataset()])
        except InboxFull:
            self.refused += 1
            return _OUT_OF_RESOURCES
        except OSError:
            self.refused += 1
            return _CANNOT_UNDERSTAND
        self._arrived(len(self.inbox.files))
        return _SUCCESS

    def _count(self, event: Event) -> None:
        """An instance is held in memory until it is whole: one that cannot fit any more is broken off."""
        caller = id(event.assoc)
        self._pending[caller] = self._pending.get(caller, 0) + len(event.data)
        if self._pending[caller] > self.inbox.limits.bytes - self.inbox.bytes + _SLACK:
            self.refused += 1
            self._pending[caller] = 0
            event.assoc.abort(block=False)

    def _forget(self, event: Event) -> None:
        self._pending.pop(id(event.assoc), None)


@contextmanager
def listening(
    settings: ReceiverSettings, folder: Path, arrived: Callable[[int], None] = lambda files: None
) -> Iterator[Receiver]:
    """A receiver that listens until the block ends.

    Raises:
        PacsError: the folder or a certificate cannot be used, or the address is taken.
    """
    tls = server_context(settings)
    entity = AE(ae_title=settings.title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = settings.timeout
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.calling)
    entity.add_supported_context(Verification, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    for sop_class in STORAGE:
        entity.add_supported_context(sop_class, list(TRANSFER_SYNTAXES))
    receiver = Receiver(settings, folder, arrived)
    try:
        server = entity.start_server(
            (settings.host, settings.port), block=False, ssl_context=tls, evt_handlers=receiver.handlers()
        )
    except OSError as error:
        raise PacsError(
            "receiver",
            f"It cannot listen on port {settings.port}: {error.strerror}.",
            "Choose another `port` or `host`, or stop what uses it.",
        ) from error
    try:
        yield receiver
    finally:
        if server is not None:
            server.shutdown()
