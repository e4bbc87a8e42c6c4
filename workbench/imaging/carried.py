"""Which identifiers files carry: names of header elements that are filled in, never their values.

Shown before scans are stored, so that a person sees what will not be. Looked at in the processes that decode
files (`workers`), since any header may be hostile. Called by the service's imports.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from workbench.errors import ScanRefused
from workbench.imaging.deidentify_files import clean_nifti, clean_raster
from workbench.imaging.dicomfile import open_dicom, quiet
from workbench.imaging.sniff import Kind, sniff
from workbench.imaging.workers import Call, call, run_all

IDENTITY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthDate",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "PatientMotherBirthName",
    "MedicalRecordLocator",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "InstitutionName",
    "InstitutionAddress",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "RequestingPhysician",
    "PatientComments",
    "ImageComments",
    "StudyDescription",
    "SeriesDescription",
    "StationName",
    "DeviceSerialNumber",
)
"""Elements that name a person, a place or a visit (from PS3.15 table E.1-1), the plainest first."""
PRIVATE = "private elements"


@dataclass(frozen=True, slots=True)
class Carried:
    """What one file carries.

    Attributes:
        form: ``DICOM``, ``NIfTI`` or ``picture``.
        elements: names of what is filled in.
    """

    form: str
    elements: tuple[str, ...]


def carried(files: Sequence[tuple[Path, str]]) -> tuple[Carried, ...]:
    """What files carry; those that no reader exists for are left out (importing them says why).

    Args:
        files: each with what to call it.
    """
    calls: list[Call[Carried]] = []
    for path, source in files:
        try:
            kind, size = sniff(path), path.stat().st_size
        except OSError:
            continue
        if kind in (Kind.DICOM, Kind.NIFTI, Kind.RASTER):
            calls.append(call(carried_by, source, size, path, source, kind))
    return tuple(outcome for outcome in run_all(calls) if isinstance(outcome, Carried))


def carried_by(path: Path, source: str, kind: Kind) -> Carried:
    """What one file carries; runs in a worker.

    Raises:
        ScanRefused: its header cannot be read.
    """
    if kind is Kind.DICOM:
        with quiet():
            return Carried("DICOM", _in_header(open_dicom(path, source).dataset))
    if kind is Kind.NIFTI:
        return Carried("NIfTI", _names(clean_nifti(path, source).removed))
    try:
        return Carried("picture", _names(clean_raster(path, source).removed))
    except (OSError, ValueError, SyntaxError) as error:
        raise ScanRefused(source, "Its header is damaged.", "Export it again.") from error


def _in_header(dataset: Dataset) -> tuple[str, ...]:
    found = []
    for keyword in IDENTITY:
        try:
            value = dataset.get(keyword)
        except Exception:  # whatever a library raises on a damaged value: it is there
            value = "damaged"
        if str(value if value is not None else "").strip():
            found.append(keyword)
    if any(tag.is_private for tag in dataset.keys()):  # noqa: SIM118 - iterating would parse every value
        found.append(PRIVATE)
    return tuple(found)


def _names(removed: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(removed))
