"""An archive that speaks DIMSE: C-ECHO, C-FIND, C-GET and C-STORE through pynetdicom.

PS3.4 annexes A (verification), B (storage) and C (query/retrieve, study root).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    Verification,
)

from workbench.errors import PacsError
from workbench.imaging.dicomfile import quiet
from workbench.pacs.archive import (
    Failure,
    Limits,
    Progress,
    Query,
    Retrieved,
    Selection,
    SeriesMatch,
    Stored,
    StudyMatch,
    fits_series,
    fits_study,
    is_uid,
    no_progress,
)
from workbench.pacs.arrivals import Arrivals
from workbench.pacs.association import MOST_CONTEXTS, associated, broken, no_context
from workbench.pacs.cget import Received, proposal
from workbench.pacs.config import DimseSettings
from workbench.pacs.matches import (
    INSTANCE_KEYS,
    SERIES_KEYS,
    STUDY_KEYS,
    Instance,
    by_number,
    series_filters,
    series_match,
    study_filters,
    study_match,
)
from workbench.pacs.part10 import Part10, read_part10
from workbench.pacs.tls import client_context

FIND, GET = StudyRootQueryRetrieveInformationModelFind, StudyRootQueryRetrieveInformationModelGet
_QUERY_SYNTAXES: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_SUCCESS, _PENDING, _WARNINGS = 0x0000, (0xFF00, 0xFF01), (0xB000, 0xB006, 0xB007)
_CANCELLED = 0xFE00
_REFUSALS = {
    0xA700: "it is full",
    0xA900: "it does not match its SOP class",
    0x0122: "it does not take its SOP class",
}
_MOST_ANSWERS, _AT_ONCE = 100_000, 500
"""Answers of one search; instances named in one C-GET, as a list of UIDs holds 64 KiB."""


class DimseArchive:
    """See `Archive`.

    Args:
        name: in the archives file.
        settings: see there.

    Raises:
        PacsError: a certificate file cannot be used.
    """

    def __init__(self, name: str, settings: DimseSettings) -> None:
        self._name, self._settings = name, settings
        self._tls = client_context(name, settings)

    @property
    def name(self) -> str:
        """See `Archive.name`."""
        return self._name

    def echo(self) -> None:
        """See `Archive.echo`."""
        with self._associated([build_context(Verification, _QUERY_SYNTAXES)]) as association:
            status = association.send_c_echo().get("Status")
            if status is None:
                raise broken(self._name, self._settings)
            if status != _SUCCESS:
                raise PacsError(
                    self._name, f"It answers the echo with 0x{status:04X}.", "Ask its administrator."
                )

    @quiet()
    def find_studies(self, query: Query) -> tuple[StudyMatch, ...]:
        """See `Archive.find_studies`."""
        wanted = dict.fromkeys(STUDY_KEYS, "") | study_filters(query)
        found = [
            match
            for match in map(study_match, self._find("STUDY", wanted, query.limit))
            if fits_study(query, match)
        ]
        return tuple(sorted(found, key=lambda match: match.date, reverse=True)[: query.limit])

    @quiet()
    def find_series(self, query: Query) -> tuple[SeriesMatch, ...]:
        """See `Archive.find_series`."""
        wanted = {"StudyInstanceUID": query.study} | dict.fromkeys(SERIES_KEYS, "") | series_filters(query)
        found = [series_match(answer, query.study) for answer in self._find("SERIES", wanted, query.limit)]
        return tuple(sorted((one for one in found if fits_series(query, one)), key=by_number)[: query.limit])

    @quiet()
    def retrieve(
        self,
        selection: Selection,
        folder: Path,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        progress: Progress = no_progress,
    ) -> Retrieved:
        """See `Archive.retrieve`; one C-GET for each series."""
        listing = self._instances(selection)
        arrivals = Arrivals(self._name, listing, folder, limits, progress)
        for series in dict.fromkeys(instance.series for instance in listing):
            of_series = [instance for instance in listing if instance.series == series]
            wanted = arrivals.wanted(of_series)
            whole = len(wanted) == len(of_series)
            size = len(wanted) if whole else _AT_ONCE
            try:
                for at in range(0, len(wanted), size):
                    if not arrivals.full:
                        self._get(selection.study, series, wanted[at : at + size], whole, arrivals)
            except PacsError:
                # What has arrived is kept; the rest is named as missing.
                if not arrivals.inbox.files:
                    raise
                break
        return arrivals.result()

    @quiet()
    def store(self, files: Sequence[Path], progress: Progress = no_progress) -> Stored:
        """See `Archive.store`."""
        failed: list[Failure] = []
        known: list[Part10] = []
        for path in files:
            part10 = read_part10(path)
            if part10 is None:
                failed.append(Failure(path.name, "It is not a DICOM file."))
            else:
                known.append(part10)
        done = len(failed)
        for batch in _batches(known):
            left = list(batch)
            try:
                pairs = dict.fromkeys((file.sop_class, file.transfer_syntax) for file in batch)
                with self._associated([build_context(*pair) for pair in pairs]) as association:
                    for file in batch:
                        if reason := self._send(association, file):
                            failed.append(Failure(file.path.name, reason))
                        left.remove(file)
                        done += 1
                        progress(done, len(files))
            except PacsError as error:
                # What is stored already must not be forgotten over the rest.
                if done == len(failed):
                    raise
                failed += [Failure(file.path.name, error.reason) for file in left]
                done += len(left)
        return Stored(len(files) - len(failed), tuple(failed))

    def _associated(
        self,
        contexts: Sequence[PresentationContext],
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
        handlers: Sequence[EventHandlerType] = (),
    ) -> AbstractContextManager[Association]:
        return associated(self._name, self._settings, self._tls, contexts, roles, handlers)

    def _find(self, level: str, keys: dict[str, str], limit: int) -> Iterator[Dataset]:
        """At most `limit` answers of one C-FIND (PS3.4 C.4.1)."""
        identifier = _identifier(level, keys)
        with self._associated([build_context(FIND, _QUERY_SYNTAXES)]) as association:
            found = 0
            for status, answer in association.send_c_find(identifier, FIND):
                code = self._code(status)
                if code not in _PENDING:
                    if code not in (_SUCCESS, _CANCELLED):
                        raise PacsError(
                            self._name,
                            f"It refuses the search (0x{code:04X}).",
                            "Search for less, or by other keys.",
                        )
                    return
                if answer is None or found >= limit:
                    continue
                yield answer
                found += 1
                if found == limit:
                    association.send_c_cancel(1, query_model=FIND)

    def _code(self, status: Dataset) -> int:
        if "Status" not in status:
            raise broken(self._name, self._settings)
        return int(status.Status)

    def _instances(self, selection: Selection) -> list[Instance]:
        query = Query(study=selection.study, limit=_MOST_ANSWERS)
        wanted = [selection.series] if selection.series else [one.uid for one in self.find_series(query)]
        listing: list[Instance] = []
        for series in wanted:
            keys = {"StudyInstanceUID": selection.study, "SeriesInstanceUID": series}
            for answer in self._find("IMAGE", keys | dict.fromkeys(INSTANCE_KEYS, ""), _MOST_ANSWERS):
                uid = str(answer.get("SOPInstanceUID") or "")
                if is_uid(uid):
                    listing.append(Instance(series, uid, str(answer.get("SOPClassUID") or "")))
        return listing

    def _get(
        self, study: str, series: str, wanted: Sequence[Instance], whole: bool, arrivals: Arrivals
    ) -> None:
        """Retrieve one series (PS3.4 C.4.3); what does not come is left open in `arrivals`."""
        contexts, roles = proposal(wanted)
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
        identifier = _identifier("SERIES", keys)
        if not whole:
            identifier = _identifier("IMAGE", keys | {"SOPInstanceUID": "\\".join(one.uid for one in wanted)})
        received = Received(arrivals)
        with self._associated(
            [build_context(GET, _QUERY_SYNTAXES), *contexts], roles, received.handlers()
        ) as association:
            if not any(context.abstract_syntax == GET for context in association.accepted_contexts):
                raise no_context(self._name, "C-GET")
            for status, _ in association.send_c_get(identifier, GET):
                if "Status" not in status:
                    if arrivals.full:
                        return
                    raise broken(self._name, self._settings)
                code = int(status.Status)
                if code not in (*_PENDING, _SUCCESS, *_WARNINGS):
                    for instance in arrivals.wanted(wanted):
                        arrivals.fail(instance.uid, f"The archive refused it (0x{code:04X}).")

    def _send(self, association: Association, file: Part10) -> str:
        """Store one file; why it could not be, or empty."""
        pair = (file.sop_class, [file.transfer_syntax])
        if not any(
            (one.abstract_syntax, one.transfer_syntax) == pair for one in association.accepted_contexts
        ):
            return (
                f"The archive does not take {file.sop_class.name} in {file.transfer_syntax.name} "
                "(no presentation context)."
            )
        try:
            status = association.send_c_store(file.path)
        except (ValueError, AttributeError, RuntimeError):
            if not association.is_established:
                raise broken(self._name, self._settings) from None
            return "It is damaged."
        code = self._code(status)
        if code == _SUCCESS or code in _WARNINGS:
            return ""
        return f"The archive refused it: {_REFUSALS.get(code, 'no reason is given')} (0x{code:04X})."


def _identifier(level: str, keys: dict[str, str]) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    if not all(value.isascii() for value in keys.values()):
        identifier.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        setattr(identifier, keyword, value or None)
    return identifier


def _batches(files: Sequence[Part10]) -> Iterator[list[Part10]]:
    """Files for one association each: it has room for so many pairs of class and transfer syntax."""
    batch: list[Part10] = []
    pairs: set[tuple[UID, UID]] = set()
    for file in files:
        pair = (file.sop_class, file.transfer_syntax)
        if pair not in pairs and len(pairs) == MOST_CONTEXTS:
            yield batch
            batch, pairs = [], set()
        batch.append(file)
        pairs.add(pair)
    if batch:
        yield batch
