"""A saliency map laid over its scan, for eyes. Called by `workbench predict --saliency` and the web UI."""

from __future__ import annotations

import textwrap

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from workbench.adaptation.saliency import NOT_PROOF, SaliencyMap
from workbench.imaging.display import to_display
from workbench.imaging.scan import Scan

_FOR, _AGAINST = np.array([230.0, 80.0, 30.0]), np.array([40.0, 120.0, 230.0])
"""Orange speaks for the class and blue against it: told apart by colour-blind readers."""
_OPAQUE = 0.65
_LONGEST, _FONT = 512, 15
Picture = npt.NDArray[np.uint8]


def overlay(scan: Scan, found: SaliencyMap, size: int = _LONGEST) -> Picture:
    """RGB ``(rows, columns, 3)`` with the longest side `size`; strong evidence is less transparent.

    Args:
        scan: whose map it is.
        found: the map.
        size: longest side in pixels.
    """
    shown = to_display(scan, slice_index=found.slice_index, size=size).astype(np.float64)
    rows, columns = shown.shape[:2]
    values = np.asarray(Image.fromarray(found.values).resize((columns, rows), Image.Resampling.BILINEAR))
    strongest = float(np.abs(values).max()) or 1.0
    share = (np.abs(values) / strongest)[..., None] * _OPAQUE
    colour = np.where((values > 0)[..., None], _FOR, _AGAINST)
    mixed: Picture = (shown * (1 - share) + colour * share).round().clip(0, 255).astype(np.uint8)
    return mixed


def captioned(picture: Picture, found: SaliencyMap) -> Picture:
    """The picture above what it shows and what it does not, as part of the image so that it travels."""
    said = f"Orange speaks for {found.label!r}, blue against it ({found.method}). {NOT_PROOF}"
    width = picture.shape[1]
    lines = [line for line in textwrap.wrap(said, max(20, width * 2 // _FONT)) if line]
    strip = Image.new("RGB", (width, (_FONT + 4) * len(lines) + 8), "white")
    font = ImageFont.load_default(_FONT)
    for number, line in enumerate(lines):
        ImageDraw.Draw(strip).text((6, 4 + number * (_FONT + 4)), line, fill="black", font=font)
    return np.concatenate([picture, np.asarray(strip)])
