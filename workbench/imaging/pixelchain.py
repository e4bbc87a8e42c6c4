"""From a DICOM image's stored values to values with a meaning.

Order (DICOM PS3.3 C.7.6.3, C.11.1, C.7.6.16.2.9): decode, sign and unused bits, colour to RGB; then for
grey images modality LUT or rescale, frame by frame; then MONOCHROME1 turned so that more signal is brighter;
then padding. VOI LUT and window are for eyes and touch no value. PET activity becomes SUV where its header
allows (see `suv`). Called by `dicom` and `series`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from pydicom.pixels.utils import get_expected_length, pixel_array
from pydicom.sequence import Sequence as DicomSequence

from workbench.errors import ScanRefused
from workbench.imaging.dicom_terms import VOCABULARY
from workbench.imaging.limits import check_values
from workbench.imaging.palette import check_palette
from workbench.imaging.scan import Finding, Severity, Units
from workbench.imaging.suv import uptake

COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", "YBR_PARTIAL_422")
GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Decoded pixel values of one DICOM file.

    Attributes:
        pixels: float32 ``(frames, rows, columns, 1 or 3)`` in `units`.
        units: see `Units`.
        value_range: full scale of the encoding in `units`, None for floating point.
        window: (centre, width) in `units`, or None.
        findings: what was turned, masked or ignored.
    """

    pixels: npt.NDArray[np.float32]
    units: Units
    value_range: tuple[float, float] | None
    window: tuple[float, float] | None
    findings: tuple[Finding, ...]


def decode(dataset: Dataset, source: str) -> Values:
    """Decode all frames of a dataset that `dicom.check_header` has let through.

    Raises:
        ScanRefused: the photometric interpretation is not known, or its parts contradict each other.
        Exception: whatever pydicom and the codecs raise on damaged data; `dicom` names it.
    """
    photometric = str(dataset.get("PhotometricInterpretation", "")).strip()
    _check_length(dataset, source)
    stored = np.asarray(pixel_array(dataset))
    samples = int(dataset.get("SamplesPerPixel", 1))
    frames, rows, columns = frame_count(dataset), int(dataset.Rows), int(dataset.Columns)
    if stored.size != frames * rows * columns * samples:
        raise ScanRefused(
            source, "Its pixel data does not fit its header.", "Export or send the image again."
        )
    stored = stored.reshape(frames, rows, columns, samples)
    if photometric == PALETTE:
        return _palette(dataset, stored[..., 0], source)
    if photometric in COLOUR and samples == 3:
        return _colour(dataset, stored)
    if photometric in GREY and samples == 1:
        return _grey(dataset, stored, photometric == "MONOCHROME1", source)
    # Named only where it is a word of the standard: a header may say anything.
    named = photometric if photometric in VOCABULARY else "unknown" if photometric else "missing"
    raise ScanRefused(
        source,
        f"Photometric interpretation {named} with {samples} samples is not read.",
        "Export it as MONOCHROME2 or RGB.",
    )


def _check_length(dataset: Dataset, source: str) -> None:
    """Refuse uncompressed pixels that end before the image does."""
    if "PixelData" not in dataset or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    expected, actual = get_expected_length(dataset), len(dataset.PixelData)
    if actual < expected:
        raise ScanRefused(
            source,
            f"Its pixels are cut short: {actual:,} of {expected:,} bytes are there.",
            "Export or send the image again.",
        )


def frame_count(dataset: Dataset) -> int:
    """NumberOfFrames, 1 where it is absent, empty or nonsense below 1."""
    value = dataset.get("NumberOfFrames")
    return max(1, int(value)) if value not in (None, "") else 1


def _colour(dataset: Dataset, stored: npt.NDArray[np.generic]) -> Values:
    top = float(2 ** int(dataset.get("BitsStored", 8)) - 1)
    return Values(stored.astype(np.float32), Units.DISPLAY, (0.0, top), None, ())


def _palette(dataset: Dataset, stored: npt.NDArray[np.generic], source: str) -> Values:
    check_values(source, (*stored.shape, 3))
    check_palette(dataset, source)
    mapped = apply_color_lut(stored, dataset)[..., :3]
    # Colours of 8 bits are often kept in tables of 16: the descriptor says which is full scale.
    top = float(np.iinfo(mapped.dtype).max)
    note = Finding(
        "palette-colour", Severity.INFO, "Colours were looked up in the palette that the file carries."
    )
    return Values(mapped.astype(np.float32), Units.DISPLAY, (0.0, top), None, (note,))


