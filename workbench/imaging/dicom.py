"""Reading one DICOM file, single-frame or multi-frame, into a `Scan`.

Called by `read`; `series` uses the same parts for many files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import UID

from workbench.errors import ScanRefused
from workbench.imaging import geometry, headers
from workbench.imaging.dicom_terms import MODALITIES, known_body_part, vendor
from workbench.imaging.dicomfile import DicomFile, check_codestreams, open_dicom, quiet, refusing, syntax_name
from workbench.imaging.frames import in_plane_spacing, plane_of, thickness, volume_plane_of, volumes
from workbench.imaging.geometry import Plane
from workbench.imaging.identity import patient_key
from workbench.imaging.options import DEFAULTS, ReadOptions, chosen_volume
from workbench.imaging.pixelchain import Values, decode, frame_count
from workbench.imaging.remedies import arranged, upright
from workbench.imaging.scan import Finding, Provenance, Scan, Severity

CROSS_SECTIONAL = ("CT", "MR", "PT")
_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")


def read_dicom(path: Path, source: str, options: ReadOptions = DEFAULTS) -> Scan:
    """Read one DICOM file.

    A multi-frame file becomes a volume: sorted by position where its frames have one, in file order where
    they follow each other in time. One that measures each place several times (echoes, b-values, phases)
    holds several volumes, of which `ReadOptions.volume` chooses.

    Raises:
        ScanRefused: it holds no image, cannot be decoded or passes the budget.
    """
    return scan_of(open_dicom(path, source, options), options)


def scan_of(file: DicomFile, options: ReadOptions = DEFAULTS) -> Scan:
    """Decode an opened file.

    Raises:
        ScanRefused: its pixel data is damaged, or it has no volume of the number asked for.
    """
    dataset = file.dataset
    values = decoded(file)
    findings = [*file.findings, *values.findings, *header_findings(dataset)]
    if file.is_localiser:
        findings.append(
            Finding("localiser", Severity.WARNING, "It is a localiser (scout), not a diagnostic image.")
        )
    with refusing(file.source):
        pixels, spacing, affine, placed = _place(dataset, values.pixels, options, file.source)
        findings += placed
        if spacing is not None:
            findings += geometry.oblong_pixels(spacing)
        return assemble(dataset, values, pixels, spacing, affine, file.source, file.digest, findings)


def decoded(file: DicomFile) -> Values:
    """Pixel values of an opened file, every failure named.

    Those that a worker has decoded are handed out once.

    Raises:
        ScanRefused: pixel data is damaged or contradicts the header.
    """
    if file.held is not None:
        return file.held.take()
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
        # Words of the standard only: whatever else stands there may name somebody, and would be stored.
        modality=modality if modality in MODALITIES else "OT",
        provenance=Provenance(source, "DICOM", digest, f"{syntax_name(syntax)}, {bits} bits"),
        value_range=values.value_range,
        body_part=known_body_part(str(dataset.get("BodyPartExamined") or "")),
        spacing=spacing,
        affine=affine,
        window=values.window,
        patient=patient_key(raw_id) if raw_id else None,
        findings=tuple(findings),
        # Rectangles are those of the picture as stored; one that has a place may have been turned.
        ultrasound_regions=headers.ultrasound_regions(dataset) if affine is None else (),
        manufacturer=vendor(str(dataset.get("Manufacturer") or "")),
    )


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
    found += headers.projection_findings(dataset)
    found += headers.part_findings(dataset)
    regions = headers.ultrasound_regions(dataset)
    found += headers.region_findings(regions, int(dataset.Rows), int(dataset.Columns))
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


def _place(dataset: Dataset, pixels: npt.NDArray[np.float32], options: ReadOptions, source: str) -> Placed:
    """Order and orient frames: pixels, spacing, affine and findings."""
    frames = frame_count(dataset)
    planes = [plane for index in range(frames) if (plane := plane_of(dataset, index)) is not None]
    if len(planes) == frames == 1:
        depth = thickness(dataset)
        return placed(pixels, planes[0], planes[0].normal * depth, depth, [])
    in_patient = len(planes) == frames
    if not in_patient:
        planes = [plane for index in range(frames) if (plane := volume_plane_of(dataset, index)) is not None]
    if len(planes) < frames or frames == 1:
        return _unplaced(dataset, pixels, is_known=False)
    parts = volumes(dataset, planes)
    if parts is None:
        return _unplaced(dataset, pixels, is_known=in_patient)
    number, findings = chosen_volume(len(parts), options, source)
    members = parts[number]
    if len(members) == 1:
        first, depth = planes[members[0]], thickness(dataset)
        pixels, spacing, affine, notes = placed(pixels[members], first, first.normal * depth, depth, [])
    else:
        pixels, spacing, affine, notes = stacked(
            pixels[members], [planes[i] for i in members], options, source
        )
    if in_patient:
        return pixels, spacing, affine, [*findings, *notes]
    return pixels, spacing, None, [*findings, *notes, geometry.ORIENTATION_UNKNOWN]


def stacked(
    pixels: npt.NDArray[np.float32], planes: list[Plane], options: ReadOptions, source: str
) -> Placed:
    """Sort and hang parallel slices that each lie at a place of their own, with the remedies chosen.

    Args:
        pixels: ``(slices, rows, columns, channels)``, in the order of `planes`.
        planes: place of each slice; two or more.
        options: see `ReadOptions.remedies`.
        source: for messages.
    """
    stack = arranged(planes, options)
    order = list(stack.order)
    pixels, first, stack = upright(pixels[order], planes[order[0]], stack, options, source)
    return placed(pixels, first, stack.step, stack.spacing, list(stack.findings))


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
    pair = in_plane_spacing(dataset) or headers.common_spacing(headers.ultrasound_regions(dataset))
    spacing = (thickness(dataset), *pair) if pair else None
    return pixels, spacing, None, findings
