"""Turning a `Scan` into something for eyes: window, level, thumbnails.

Nothing here reaches a model; that is `Recipe`'s work. Called by the web UI, reports and notebooks.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from PIL import Image

from workbench.imaging.scan import Scan, Units

WINDOW_PRESETS = MappingProxyType(
    {
        "Lung": (-600.0, 1500.0),
        "Mediastinum": (40.0, 400.0),
        "Abdomen": (60.0, 350.0),
        "Liver": (80.0, 160.0),
        "Bone": (400.0, 1800.0),
        "Brain": (40.0, 80.0),
        "Stroke": (35.0, 40.0),
    }
)
"""Usual (centre, width) in HU for CT."""

_PERCENTILES = (1.0, 99.0)
_LONGEST = 4096


def default_window(scan: Scan, slice_index: int | None = None) -> tuple[float, float]:
    """Window shown when nobody has chosen one, as (centre, width) in `Scan.units`.

    The file's own; else the full scale of display values; else the 1st to 99th percentile of the slice.
    """
    if scan.window is not None:
        return scan.window
    if scan.units is Units.DISPLAY and scan.value_range is not None:
        low, high = scan.value_range
    else:
        low, high = (float(v) for v in np.percentile(_plane(scan, slice_index), _PERCENTILES))
    return (low + high) / 2.0, max(high - low, 1e-6)


def to_display(
    scan: Scan,
    window: tuple[float, float] | None = None,
    slice_index: int | None = None,
    size: int | None = None,
) -> npt.NDArray[np.uint8]:
    """One slice as RGB for a screen.

    Values are mapped linearly (PS3.3 C.11.2.1.3.2, LINEAR_EXACT): centre - width / 2 is black, centre +
    width / 2 white.

    Args:
        scan: any scan.
        window: (centre, width) in `Scan.units`; `default_window` where not given.
        slice_index: counted from 0 and held within the volume; the middle slice where not given.
        size: longest side in pixels; pixels that are not square are then shown in true proportion. As
            stored where not given.

    Returns:
        uint8 ``(rows, columns, 3)``.

    Raises:
        ValueError: a width or size that is not positive.
    """
    centre, width = window if window is not None else default_window(scan, slice_index)
    if width <= 0:
        raise ValueError(f"A window's width must be positive, not {width}")
    unit = np.clip((_plane(scan, slice_index) - (centre - width / 2.0)) / width, 0.0, 1.0)
    levels = (unit * 255.0).round().astype(np.uint8)
    shown = np.repeat(levels, 3, axis=-1) if levels.shape[-1] == 1 else levels
    return np.ascontiguousarray(shown) if size is None else _fit(shown, size, scan.spacing)


def thumbnail(scan: Scan, size: int = 160) -> npt.NDArray[np.uint8]:
    """The middle slice in its default window, uint8 ``(rows, columns, 3)``, longest side `size`."""
    return to_display(scan, size=size)


def _plane(scan: Scan, slice_index: int | None) -> npt.NDArray[np.float32]:
    count = scan.pixels.shape[0]
    index = count // 2 if slice_index is None else min(max(slice_index, 0), count - 1)
    return np.asarray(scan.pixels[index])


def _fit(
    picture: npt.NDArray[np.uint8], size: int, spacing: tuple[float, float, float] | None
) -> npt.NDArray[np.uint8]:
    if not 1 <= size <= _LONGEST:
        raise ValueError(f"size must be 1 to {_LONGEST} pixels, not {size}")
    height, width = float(picture.shape[0]), float(picture.shape[1])
    if spacing is not None and min(spacing[1:]) > 0:
        height, width = height * spacing[1], width * spacing[2]
    scale = size / max(height, width)
    target = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(target, Image.Resampling.LANCZOS))