def _grey(dataset: Dataset, stored: npt.NDArray[np.generic], invert: bool, source: str) -> Values:
    _check_frames(dataset, len(stored), source)
    findings: list[Finding] = []
    floating = stored.dtype.kind == "f"
    scaled = np.empty(stored.shape, dtype=np.float32)
    for index, frame in enumerate(stored):
        scaled[index] = _modality(frame_dataset(dataset, index), frame)
    limits = None if floating else full_range(_full_scale(dataset, index) for index in range(len(stored)))
    units = _units(dataset, limits, floating)
    findings += _half_rescaled(frame_dataset(dataset, 0))
    window = _window(frame_dataset(dataset, 0), findings)
    if str(dataset.get("Modality", "")).strip() == "PT":
        factor, note = uptake(dataset, frame_count(dataset))
        findings.append(note)
        if factor is not None:
            units = Units.SUV
            np.multiply(scaled, factor, out=scaled)
            limits = (limits[0] * factor, limits[1] * factor) if limits else None
            window = (window[0] * factor, window[1] * factor) if window else None
    if invert:
        low, high = limits or (float(scaled.min()), float(scaled.max()))
        np.subtract(low + high, scaled, out=scaled)
        window = (low + high - window[0], window[1]) if window else None
        findings.append(
            Finding(
                "monochrome1-inverted",
                Severity.INFO,
                f"Low values mean white in this file; each value v became {low + high:g} - v, "
                "mirrored within the range of its encoding.",
            )
        )
    findings += _mask_padding(dataset, stored, scaled)
    if not floating and int(dataset.get("BitsStored", 16)) > 24:
        findings.append(
            Finding("rounded-values", Severity.INFO, "Integers of more than 24 bits were rounded to float32.")
        )
    return Values(scaled, units, limits, window, tuple(findings))


def _check_frames(dataset: Dataset, frames: int, source: str) -> None:
    """Refuse a multi-frame image that describes some of its frames only: the rest would go unscaled."""
    described = dataset.get("PerFrameFunctionalGroupsSequence")
    if isinstance(described, DicomSequence) and 0 < len(described) < frames:
        raise ScanRefused(
            source,
            f"It holds {frames} frames and describes {len(described)} of them.",
            "Export or send the image again.",
        )


def frame_dataset(dataset: Dataset, index: int) -> Dataset:
    """Attributes that hold for one frame: its functional groups over the shared ones over the image.

    Only pixel value transformation and frame VOI LUT are looked up (PS3.3 C.7.6.16.2.9 and .10).
    """
    found = Dataset()
    found.file_meta = dataset.file_meta
    for name in (
        "RescaleSlope",
        "RescaleIntercept",
        "RescaleType",
        "ModalityLUTSequence",
        "WindowCenter",
        "WindowWidth",
        "VOILUTSequence",
        "VOILUTFunction",
    ):
        if name in dataset:
            found[name] = dataset[name]
    for groups in functional_groups(dataset, index):
        for macro in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in groups.get(macro) or ():
                found.update(item)
    return found


def functional_groups(dataset: Dataset, index: int) -> tuple[Dataset, ...]:
    """Shared functional groups, then those of one frame; empty where the image has none."""
    found: list[Dataset] = []
    shared = dataset.get("SharedFunctionalGroupsSequence")
    if isinstance(shared, DicomSequence) and len(shared):
        found.append(shared[0])
    each = dataset.get("PerFrameFunctionalGroupsSequence")
    if isinstance(each, DicomSequence) and index < len(each):
        found.append(each[index])
    return tuple(found)


def _modality(attributes: Dataset, frame: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    if attributes.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(frame, attributes))
    slope, intercept = _rescale(attributes)
    if (slope, intercept) == (1.0, 0.0):
        return frame
    return np.asarray(frame.astype(np.float64) * slope + intercept)


def _rescale(attributes: Dataset) -> tuple[float, float]:
    """Slope and intercept; the one that is missing changes nothing (see `_half_rescaled`)."""
    slope, intercept = _first(attributes, "RescaleSlope"), _first(attributes, "RescaleIntercept")
    return 1.0 if slope is None else slope, 0.0 if intercept is None else intercept


