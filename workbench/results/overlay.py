"""What a model looked at, drawn over the image, as a secondary capture (PS3.3 A.8.1) in the image's study.

The notice is part of the picture: a capture is shown by every viewer, whatever its other attributes say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from highdicom.sc import SCImage
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from workbench.imaging.display import to_display
from workbench.imaging.scan import Scan
from workbench.results.codes import scheme_item
from workbench.results.statement import Statement
from workbench.results.structured_report import PRODUCT

SERIES_NUMBER = 9002
SIDE = 768
"""Longest side of the drawn image in pixels, without the lines of text."""
_STRENGTH = 0.6
_FONT, _LINE, _MARGIN = 16, 22, 8
_COLOURS = "inferno"
_DESCRIPTION = "Saliency overlay, research, not for diagnosis"
_PROOF = "Shows what the model used. It is not proof that the reading is right."


def overlay_capture(
    saliency: npt.NDArray[np.floating],
    scan: Scan,
    headers: Sequence[Dataset],
    statement: Statement,
    slice_index: int | None = None,
) -> Dataset:
    """The overlay of one slice, ready to be written or sent.

    Args:
        saliency: float ``(rows, columns)`` in the scan's pixel grid, 0 (not used) to 1 (used most).
        scan: that was read.
        headers: of its instances, from `sourced_scans`.
        statement: what was read; its most probable class is named in the picture.
        slice_index: the slice the map belongs to, the middle one where not given.

    Returns:
        Secondary Capture Image Storage, RGB, Explicit VR Little Endian, UTF-8.

    Raises:
        ValueError: the map has another size than the scan's slices, or leaves 0 to 1.
    """
    picture = draw(saliency, scan, statement, slice_index)
    first = headers[0]
    orientation = patient_orientation(scan)
    capture = SCImage(
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=orientation or ("L", "P"),
        study_instance_uid=first.StudyInstanceUID,
        series_instance_uid=generate_uid(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=PRODUCT,
        manufacturer_model_name=PRODUCT,
        software_versions=statement.algorithm.version,
        patient_id=first.PatientID,
        patient_name=first.PatientName,
        patient_birth_date=first.PatientBirthDate,
        patient_sex=first.PatientSex,
        accession_number=first.AccessionNumber,
        study_id=first.StudyID,
        study_date=first.StudyDate,
        study_time=first.StudyTime,
        referring_physician_name=first.ReferringPhysicianName,
        series_description=_DESCRIPTION,
        coding_schemes=[scheme_item()],
        specific_character_set="ISO_IR 192",
    )
    if orientation is None:
        # Required, and empty where it is not known (PS3.3 C.7.6.1): nothing is guessed.
        capture.PatientOrientation = []
    # Required of parts of the body that come in pairs, and empty where it is not known (C.7.3.1).
    capture.Laterality = first.get("Laterality")
    capture.DerivationDescription = f"{_PROOF} {statement.sentences[0]}"
    capture.SourceImageSequence = [_reference(header) for header in headers]
    if first.get("BurnedInAnnotation"):
        capture.BurnedInAnnotation = first.BurnedInAnnotation
    return capture


def draw(
    saliency: npt.NDArray[np.floating], scan: Scan, statement: Statement, slice_index: int | None = None
) -> npt.NDArray[np.uint8]:
    """The picture: the slice in its default window, the map over it, the notice above and below.

    Args:
        saliency, scan, statement, slice_index: see `overlay_capture`.

    Returns:
        uint8 ``(rows, columns, 3)``.

    Raises:
        ValueError: see `overlay_capture`.
    """
    if saliency.shape != scan.pixels.shape[1:3]:
        raise ValueError(
            f"The map must be {scan.pixels.shape[1:3]}, as the scan's slices are, not {saliency.shape}"
        )
    if not np.isfinite(saliency).all() or saliency.min() < 0 or saliency.max() > 1:
        raise ValueError("The map must lie between 0 and 1")
    slice_picture = to_display(scan, slice_index=slice_index, size=SIDE)
    rows, columns = slice_picture.shape[:2]
    stretched = Image.fromarray(saliency.astype(np.float32)).resize(
        (columns, rows), Image.Resampling.BILINEAR
    )
    heat = np.clip(np.asarray(stretched), 0.0, 1.0)
    grey = slice_picture.mean(axis=2, keepdims=True)
    colour = colormaps[_COLOURS](heat)[..., :3] * 255.0
    share = (_STRENGTH * heat)[..., None]
    blended = ((1.0 - share) * grey + share * colour).round().astype(np.uint8)
    best = max(statement.likelihoods, key=lambda one: one.probability)
    count = len(scan.pixels)
    which = f", slice {(count // 2 if slice_index is None else slice_index) + 1} of {count}"
    above = ("RESEARCH - NOT FOR DIAGNOSTIC USE", f"Reading: {best.words}{which if count > 1 else ''}")
    return _captioned(blended, above, _PROOF)


def patient_orientation(scan: Scan) -> tuple[str, str] | None:
    """Where columns and rows run to in the patient (PS3.3 C.7.6.1.1.1), None where the scan does not say."""
    if scan.affine is None:
        return None
    letters = (("R", "L"), ("A", "P"), ("H", "F"))
    found = []
    for axis in (0, 1):
        direction = scan.affine[:3, axis]
        along = int(np.argmax(np.abs(direction)))
        found.append(letters[along][0 if direction[along] > 0 else 1])
    return found[0], found[1]


def _captioned(picture: npt.NDArray[np.uint8], above: Sequence[str], below: str) -> npt.NDArray[np.uint8]:
    """Black bands with white words; words that do not fit are broken into lines, never cut."""
    font = ImageFont.load_default(_FONT)
    rows, columns = picture.shape[:2]
    width = max(columns, SIDE // 2)
    lines = [part for text in above for part in _broken(text, font, width)]
    foot = _broken(below, font, width)
    top, bottom = (2 * _MARGIN + _LINE * len(part) for part in (lines, foot))
    sheet = Image.new("RGB", (width, top + rows + bottom))
    sheet.paste(Image.fromarray(picture), ((width - columns) // 2, top))
    pen = ImageDraw.Draw(sheet)
    for start, part in ((_MARGIN, lines), (top + rows + _MARGIN, foot)):
        for number, text in enumerate(part):
            pen.text((_MARGIN, start + number * _LINE), text, font=font, fill="white")
    return np.asarray(sheet)


def _broken(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width - 2 * _MARGIN:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item
