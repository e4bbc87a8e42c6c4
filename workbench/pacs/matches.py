"""Query keys and answers as data sets: what C-FIND and QIDO-RS have in common (PS3.4 C.6.2, PS3.18 10.6)."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from workbench.pacs.archive import Query, SeriesMatch, StudyMatch

STUDY_KEYS = (
    "StudyInstanceUID",
    "PatientID",
    "AccessionNumber",
    "StudyDate",
    "ModalitiesInStudy",
    "StudyDescription",
    "NumberOfStudyRelatedInstances",
)
SERIES_KEYS = (
    "SeriesInstanceUID",
    "SeriesNumber",
    "Modality",
    "SeriesDescription",
    "NumberOfSeriesRelatedInstances",
)
INSTANCE_KEYS = ("SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a series, as listed.

    Attributes:
        series, uid: SeriesInstanceUID and SOPInstanceUID.
        sop_class: its UID, empty where the archive does not say.
    """

    series: str = field(repr=False)
    uid: str = field(repr=False)
    sop_class: str = ""


def study_filters(query: Query) -> dict[str, str]:
    """Matching keys of a study query by keyword, only those that are given."""
    keys = {
        "PatientID": query.patient.strip(),
        "AccessionNumber": query.accession.strip(),
        "StudyDate": query.dates,
        "ModalitiesInStudy": query.modality.upper(),
        "StudyDescription": query.description.strip(),
        "StudyInstanceUID": query.study,
    }
    return {keyword: value for keyword, value in keys.items() if value}


def series_filters(query: Query) -> dict[str, str]:
    """Matching keys of a series query by keyword, only those that are given."""
    keys = {"Modality": query.modality.upper(), "SeriesDescription": query.description.strip()}
    return {keyword: value for keyword, value in keys.items() if value}


def study_match(answer: Dataset) -> StudyMatch:
    """A study answer as a match."""
    modalities = answer.get("ModalitiesInStudy") or ()
    listed = [modalities] if isinstance(modalities, str) else list(modalities)
    return StudyMatch(
        uid=_text(answer, "StudyInstanceUID"),
        patient=_text(answer, "PatientID"),
        accession=_text(answer, "AccessionNumber"),
        date=_text(answer, "StudyDate").replace("-", ""),
        modalities=tuple(sorted(str(one).strip().upper() for one in listed if str(one).strip())),
        description=_text(answer, "StudyDescription"),
        instances=_number(answer, "NumberOfStudyRelatedInstances"),
    )


def series_match(answer: Dataset, study: str) -> SeriesMatch:
    """A series answer as a match; archives may leave the study out, which the request has named."""
    return SeriesMatch(
        study=_text(answer, "StudyInstanceUID") or study,
        uid=_text(answer, "SeriesInstanceUID"),
        number=_text(answer, "SeriesNumber"),
        modality=_text(answer, "Modality").upper(),
        description=_text(answer, "SeriesDescription"),
        instances=_number(answer, "NumberOfSeriesRelatedInstances"),
    )


def by_number(match: SeriesMatch) -> tuple[int, str]:
    """Sort key of series."""
    return (int(match.number) if match.number.isdecimal() else 10**9, match.uid)


def _text(answer: Dataset, keyword: str) -> str:
    value = answer.get(keyword)
    return "" if value is None else str(value).strip(" \x00")


def _number(answer: Dataset, keyword: str) -> int | None:
    text = _text(answer, keyword)
    return int(text) if text.isdecimal() else None