def _half_rescaled(attributes: Dataset) -> list[Finding]:
    """The standard has slope and intercept stand together (PS3.3 C.11.1.1.2); a file with one is doubtful."""
    given = [_first(attributes, name) is not None for name in ("RescaleSlope", "RescaleIntercept")]
    if attributes.get("ModalityLUTSequence") or given[0] == given[1]:
        return []
    return [
        Finding(
            "rescale-incomplete",
            Severity.WARNING,
            "Only one of slope and intercept is given; values were changed by that one alone.",
            "Check that values are in the expected range.",
        )
    ]


def full_range(ranges: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Smallest range that holds them all."""
    lows, highs = zip(*ranges, strict=True)
    return min(lows), max(highs)


def _full_scale(dataset: Dataset, frame: int) -> tuple[float, float]:
    """Range of the encoding after one frame's modality transformation."""
    bits, signed = int(dataset.BitsStored), int(dataset.get("PixelRepresentation", 0)) == 1
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1])
    attributes = frame_dataset(dataset, frame)
    if lut := attributes.get("ModalityLUTSequence"):
        depth = int(lut[0].LUTDescriptor[2])
        return 0.0, float(2**depth - 1)
    slope, intercept = _rescale(attributes)
    low, high = sorted((ends * slope + intercept).tolist())
    return float(low), float(high)


def _units(dataset: Dataset, limits: tuple[float, float] | None, floating: bool) -> Units:
    attributes = frame_dataset(dataset, 0)
    slope_given = _first(attributes, "RescaleSlope") is not None
    kind = str(attributes.get("RescaleType", "")).strip().upper()
    if str(dataset.get("Modality", "")).strip() == "CT" and slope_given and kind in ("", "HU"):
        return Units.HOUNSFIELD
    identity = not attributes.get("ModalityLUTSequence") and _rescale(attributes) == (1.0, 0.0)
    if not floating and identity and limits is not None and int(dataset.BitsStored) <= 8:
        return Units.DISPLAY
    return Units.MODALITY


def _window(attributes: Dataset, findings: list[Finding]) -> tuple[float, float] | None:
    """First of the windows in the file; the others are alternatives for eyes (PS3.3 C.11.2.1.2).

    Curves are for eyes too, and our display is linear: a VOI LUT and a sigmoid are said to be left out.
    """
    centre, width = _first(attributes, "WindowCenter"), _first(attributes, "WindowWidth")
    shape = str(attributes.get("VOILUTFunction") or "LINEAR").strip().upper()
    if attributes.get("VOILUTSequence") or shape == "SIGMOID":
        findings.append(
            Finding(
                "curve-ignored",
                Severity.INFO,
                "The file asks for a curve (VOI LUT) when displayed; it is shown linearly, and no value is "
                "changed by either.",
            )
        )
    if centre is None or width is None:
        return None
    if width <= 0 or not np.isfinite((centre, width)).all():
        findings.append(
            Finding("window-ignored", Severity.INFO, "The file's display window is invalid and was ignored.")
        )
        return None
    return centre, width


def _first(attributes: Dataset, name: str) -> float | None:
    value = attributes.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str | int | float):
        return float(value)
    return float(value[0]) if len(value) else None


def _mask_padding(
    dataset: Dataset, stored: npt.NDArray[np.generic], scaled: npt.NDArray[np.float32]
) -> list[Finding]:
    """Give padded pixels the lowest value of the rest, in place (PS3.3 C.7.5.1.1.2, C.7.6.24)."""
    prefix = {4: "Float", 8: "DoubleFloat"}[stored.dtype.itemsize] if stored.dtype.kind == "f" else ""
    padding = _first(dataset, f"{prefix}PixelPaddingValue")
    if padding is None:
        return []
    end = _first(dataset, f"{prefix}PixelPaddingRangeLimit")
    ends = sorted((padding, padding if end is None else end))
    if stored.dtype.kind == "i":  # some writers give the signed value's bits as unsigned
        size = 2.0 ** (8 * stored.dtype.itemsize)
        ends = sorted(value - size if value >= size / 2 else value for value in ends)
    low, high = ends
    masked = np.greater_equal(stored, low) & np.less_equal(stored, high)
    count = int(masked.sum())
    if count in (0, masked.size):
        return []
    scaled[masked] = scaled[~masked].min()
    return [
        Finding(
            "padding-masked",
            Severity.INFO,
            f"{100 * count / masked.size:.1f} % of the pixels are padding outside the image; they were given "
            "its lowest value.",
        )
    ]
