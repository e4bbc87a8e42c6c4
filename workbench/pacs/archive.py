"""What every archive can do, whatever it speaks: echo, find, retrieve, store.

`dicomweb` and `dimse` implement `Archive`; the command line and the web UI see nothing else. Objects here
that hold what identifies a person keep it out of their ``repr``, so that no log or traceback shows it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from workbench.errors import PacsError

Progress = Callable[[int, int], None]
"""Called with the number of instances done and in all."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_DATE = re.compile(r"[0-9]{8}")


def no_progress(done: int, total: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; empty attributes match everything, and the given ones must all match.

    Attributes:
        patient: PatientID, compared as a whole.
        accession: AccessionNumber, compared as a whole.
        since, until: first and last StudyDate, ``YYYYMMDD``.
        modality: of a series (``CT``, ``MR``, ...), or among those of a study.
        description: StudyDescription of studies, SeriesDescription of series; ``*`` stands for any
            characters and case is ignored.
        study: StudyInstanceUID; given, series of this study are found, otherwise studies.
        limit: most matches returned.

    Raises:
        PacsError: a value cannot be asked for; it is not quoted.
    """

    patient: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)
    since: str = ""
    until: str = ""
    modality: str = ""
    description: str = field(default="", repr=False)
    study: str = field(default="", repr=False)
    limit: int = 100

    def __post_init__(self) -> None:
        for name in ("patient", "accession", "modality"):
            if re.search(r"[*?\\\x00-\x1f]", getattr(self, name)):
                raise PacsError(
                    "query", f"The {name} holds a character with a meaning of its own.", "Give it whole."
                )
        if re.search(r"[\\\x00-\x1f]", self.description):
            raise PacsError(
                "query", "The description holds a backslash or control character.", "Leave it out."
            )
        for name in ("since", "until"):
            if getattr(self, name) and not _DATE.fullmatch(getattr(self, name)):
                raise PacsError("query", f"The date of {name!r} is not one.", "Write it as 20260131.")
        if self.study and not is_uid(self.study):
            raise PacsError("query", "The study is not a DICOM UID.", "Copy it from the list of studies.")
        if self.limit < 1:
            raise PacsError("query", "The limit is below 1.", "Ask for at least one match.")

    @property
    def dates(self) -> str:
        """The range as DICOM matches it (PS3.4 C.2.2.2.5), empty where any date will do."""
        return f"{self.since}-{self.until}" if self.since or self.until else ""


@dataclass(frozen=True, slots=True)
class StudyMatch:
    """A study that was found, as the archive describes it; empty where it does not say.

    Attributes:
        uid: StudyInstanceUID.
        patient: PatientID.
        accession: AccessionNumber.
        date: StudyDate, ``YYYYMMDD``.
        modalities: of its series.
        description: StudyDescription.
        instances: their number, or None.
    """

    uid: str = field(repr=False)
    patient: str = field(repr=False)
    accession: str = field(repr=False)
    date: str
    modalities: tuple[str, ...]
    description: str = field(repr=False)
    instances: int | None


@dataclass(frozen=True, slots=True)
class SeriesMatch:
    """A series that was found.

    Attributes:
        study, uid: StudyInstanceUID and SeriesInstanceUID.
        number: SeriesNumber as text.
        modality: Modality.
        description: SeriesDescription.
        instances: their number, or None.
    """

    study: str = field(repr=False)
    uid: str = field(repr=False)
    number: str
    modality: str
    description: str = field(repr=False)
    instances: int | None


@dataclass(frozen=True, slots=True)
class Selection:
    """What to retrieve: a study, or one series of it.

    Attributes:
        study: StudyInstanceUID.
        series: SeriesInstanceUID, or empty for all.

    Raises:
        PacsError: one of them is no DICOM UID.
    """

    study: str = field(repr=False)
    series: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not is_uid(self.study) or (self.series and not is_uid(self.series)):
            raise PacsError("selection", "It is not a DICOM UID.", "Copy it from what `pacs find` lists.")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be received.

    Attributes:
        instances: most files.
        bytes: most bytes in all.
    """

    instances: int = 20_000
    bytes: int = 8 * 2**30


@dataclass(frozen=True, slots=True)
class Failure:
    """One instance that could not be retrieved or stored.

    Attributes:
        what: the file's name, or which of the selection's instances (``instance 7 of 20``): UIDs are
            identifiers.
        reason: one sentence.
    """

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What came of a retrieval.

    Attributes:
        files: in the folder, as they arrived.
        bytes: their total size.
        failed: instances that did not arrive; the others are kept.
    """

    files: tuple[Path, ...]
    bytes: int
    failed: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """What came of sending files.

    Attributes:
        count: instances the archive has accepted.
        failed: those it did not.
    """

    count: int
    failed: tuple[Failure, ...]


class Archive(Protocol):
    """An image archive. Every method raises `PacsError` where the archive as a whole cannot be used."""

    @property
    def name(self) -> str:
        """Its name in the archives file."""

    def echo(self) -> None:
        """Return where the archive answers and lets us in."""

    def find_studies(self, query: Query) -> tuple[StudyMatch, ...]:
        """Studies that match, the newest first."""

    def find_series(self, query: Query) -> tuple[SeriesMatch, ...]:
        """Series of the study ``query.study`` that match `modality` and `description`, by number."""

    def retrieve(
        self,
        selection: Selection,
        folder: Path,
        limits: Limits = Limits(),
        progress: Progress = no_progress,
    ) -> Retrieved:
        """Copy instances as they are stored into `folder`, which is made private and must be empty."""

    def store(self, files: Sequence[Path], progress: Progress = no_progress) -> Stored:
        """Send DICOM files byte for byte as they are."""


def is_uid(text: str) -> bool:
    """Whether a text is formed like a DICOM UID (PS3.5 9.1)."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def same_text(pattern: str, value: str) -> bool:
    """Whether a description matches; ``*`` in the pattern stands for any characters, case is ignored."""
    parts = (re.escape(part) for part in pattern.strip().split("*"))
    return re.fullmatch(".*".join(parts), value.strip(), re.IGNORECASE | re.DOTALL) is not None


def fits_study(query: Query, match: StudyMatch) -> bool:
    """Whether a match is really one.

    Archives may ignore an optional key (PS3.4 C.2.2.1.3) and return more than was asked for; what contradicts
    the query is dropped here, lest another patient's study be taken.
    """
    return (
        (not query.patient or match.patient.strip() == query.patient.strip())
        and (not query.accession or match.accession.strip() == query.accession.strip())
        and (not query.study or match.uid == query.study)
        and (not match.date or (query.since or "0") <= match.date <= (query.until or "9"))
        and (not query.modality or not match.modalities or query.modality.upper() in match.modalities)
        and (not query.description or same_text(query.description, match.description))
    )


def fits_series(query: Query, match: SeriesMatch) -> bool:
    """Whether a series is really a match; see `fits_study`."""
    return (
        match.study == query.study
        and (not query.modality or not match.modality or query.modality.upper() == match.modality)
        and (not query.description or same_text(query.description, match.description))
    )
