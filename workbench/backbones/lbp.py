"""Local binary patterns: no parameters, nothing to train.

Ojala, Pietikainen and Maenpaa, "Multiresolution Gray-Scale and Rotation Invariant Texture Classification
with Local Binary Patterns", TPAMI 2002. Eight points on a circle of radius R around a pixel, read between
pixels by bilinear interpolation, are compared with it: ``code = sum_p 2^p [g_p >= g_c]``. A
code is uniform if its bits, read around the circle, change at most twice; each of the 58 uniform codes has
a bin of the histogram and all others share one. Radii 1, 2 and 3 and each channel have a histogram of their
own, of whose shares the root is taken (Hellinger: Arandjelovic and Zisserman 2012), so that each has unit
length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec

POINTS, RADII = 8, (1, 2, 3)
BINS = POINTS * (POINTS - 1) + 3
"""58 uniform codes and one bin for the rest."""
_SAME = 1e-4
"""Differences below this are rounding of the interpolation: grey levels are 0.016 apart."""


def transitions(code: int) -> int:
    """How often the bits of a code change, read once around the circle."""
    bits = [(code >> p) & 1 for p in range(POINTS)]
    return sum(bits[p] != bits[p - 1] for p in range(POINTS))


def uniform_bins() -> Tensor:
    """The bin of each of the 256 codes, int64: 0 to 57 for uniform ones in rising order, 58 for the rest."""
    uniform = [code for code in range(2**POINTS) if transitions(code) <= 2]
    table = torch.full((2**POINTS,), BINS - 1, dtype=torch.int64)
    table[uniform] = torch.arange(len(uniform))
    return table


def codes(images: Tensor, radius: int) -> Tensor:
    """Codes of all pixels whose circle lies in the image.

    Args:
        images: ``(n, channels, h, w)``.
        radius: in pixels; the first point is to the right of the pixel and the others follow upwards.

    Returns:
        int64 ``(n, channels, h - 2 radius, w - 2 radius)``, 0 to 255.
    """
    height, width = (side - 2 * radius for side in images.shape[-2:])
    centre = images[..., radius : radius + height, radius : radius + width]
    code = torch.zeros_like(centre, dtype=torch.int64)
    for point in range(POINTS):
        angle = 2 * math.pi * point / POINTS
        # Rounded, because the sine of pi is not 0 in floating point and would ask for a row further on.
        y = round(radius - radius * math.sin(angle), 6)
        x = round(radius + radius * math.cos(angle), 6)
        top, left = math.floor(y), math.floor(x)
        value = torch.zeros_like(centre)
        for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
            for column, right in ((left, 1 - (x - left)), (left + 1, x - left)):
                if down * right:
                    value += down * right * images[..., row : row + height, column : column + width]
        code += (value >= centre - _SAME).long() << point
    return code


class LBP(Backbone):
    """See the module's description.

    Args:
        channels: of the input.
    """

    table: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim = channels * len(RADII) * BINS
        self.register_buffer("table", uniform_bins(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, channels * 177)`` of unit length: radius by radius, channel by channel."""
        parts = []
        for radius in RADII:
            bins = self.table[codes(images.float(), radius)].flatten(2)
            shares = images.new_zeros(*bins.shape[:2], BINS, dtype=torch.float32)
            ones = torch.ones((), dtype=torch.float32, device=images.device).expand(bins.shape)
            parts.append(shares.scatter_add_(2, bins, ones).div_(bins.shape[2]).sqrt().flatten(1))
        return F.normalize(torch.cat(parts, dim=1), dim=1)


@register("lbp")
def _lbp(spec: BackboneSpec) -> Backbone:
    return LBP(spec.channels)
