"""What is wrong with an image itself, judged from its pixels: blank, clipped, blurred, written on, tiny.

Every scan passes here on its way in (`checked`, called by `read`). Of a volume the middle slice is judged,
the one a recipe takes. What can only be seen beside other scans is `workbench.data.quality`'s. Thresholds
were set on public sets; ``python -m benchmarks.quality`` prints false alarms and misses again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workbench.imaging.quality_blur import THRESHOLD, smoothness
from workbench.imaging.quality_text import text_lines
from workbench.imaging.scan import Finding, Scan, Severity, Units

Grey = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]

TINY = 28
"""Shorter side below which a scan is called tiny: the smallest input a recipe makes."""
CLIPPED_SHARE = 0.10
"""Share of pixels at the highest level from which a scan is called clipped."""
FAINT_RANGE = 0.02
"""Range of values (0.5th to 99.5th percentile) below which a display image is called faint, of full scale."""

_PERCENTILES = (0.5, 99.5)
_MIN_LEVELS = 16
"""Drawings and masks have fewer levels; that most of them are at the highest is no fault."""
_COLOURED, _GREYISH = 60, 16
"""Differences between channels, of 255, from which a pixel is coloured and up to which it is grey."""
_GREY_SHARE, _MARK_SHARES = 0.90, (0.0002, 0.05)


def checked(scan: Scan) -> Scan:
    """The scan with what `quality_findings` says of it; codes that it carries already are not repeated."""
    known = {finding.code for finding in scan.findings}
    return scan.with_findings(*(f for f in quality_findings(scan) if f.code not in known))


def quality_findings(scan: Scan) -> tuple[Finding, ...]:
    """Everything that is wrong with the pixels, worst first; empty where all is well."""
    plane = scan.pixels[len(scan.pixels) // 2]
    found: list[Finding] = []
    if min(plane.shape[:2]) < TINY:
        rows, columns = plane.shape[:2]
        found.append(
            Finding(
                "tiny",
                Severity.WARNING,
                f"The image is only {columns} x {rows} pixels.",
                "Export it in full size.",
            )
        )
    low, high = float(plane.min()), float(plane.max())
    if low == high:
        return (_BLANK, *found)
    if _is_faint(scan, plane):
        return (_FAINT, *found)
    grey = grey_levels(scan)
    if _is_clipped(plane, low, high):
        found.append(_CLIPPED)
    if smoothness(grey) < THRESHOLD:
        found.append(_BLURRED)
    if text_lines(grey):
        found.append(_TEXT)
    if _has_marks(scan, plane):
        found.append(_MARKS)
    return tuple(found)


def grey_levels(scan: Scan, slice_index: int | None = None) -> Grey:
    """One slice as 8-bit grey, uint8 ``(rows, columns)``; the middle one where none is named.

    Display values by their full scale, all others from the 0.5th to the 99.5th percentile; colour as luma
    (ITU-R BT.601).
    """
    plane = scan.pixels[len(scan.pixels) // 2 if slice_index is None else slice_index]
    values = _luma(plane)
    if scan.units is Units.DISPLAY and scan.value_range is not None:
        low, high = scan.value_range
    else:
        low, high = (float(v) for v in np.percentile(_thinned(values), _PERCENTILES))
    unit = np.clip((values - low) / (high - low if high > low else 1.0), 0.0, 1.0)
    return np.asarray((unit * 255.0).round().astype(np.uint8))


def _luma(plane: Plane) -> Plane:
    if plane.shape[-1] == 1:
        return plane[..., 0]
    return np.asarray(plane @ np.array([0.299, 0.587, 0.114], dtype=np.float32))


def _thinned(values: Plane) -> Plane:
    """Every few pixels of a large plane: enough for percentiles."""
    step = max(1, int((values.size / 2**16) ** 0.5))
    return values[::step, ::step]


def _is_faint(scan: Scan, plane: Plane) -> bool:
    if scan.units is not Units.DISPLAY or scan.value_range is None:
        return False
    low, high = np.percentile(_thinned(_luma(plane)), _PERCENTILES)
    full = scan.value_range[1] - scan.value_range[0]
    # All of the plane's extremes count as well: a small bright object on black is not faint.
    return bool(high - low < FAINT_RANGE * full and np.ptp(plane) < 3 * FAINT_RANGE * full)


def _is_clipped(plane: Plane, low: float, high: float) -> bool:
    values = _luma(plane)
    # A lossy codec spreads the highest level over its neighbour.
    top = values >= float(values.max()) - (high - low) / 255.0
    if float(top.mean()) < CLIPPED_SHARE:
        return False
    return len(np.unique(_thinned(values))) >= _MIN_LEVELS


def _has_marks(scan: Scan, plane: Plane) -> bool:
    """Whether a grey image carries a few strongly coloured pixels: callipers, boxes, labels."""
    if plane.shape[-1] != 3 or scan.value_range is None:
        return False
    full = scan.value_range[1] - scan.value_range[0]
    spread = (plane.max(axis=-1) - plane.min(axis=-1)) * (255.0 / full)
    coloured = float((spread >= _COLOURED).mean())
    is_few = _MARK_SHARES[0] <= coloured <= _MARK_SHARES[1]
    return is_few and float((spread <= _GREYISH).mean()) >= _GREY_SHARE


_BLANK = Finding(
    "blank",
    Severity.ERROR,
    "The image has one value throughout; there is nothing to see or to learn from.",
    "Remove it, or export it again.",
)
_FAINT = Finding(
    "faint", Severity.WARNING, "The image has hardly any contrast.", "Check that it shows what it should."
)
_CLIPPED = Finding(
    "clipped",
    Severity.WARNING,
    "Many pixels are at the highest level: brightness was cut off, and detail there is lost.",
    "Export it with the full range of values.",
)
_BLURRED = Finding(
    "motion-blur",
    Severity.WARNING,
    "The image is blurred along one direction, as movement blurs it.",
    "Check that it can be read by eye; repeat it, or choose another one.",
)
_TEXT = Finding(
    "text-in-pixels",
    Severity.WARNING,
    "There seems to be text in the image; it may identify the patient or give the label away.",
    "Look at the image; export it without annotations, or crop them off.",
)
_MARKS = Finding(
    "coloured-marks",
    Severity.WARNING,
    "There are coloured marks in a grey image; they may give the label away.",
    "Export it without annotations.",
)
