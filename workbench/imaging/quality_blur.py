"""Blur along one direction, as motion makes it.

Motion averages neighbours along its direction: there the image differs no more between neighbours than a
straight slope would, while across it detail stays. Called by `quality`; `benchmarks.quality` sets the
threshold and prints how much of what is found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

WORKING_SIDE = 224
"""Longest side at which blur is judged: the largest input of a model, so that what it cannot see counts
not."""
MIN_SIDE = 48
THRESHOLD = 0.514
"""Below it an image counts as blurred; 0.5 is a straight slope, 1 is white noise."""

_DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1))
"""Steps (rows, columns); the direction across each is two further on."""
_ACROSS = 0.2
"""Weight of the comparison with the direction across, in the exponent."""


def smoothness(grey: npt.NDArray[np.uint8]) -> float:
    """The least ratio of differences at distance 1 to those at distance 2, over four directions.

    ``min_d r_d (r_d / r_across(d))^0.2`` with ``r_d = mean |x(p + d) - x(p)| / mean |x(p + 2 d) - x(p)|``.

    Args:
        grey: uint8 ``(rows, columns)``.

    Returns:
        1.0 where the image is too small or flat to tell.
    """
    plane = _at_working_size(grey)
    if min(plane.shape) < MIN_SIDE:
        return 1.0
    near = [_difference(plane, step, 1) for step in _DIRECTIONS]
    far = [_difference(plane, step, 2) for step in _DIRECTIONS]
    if min(far) < 1e-3 or min(near) < 1e-6:
        return 1.0
    ratios = [a / b for a, b in zip(near, far, strict=True)]
    return min(float(r * (r / ratios[(k + 2) % 4]) ** _ACROSS) for k, r in enumerate(ratios))


def _at_working_size(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    rows, columns = grey.shape
    scale = WORKING_SIDE / max(rows, columns)
    if scale >= 1.0:
        return grey.astype(np.float32)
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    return np.asarray(Image.fromarray(grey).convert("F").resize(size, Image.Resampling.BOX), dtype=np.float32)


def _difference(plane: npt.NDArray[np.float32], step: tuple[int, int], reach: int) -> float:
    down, right = step[0] * reach, step[1] * reach
    rows, columns = plane.shape
    first = plane[: rows - down, max(0, -right) : columns - max(0, right)]
    second = plane[down:, max(0, right) : columns + min(0, right)]
    return float(np.abs(first - second).mean())
