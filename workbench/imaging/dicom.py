"""Reading one DICOM file, single-frame or multi-frame, into a `Scan`.

Called by `read`; `series` uses the same parts for many files.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import UID

from workbench.errors import ScanRefused
from workbench.imaging import geometry
from workbench.imaging.dicomfile import DicomFile, check_codestreams, open_dicom, quiet, refusing
from workbench.imaging.geometry import Plane
from workbench.imaging.identity import patient_key
from workbench.imaging.manufacturer import manufacturer_class
from workbench.imaging.pixelchain import Values, decode, frame_count, functional_groups
from workbench.imaging.scan import Finding, Provenance, Scan, Severity

CROSS_SECTIONAL = ("CT", "MR", "PT")
_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")


def read_dicom(path: Path, source: str) -> Scan:
    """Read one DICOM file.

    A multi-frame file becomes a volume: sorted by position where its frames have one, in file order where
    they follow each other in time.

    Raises:
        ScanRefused: it holds no image, cannot be decoded or passes the budget.
    """
    return scan_of(open_dicom(path, source))


def scan_of(file: DicomFile) -> Scan:
    """Decode an opened file.

    Raises:
        ScanRefused: its pixel data is damaged.
    """
    dataset = file.dataset
    values = decoded(file)
    findings = [*file.findings, *values.findings, *header_findings(dataset)]
    if file.is_localiser:
        findings.append(
            Finding("localiser", Severity.WARNING, "It is a localiser (scout), not a diagnostic image.")
        )
    with refusing(file.source):
        pixels, spacing, affine, placed = _place(dataset, values.pixels)
        findings += placed
        if spacing is not None:
            findings += geometry.oblong_pixels(spacing)
        return assemble(
            dataset, values, pixels, spacing, affine, file.source, file_digest(file.path), findings
        )


def decoded(file: DicomFile) -> Values:
    """Pixel values of an opened file, every failure named.

    Raises:
        ScanRefused: pixel data is damaged or contradicts the header.
    """
    with refusing(file.source), quiet():
        check_codestreams(file)
        values = decode(file.dataset, file.source)
        finite = np.isfinite(values.pixels)
        if finite.all():
            return values
        pixels, note = replace_non_finite(values.pixels, finite, file.source)
        return Values(pixels, values.units, values.value_range, values.window, (*values.findings, note))


def assemble(
    dataset: Dataset,
    values: Values,
    pixels: npt.NDArray[np.float32],
    spacing: tuple[float, float, float] | None,
    affine: npt.NDArray[np.float64] | None,
    source: str,
    digest: str,
    findings: list[Finding],
) -> Scan:
    """A `Scan` from pixels and the header of its (first) file."""
    raw_id = str(dataset.get("PatientID") or "").strip(" \x00")
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    bits = dataset.get("BitsStored") or dataset.get("BitsAllocated")
    modality = str(dataset.get("Modality") or "").strip().upper()
    return Scan(
        pixels=np.ascontiguousarray(pixels),
        units=values.units,
        modality=modality if re.fullmatch(r"[A-Z]{2,16}", modality) else "OT",
        provenance=Provenance(source, "DICOM", digest, f"{syntax.name}, {bits} bits"),
        value_range=values.value_range,
        body_part=str(dataset.get("BodyPartExamined") or "").strip().upper(),
        spacing=spacing,
        affine=affine,
        window=values.window,
        patient=patient_key(raw_id) if raw_id else None,
        findings=tuple(findings),
        manufacturer=manufacturer_class(dataset.get("Manufacturer")),
    )


def plane_of(dataset: Dataset, frame: int = 0) -> Plane | None:
    """Place of one frame, or None where the file does not say."""
    position = orientation = spacing = None
    for part in (dataset, *_geometry_items(dataset, frame)):
        position = part.get("ImagePositionPatient") or position
        orientation = part.get("ImageOrientationPatient") or orientation
        spacing = part.get("PixelSpacing") or spacing
    if not position or not orientation or len(position) != 3 or len(orientation) != 6:
        return None
    columns, rows = np.array(orientation[:3], dtype=float), np.array(orientation[3:], dtype=float)
    lengths = np.linalg.norm(columns), np.linalg.norm(rows)
    if min(lengths) < 0.5 or abs(columns @ rows) > 0.05:
        return None
    pair = (float(spacing[0]), float(spacing[1])) if spacing and len(spacing) == 2 else (1.0, 1.0)
    if min(pair) <= 0 or not np.isfinite(np.array(position, dtype=float)).all():
        return None
    return Plane(np.array(position, dtype=float), columns / lengths[0], rows / lengths[1], pair)


def in_plane_spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Millimetres between (rows, columns) of an image without a place (PS3.3 10.7.1.3)."""
    parts = (dataset, *_geometry_items(dataset, 0))
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        for part in parts:
            value = part.get(name)
            if value and len(value) == 2 and min(float(v) for v in value) > 0:
                return float(value[0]), float(value[1])
    return None


