"""Text drawn into the pixels: names, dates, banners, scale labels.

Text is thin strokes of one level, in characters of like height, standing on one line: each part alone also
occurs in anatomy, all together hardly. Short marks (fewer than four characters, an "L" on an X-ray) and
handwriting are not found. Called by `quality`; `benchmarks.quality` prints how much of what is found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Grey = npt.NDArray[np.uint8]

MIN_SIDE = 48
"""Below, characters are too few pixels to tell from texture."""
MAX_SIDE = 1024
CHARACTERS = 4
"""Fewest characters of a line."""

_STROKE = 7
"""Widest stroke plus one, in pixels."""
_HEADLINES = 400
"""Shorter side from which strokes of twice that are looked for."""
_CONTRAST = 60
"""Least difference of a stroke to what surrounds it, of 255."""
_LEVELS = 20
"""Most difference of level between the characters of a line, of 255."""
_BASELINE = 0.12
"""Most distance of a character's foot from the line, in heights."""
_HANGING = 0.34
"""Most characters whose foot is elsewhere."""
_END = 225
_SPREAD_AT_END, _SPREAD = 12, 5
"""Most spread of level along a line (20th to 80th percentile): at the end of the scale, and elsewhere."""
_SPACE = 1.1
"""Widest space between two characters, in heights."""
_FARTHEST = _SPACE * 6 * _STROKE
_POWER = 24
_MOST_PARTS = 6000


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text in the pixels: its box as (top, left, bottom, right), half open, in pixels."""

    box: tuple[int, int, int, int]
    characters: int


def text_lines(grey: Grey) -> tuple[TextLine, ...]:
    """Lines of drawn text, brighter or darker than what they stand on.

    Args:
        grey: uint8 ``(rows, columns)``; larger than `MAX_SIDE` it is looked at in parts of that size.
    """
    if min(grey.shape) < MIN_SIDE:
        return ()
    found: list[TextLine] = []
    for top in range(0, grey.shape[0], MAX_SIDE):
        for left in range(0, grey.shape[1], MAX_SIDE):
            part = grey[top : top + MAX_SIDE, left : left + MAX_SIDE]
            if min(part.shape) < MIN_SIDE:
                continue
            # Headlines are looked for at half the size, where their strokes are as thin as small print.
            for scale in (1, 2) if min(part.shape) >= _HEADLINES else (1,):
                sized = part if scale == 1 else _halved(part)
                for line in (*_lines(sized), *_lines(255 - sized)):
                    a, b, c, d = (scale * edge for edge in line.box)
                    found.append(TextLine((a + top, b + left, c + top, d + left), line.characters))
    return tuple(found)


def _halved(plane: Grey) -> Grey:
    rows, columns = plane.shape[0] // 2 * 2, plane.shape[1] // 2 * 2
    even = plane[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2)
    return np.asarray(even.mean(axis=(1, 3)).astype(np.uint8))


def _lines(plane: Grey) -> list[TextLine]:
    """Lines of bright text."""
    strokes = plane - _opening(plane, _STROKE) >= _CONTRAST
    labels, count = ndimage.label(strokes, structure=np.ones((3, 3), dtype=bool))
    if not CHARACTERS <= count <= _MOST_PARTS:
        return []
    boxes, levels = _characters(plane, labels)
    return _chains(boxes, levels) if len(boxes) >= CHARACTERS else []


def _characters(
    plane: Grey, labels: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Boxes ``(n, 4)`` and levels ``(n,)`` of the parts that may be characters."""
    found = [(s[0].start, s[1].start, s[0].stop, s[1].stop) for s in ndimage.find_objects(labels)]
    boxes = np.array(found, dtype=np.int64)
    areas = np.bincount(labels.ravel())[1:]
    heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    fill = areas / (heights * widths)
    # An "l" or "1" is a filled bar; everything else leaves room within its box.
    shaped = np.where(widths <= 0.4 * heights, fill > 0.4, (fill > 0.2) & (fill < 0.85))
    fits = (heights >= 5) & (heights <= 6 * _STROKE) & (widths <= 1.5 * heights) & shaped
    index = np.flatnonzero(fits) + 1
    return boxes[index - 1], _levels(plane, labels, areas)[index - 1]


