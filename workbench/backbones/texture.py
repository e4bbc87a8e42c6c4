"""First- and second-order statistics of grey levels: no parameters, nothing to train.

First order: the histogram of 16 levels and its mean, spread, skewness and excess kurtosis. Second order:
the co-occurrence matrix of 8 levels at distances 1 and 3, symmetric, averaged over four directions (0, 45,
90 and 135 degrees) so that orientation hardly matters, and five of its properties after Haralick, Shanmugam
and Dinstein, "Textural Features for Image Classification", IEEE Transactions SMC 1973: angular second
moment, contrast, correlation, inverse difference moment and entropy. All for each channel. Properties are
divided by the largest values they can take; of histograms and matrices the root is taken, which gives each
unit length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec

LEVELS, HISTOGRAM, DISTANCES = 8, 16, (1, 3)
PROPERTIES, MOMENTS = 5, 4
_RANGE = 2.0
"""Grey levels are taken from -2 to 2, which the recipe's usual normalisation makes of 0 to 255."""


def quantise(images: Tensor, levels: int) -> Tensor:
    """Level of each pixel, int64 in ``[0, levels)``; the range is divided evenly, beyond it is clipped."""
    return ((images + _RANGE) * (levels / (2 * _RANGE))).floor().clamp_(0, levels - 1).long()


def co_occurrence(level: Tensor, distance: int) -> Tensor:
    """Share of pixel pairs with levels i and j.

    Args:
        level: int64 ``(n, h, w)`` in ``[0, LEVELS)``.
        distance: between the pixels of a pair, in rows and columns.

    Returns:
        ``(n, LEVELS, LEVELS)``, symmetric, of sum 1; the mean over the four directions.
    """
    planes = F.one_hot(level, LEVELS).permute(0, 3, 1, 2).float()
    d = distance
    pairs = (
        (planes[..., :, d:], planes[..., :, :-d]),
        (planes[..., d:, :], planes[..., :-d, :]),
        (planes[..., d:, d:], planes[..., :-d, :-d]),
        (planes[..., d:, :-d], planes[..., :-d, d:]),
    )
    total = level.new_zeros(len(level), LEVELS, LEVELS, dtype=torch.float32)
    for one, other in pairs:
        total += one.flatten(2) @ other.flatten(2).transpose(1, 2) / one[0, 0].numel()
    return (total + total.transpose(1, 2)) / (2 * len(pairs))


def properties(matrix: Tensor) -> Tensor:
    """Haralick's f1, f2, f3, f5 and f9 of ``(n, k, k)`` matrices: ``(n, 5)``, each at most 1 in size."""
    index = torch.arange(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    apart = (index[:, None] - index).square()
    share = matrix.sum(2)  # of either margin, the matrix being symmetric
    mean = (share * index).sum(1)
    variance = (share * index.square()).sum(1) - mean.square()
    product = (matrix * index[:, None] * index).sum((1, 2)) - mean.square()
    return torch.stack(
        [
            matrix.square().sum((1, 2)),
            (matrix * apart).sum((1, 2)) / float(apart.max()),
            # One level only: its pixels agree completely.
            torch.where(variance > 1e-6, product / variance.clamp_min(1e-6), 1.0),
            (matrix / (1 + apart)).sum((1, 2)),
            -torch.xlogy(matrix, matrix).sum((1, 2)) / math.log(matrix.shape[1] ** 2),
        ],
        dim=1,
    )


def moments(pixels: Tensor) -> Tensor:
    """Mean, spread, skewness and excess kurtosis of each row, the last two squashed by x / (1 + |x|)."""
    mean = pixels.mean(1, keepdim=True)
    centred = pixels - mean
    spread = centred.square().mean(1, keepdim=True).sqrt()
    unit = centred / spread.clamp_min(1e-3)
    shape = torch.cat([unit.pow(3).mean(1, keepdim=True), unit.pow(4).mean(1, keepdim=True) - 3], dim=1)
    return torch.cat([mean / _RANGE, spread / _RANGE, shape / (1 + shape.abs())], dim=1)


class Texture(Backbone):
    """See the module's description.

    Args:
        channels: of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim = channels * (HISTOGRAM + MOMENTS + len(DISTANCES) * (LEVELS**2 + PROPERTIES))

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, channels * 158)`` of unit length."""
        planes = images.float().flatten(0, 1)
        pixels = planes.flatten(1)
        fine = quantise(pixels, HISTOGRAM)
        histogram = pixels.new_zeros(len(pixels), HISTOGRAM).scatter_add_(1, fine, torch.ones_like(pixels))
        parts = [(histogram / pixels.shape[1]).sqrt(), moments(pixels)]
        level = quantise(planes, LEVELS)
        for distance in DISTANCES:
            matrix = co_occurrence(level, distance)
            parts += [matrix.flatten(1).sqrt(), properties(matrix)]
        return F.normalize(torch.cat(parts, dim=1).reshape(len(images), -1), dim=1)


@register("texture")
def _texture(spec: BackboneSpec) -> Backbone:
    return Texture(spec.channels)
