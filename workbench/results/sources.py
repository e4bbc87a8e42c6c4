"""Scans together with the DICOM instances they were made of, so that a result can be put into their study.

Everything is read by the ordinary reader; which files a scan came from is told by `Provenance.sha256`, not
guessed. The headers kept here identify the patient: they go into objects for the archive and nowhere else.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.valuerep import validate_value

from workbench.errors import ScanRefused
from workbench.imaging.archive import is_clutter
from workbench.imaging.dicomfile import open_dicom, quiet
from workbench.imaging.read import natural, read_scans
from workbench.imaging.scan import Scan
from workbench.learners.files import sha256_of
from workbench.pacs.archive import is_uid

Progress = Callable[[int, int], None]

_REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_FILLED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
"""Required in a result and possibly empty (type 2)."""
_COPIED = (
    *("IssuerOfPatientID", "StudyDescription", "PatientAge", "SpecificCharacterSet"),
    *("BurnedInAnnotation", "Laterality", "NumberOfFrames", "Rows", "Columns", "Modality"),
)
_TELLING = (
    *("EchoTime", "EchoNumbers", "DiffusionBValue", "AcquisitionNumber", "TemporalPositionIdentifier"),
    *("TriggerTime", "AcquisitionTime", "ImageOrientationPatient", "ImageType", "Rows"),
)
"""What may divide a series into several scans."""


@dataclass(frozen=True, slots=True, eq=False)
class SourcedScan:
    """A scan and where it came from.

    Attributes:
        name: what to call it on the user's own screen.
        scan: as read.
        headers: of its instances, reduced to what a result repeats; all of one study and series.
    """

    name: str
    scan: Scan
    headers: tuple[Dataset, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    """One file of a series: its digest is taken when it is first needed."""

    path: Path
    header: Dataset = field(repr=False)
    told: dict[str, str] = field(repr=False)


def sourced_scans(
    paths: Sequence[Path], progress: Progress | None = None
) -> Iterator[SourcedScan | ScanRefused]:
    """Scans of DICOM files and folders, series by series.

    Args:
        paths: files and folders; zips and other formats are refused, as a result needs a study to go into.
        progress: called with the number of files done and in all.
    """
    files = [file for path in paths for file in (_walk(path) if path.is_dir() else (path,))]
    series: defaultdict[tuple[str, str], list[_File]] = defaultdict(list)
    for path in files:
        try:
            found = _opened(path)
        except ScanRefused as refusal:
            yield refusal
            continue
        series[(found.header.StudyInstanceUID, found.header.SeriesInstanceUID)].append(found)
    done = 0
    for members in series.values():
        yield from _read(members)
        done += len(members)
        if progress is not None:
            progress(done, len(files))


def _read(members: list[_File]) -> Iterator[SourcedScan | ScanRefused]:
    result = read_scans([file.path for file in members])
    yield from result.refused
    refused = {refusal.source for refusal in result.refused}
    digests = {file.path: sha256_of(file.path) for file in members}
    left = [file for file in members if file.path.name not in refused]
    for scan in result.scans:
        name = scan.provenance.source
        made_of = _made_of(scan.provenance.sha256, left, digests)
        if made_of is None:
            yield ScanRefused(
                name,
                "Which of the series' files it was made of cannot be told, so no result can refer to them.",
                "Give one acquisition at a time.",
            )
        else:
            yield SourcedScan(name, scan, tuple(file.header for file in made_of))


def _made_of(digest: str, files: list[_File], digests: dict[Path, str]) -> list[_File] | None:
    """The files whose digests make up a scan's, or None."""
    unique = list({digests[file.path]: file for file in files}.values())
    parts = [unique, *([file] for file in unique)]
    for keyword in _TELLING:
        by_value: defaultdict[str, list[_File]] = defaultdict(list)
        for file in unique:
            by_value[file.told[keyword]].append(file)
        parts += by_value.values()
    for part in parts:
        own = sorted(digests[file.path] for file in part)
        if digest in own and len(own) == 1:
            return part
        if digest == hashlib.sha256("".join(own).encode()).hexdigest():
            return part
    return None


def _opened(path: Path) -> _File:
    dataset = open_dicom(path, path.name).dataset
    with quiet():
        wrong = [keyword for keyword in _REQUIRED if not is_uid(str(dataset.get(keyword) or ""))]
        if "PatientID" in dataset and _valid(dataset, "PatientID") != dataset.PatientID:
            wrong.append("PatientID")
        if wrong:
            raise ScanRefused(
                path.name,
                f"Its header lacks a valid {', '.join(wrong)}.",
                "Take the image from the archive again.",
            )
        header = Dataset()
        for keyword in _REQUIRED:
            setattr(header, keyword, str(dataset[keyword].value))
        for keyword in _FILLED:
            setattr(header, keyword, _valid(dataset, keyword))
        for keyword in _COPIED:
            if (value := _valid(dataset, keyword)) is not None:
                setattr(header, keyword, value)
        header.Modality = header.get("Modality", "OT")
        return _File(path, header, {keyword: str(dataset.get(keyword, "")) for keyword in _TELLING})


def _valid(dataset: Dataset, keyword: str) -> object:
    """A value, or None where it is empty or breaks the rules of its kind (PS3.5 6.2): results keep to them.

    Dates and times as ACR-NEMA wrote them (``1997.04.24``, ``14:04:38``) are written as DICOM does.
    """
    try:
        value = dataset.get(keyword)
    except (ValueError, TypeError, NotImplementedError):
        return None
    if value in (None, ""):
        return None
    kind = dictionary_VR(tag_for_keyword(keyword) or 0)
    if kind in ("DA", "TM"):
        value = str(value).replace("." if kind == "DA" else ":", "")
    if keyword == "PatientSex" and value not in ("M", "F", "O"):
        return None
    if kind in ("IS", "US", "PN"):
        return value
    try:
        for part in [value] if isinstance(value, str) else value:
            validate_value(kind, str(part), config.RAISE)
    except ValueError:
        return None
    return value


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)
        for name in sorted(names, key=natural):
            if not is_clutter(name):
                yield Path(root, name)