def _levels(
    plane: Grey, labels: npt.NDArray[np.int32], areas: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Level of each part's core: a power mean, since the rim of a stroke is paler than its middle."""
    inside = labels > 0
    powers = (plane[inside] / 255.0) ** _POWER
    sums = np.bincount(labels[inside], weights=powers, minlength=len(areas) + 1)[1:]
    return np.asarray(255.0 * (sums / areas) ** (1.0 / _POWER))


def _opening(plane: Grey, width: int) -> Grey:
    """Grey opening by a square: what is narrower than `width` goes."""
    low = _extreme(_extreme(plane, width, 0, np.minimum), width, 1, np.minimum)
    return _extreme(_extreme(low, width, 0, np.maximum), width, 1, np.maximum)


def _extreme(plane: Grey, width: int, axis: int, of: np.ufunc) -> Grey:
    """Running minimum or maximum over `width` pixels, by doubling: much faster than a general filter."""
    turned = plane if axis == 1 else plane.T
    run = np.pad(turned, ((0, 0), (width // 2, width // 2)), mode="edge")
    reach = 1
    while reach < width:
        step = min(reach, width - reach)
        run = of(run[:, :-step], run[:, step:])
        reach += step
    found: Grey = run if axis == 1 else run.T
    return found


def _chains(boxes: npt.NDArray[np.int64], levels: npt.NDArray[np.float64]) -> list[TextLine]:
    """Characters that follow each other on one line, joined from left to right."""
    order = np.argsort(boxes[:, 1], kind="stable")
    boxes, levels = boxes[order], levels[order]
    places, shades = boxes.tolist(), levels.tolist()
    chains: list[list[int]] = []
    near: list[list[int]] = []
    for row, place in enumerate(places):
        # Boxes come from left to right: what ended far to the left can have no successor any more.
        near = [chain for chain in near if place[1] - places[chain[-1]][3] <= _FARTHEST]
        best, gap = None, float("inf")
        for chain in near:
            last = chain[-1]
            between = place[1] - places[last][3]
            if between < gap and abs(shades[row] - shades[last]) <= _LEVELS and _follows(place, places[last]):
                best, gap = chain, between
        if best is None:
            best = []
            chains.append(best)
            near.append(best)
        best.append(row)
    long = [chain for chain in chains if len(chain) >= CHARACTERS]
    return [_line(boxes[chain]) for chain in long if _stands(boxes[chain]) and _drawn(levels[chain])]


def _follows(box: list[int], last: list[int]) -> bool:
    """Whether a character may stand next to another: of like height, on the same line, not far."""
    height, before = box[2] - box[0], last[2] - last[0]
    tall, small = max(height, before), min(height, before)
    shared = min(box[2], last[2]) - max(box[0], last[0])
    return -0.2 * tall <= box[1] - last[3] <= _SPACE * tall and tall <= 1.9 * small and shared >= 0.7 * small


def _drawn(levels: npt.NDArray[np.float64]) -> bool:
    """Whether the characters are of one level, or nearly so at the very end of the scale."""
    spread = float(np.percentile(levels, 80) - np.percentile(levels, 20))
    return spread <= (_SPREAD_AT_END if np.median(levels) >= _END else _SPREAD)


def _stands(boxes: npt.NDArray[np.int64]) -> bool:
    """Whether most characters stand on one line: some hang below it ("y"), some are small ("o")."""
    height = np.median(boxes[:, 2] - boxes[:, 0])
    off = np.abs(boxes[:, 2] - np.median(boxes[:, 2])) > max(1.0, _BASELINE * height)
    return bool(off.mean() <= _HANGING)


def _line(boxes: npt.NDArray[np.int64]) -> TextLine:
    top, left = boxes[:, :2].min(axis=0)
    bottom, right = boxes[:, 2:].max(axis=0)
    return TextLine((int(top), int(left), int(bottom), int(right)), len(boxes))
