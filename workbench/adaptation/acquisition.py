"""How a scan was acquired and kept, as a few properties that no disease decides.

Where one of them tells the classes of a support apart, a model may learn the scanner in place of the disease
("shortcut"; Zech et al., PLoS Medicine 15, 2018; Geirhos et al., Nature Machine Intelligence 2, 2020).
Called by `shortcuts`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from workbench.imaging.scan import Scan

_LONGEST = 256
"""Pixels are averaged down to this before they are looked at."""
_STROKE, _NEIGHBOURHOOD = 0.3, 9
"""A stroke's pixel differs from the mean of a square of that side by at least that share of full scale."""
_CORNER, _EDGE = 0.25, 0.12
"""Share of the sides that a corner and an edge take."""
Plane = npt.NDArray[np.float32]
"""Unit-range pixels ``(rows, columns, channels)``."""


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a scan.

    Attributes:
        name: in words, after "the", e.g. ``image size``.
        is_content: whether a disease may well change it too (brightness, colour), so that it is worth a look
            and no more.
        category: of scans, where the property has no order; None for a number.
        number: of scans, where it has; None for a category.
    """

    name: str
    is_content: bool
    category: Callable[[Scan], str] | None = None
    number: Callable[[Described], float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """A scan with its pixels made ready for measuring.

    Attributes:
        scan: the scan.
        plane: middle slice in 0 to 1 of its own range (full scale where that is known), at most 256 px.
        strokes: bool ``(rows, columns)``: pixels of thin, high-contrast lines, as letters and marks are.
    """

    scan: Scan
    plane: Plane
    strokes: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, scan: Scan) -> Described:
        """Measure a scan once for all properties."""
        plane = _unit(scan)
        grey = plane.mean(axis=2)
        local = ndimage.uniform_filter(grey, _NEIGHBOURHOOD, mode="nearest")
        return cls(scan, plane, np.abs(grey - local) > _STROKE)


def _unit(scan: Scan) -> Plane:
    given = scan.pixels[scan.pixels.shape[0] // 2]
    step = max(1, -(-max(given.shape[:2]) // _LONGEST))
    rows, columns = given.shape[0] // step * step, given.shape[1] // step * step
    if step > 1 and rows and columns:
        shape = (rows // step, step, columns // step, step, given.shape[2])
        given = given[:rows, :columns].reshape(shape).mean(axis=(1, 3))
    low, high = scan.value_range or (float(given.min()), float(given.max()))
    unit: Plane = np.clip((given - low) / (high - low if high > low else 1.0), 0.0, 1.0).astype(np.float32)
    return unit


def _corner(bottom: bool, right: bool) -> Callable[[Described], float]:
    def share(one: Described) -> float:
        rows, columns = (max(1, round(_CORNER * n)) for n in one.strokes.shape)
        part = one.strokes[-rows:] if bottom else one.strokes[:rows]
        part = part[:, -columns:] if right else part[:, :columns]
        return float(part.mean())

    return share


def _edge(bottom: bool) -> Callable[[Described], float]:
    def share(one: Described) -> float:
        rows = max(1, round(_EDGE * one.strokes.shape[0]))
        return float((one.strokes[-rows:] if bottom else one.strokes[:rows]).mean())

    return share


def _frame(one: Described) -> float:
    grey = one.plane.mean(axis=2)
    inner = np.zeros(grey.shape, dtype=bool)
    top, left = (max(1, round(0.04 * n)) for n in grey.shape)
    inner[top:-top, left:-left] = True
    return float(grey[~inner].mean())


def _spacing(one: Described) -> float:
    return 0.0 if one.scan.spacing is None else float(np.prod(one.scan.spacing[1:]))


def _colour(first: int, second: int) -> Callable[[Described], float]:
    def difference(one: Described) -> float:
        means = one.plane.mean(axis=(0, 1))
        return 0.0 if len(means) == 1 else float(means[first] - means[second])

    return difference


def _has(code: str) -> Callable[[Scan], str]:
    return lambda scan: str(any(finding.code == code for finding in scan.findings))


PROPERTIES: tuple[Property, ...] = (
    Property("scanner manufacturer", False, category=lambda s: s.manufacturer),
    Property("file format", False, category=lambda s: s.provenance.format),
    Property("encoding (bit depth, compression)", False, category=lambda s: s.provenance.encoding),
    Property("burned-in text that the file declares", False, category=_has("burned-in-text")),
    Property("number of slices", False, number=lambda d: float(d.scan.pixels.shape[0])),
    Property("image size", False, number=lambda d: float(d.scan.pixels.shape[1] * d.scan.pixels.shape[2])),
    Property("proportions", False, number=lambda d: d.scan.pixels.shape[2] / d.scan.pixels.shape[1]),
    Property("pixel spacing", False, number=_spacing),
    Property("marks in the top left corner", False, number=_corner(bottom=False, right=False)),
    Property("marks in the top right corner", False, number=_corner(bottom=False, right=True)),
    Property("marks in the bottom left corner", False, number=_corner(bottom=True, right=False)),
    Property("marks in the bottom right corner", False, number=_corner(bottom=True, right=True)),
    Property("marks along the top edge", False, number=_edge(bottom=False)),
    Property("marks along the bottom edge", False, number=_edge(bottom=True)),
    Property("brightness of the border", True, number=_frame),
    Property("mean brightness", True, number=lambda d: float(d.plane.mean())),
    Property("mean colour (red against green)", True, number=_colour(0, 1)),
    Property("mean colour (green against blue)", True, number=_colour(1, 2)),
)
"""Everything that is tried."""