def header_findings(dataset: Dataset) -> list[Finding]:
    """What the header says that a person should know."""
    found: list[Finding] = []
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if str(dataset.get("LossyImageCompression", "")) == "01" or syntax in _LOSSY:
        found.append(Finding("lossy-compression", Severity.INFO, "The image went through lossy compression."))
    if any(0x6000 <= tag.group <= 0x60FF for tag in dataset.keys()):  # noqa: SIM118
        found.append(
            Finding("overlay-ignored", Severity.INFO, "Graphics laid over the image were not drawn into it.")
        )
    if str(dataset.get("BurnedInAnnotation", "")).strip().upper() == "YES":
        found.append(
            Finding(
                "burned-in-text",
                Severity.WARNING,
                "Text is burned into the image; it may identify the patient or give the label away.",
                "Look at the image before it is used.",
            )
        )
    aspect = dataset.get("PixelAspectRatio")
    if aspect and len(aspect) == 2 and in_plane_spacing(dataset) is None:
        found += geometry.oblong_pixels((1.0, float(aspect[0]), float(aspect[1])))
    return found


def replace_non_finite(
    pixels: npt.NDArray[np.float32], finite: npt.NDArray[np.bool_], source: str
) -> tuple[npt.NDArray[np.float32], Finding]:
    """Give NaN and infinite pixels the lowest finite value.

    Raises:
        ScanRefused: no pixel is finite.
    """
    if not finite.any():
        raise ScanRefused(source, "No pixel has a finite value.", "Export it again from its source.")
    low = pixels[finite].min()
    share = 100.0 * (1.0 - float(finite.mean()))
    note = Finding(
        "non-finite-values",
        Severity.WARNING,
        f"{share:.2g} % of the pixels are not a number or infinite; they were given the lowest value.",
    )
    return np.where(finite, pixels, low), note


Placed = tuple[
    npt.NDArray[np.float32],
    tuple[float, float, float] | None,
    npt.NDArray[np.float64] | None,
    list[Finding],
]


def _place(dataset: Dataset, pixels: npt.NDArray[np.float32]) -> Placed:
    """Order and orient frames: pixels, spacing, affine and findings."""
    frames = frame_count(dataset)
    planes = [plane for index in range(frames) if (plane := plane_of(dataset, index)) is not None]
    if len(planes) < frames:
        return _unplaced(dataset, pixels, is_known=False)
    thickness = _thickness(dataset)
    if frames == 1:
        return placed(pixels, planes[0], planes[0].normal * thickness, thickness, [])
    if not _parallel(planes) or geometry.repeated(planes):
        return _unplaced(dataset, pixels, is_known=True)
    stack = geometry.stack(planes)
    order = list(stack.order)
    return placed(pixels[order], planes[order[0]], stack.step, stack.spacing, list(stack.findings))


def placed(
    pixels: npt.NDArray[np.float32],
    first: Plane,
    step: npt.NDArray[np.float64] | None,
    distance: float,
    findings: list[Finding],
) -> Placed:
    """Hang sorted slices; where the step is unknown they are hung all the same, without an affine."""
    known = step if step is not None else first.normal * distance
    hung, affine, moved = geometry.hang(pixels, first.affine(known))
    if moved:
        note = "Rows, columns or slices were turned to the usual hanging; no value changed."
        findings = [*findings, Finding("turned", Severity.INFO, note)]
    return hung, geometry.spacing_of(affine), affine if step is not None else None, findings


def _unplaced(dataset: Dataset, pixels: npt.NDArray[np.float32], is_known: bool) -> Placed:
    """Frames as stored, because their places are not known or do not make one volume."""
    findings: list[Finding] = []
    modality = str(dataset.get("Modality") or "")
    if len(pixels) > 1:
        findings.append(
            Finding(
                "frames-in-file-order",
                Severity.INFO,
                f"{len(pixels)} frames that do not lie behind each other (a film, several measurements or "
                "stacks) were kept in the file's order.",
            )
        )
    if modality in CROSS_SECTIONAL and not is_known:
        findings.append(geometry.ORIENTATION_UNKNOWN)
    pair = in_plane_spacing(dataset)
    spacing = (_thickness(dataset), *pair) if pair else None
    return pixels, spacing, None, findings


def _thickness(dataset: Dataset) -> float:
    """Slice thickness; 1 mm stands where none is given, as one slice has no neighbour."""
    for part in (dataset, *_geometry_items(dataset, 0)):
        for name in ("SpacingBetweenSlices", "SliceThickness"):
            value = part.get(name)
            if value not in (None, "") and float(value) > 0:
                return float(value)
    return 1.0


def _geometry_items(dataset: Dataset, frame: int) -> list[Dataset]:
    names = ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence")
    groups = functional_groups(dataset, frame)
    return [item for group in groups for name in names for item in group.get(name) or ()]


def _parallel(planes: list[Plane]) -> bool:
    first = planes[0]
    return all(
        np.allclose(plane.along_columns, first.along_columns, atol=1e-3)
        and np.allclose(plane.along_rows, first.along_rows, atol=1e-3)
        and np.allclose(plane.spacing, first.spacing, rtol=1e-3)
        for plane in planes
    )


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
