"""Histograms of oriented gradients: no parameters, nothing to train.

Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005. Centred differences, at
each pixel of the channel whose gradient is strongest; orientations modulo 180 degrees in nine bins, each
gradient shared linearly between the two nearest; bins averaged over a grid of cells; blocks of 2x2 cells of
unit length, clipped at 0.2 and brought to unit length again (L2-Hys). Here the grid has 8x8 cells whatever
the image's size, a cell takes whole pixels, and the joined blocks are brought to unit length.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec

BINS, CELLS = 9, 8
_CLIP, _TINY = 0.2, 1e-3


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Strength and orientation of the gradient at each pixel but those of the border.

    Args:
        images: ``(n, channels, h, w)``.

    Returns:
        Two ``(n, 1, h - 2, w - 2)``; orientation in radians, 0 (left to right) to pi, y pointing down.
    """
    dx = images[:, :, 1:-1, 2:] - images[:, :, 1:-1, :-2]
    dy = images[:, :, 2:, 1:-1] - images[:, :, :-2, 1:-1]
    strength, channel = torch.hypot(dx, dy).max(dim=1, keepdim=True)
    angle = torch.atan2(dy.gather(1, channel), dx.gather(1, channel))
    return strength, angle.remainder(math.pi)


def cell_histograms(images: Tensor) -> Tensor:
    """Mean strength by orientation in each cell, ``(n, 9, 8, 8)``; bin k is centred on k * 20 degrees."""
    strength, angle = gradients(images)
    place = angle * (BINS / math.pi)
    bins = torch.arange(BINS, device=images.device).view(1, -1, 1, 1)
    # Distance on the circle of BINS: bin 0 is also the neighbour of the last.
    apart = (place - bins).abs()
    apart = torch.minimum(apart, BINS - apart)
    return F.adaptive_avg_pool2d(strength * (1 - apart).clamp_min(0), CELLS)


def blocks(cells: Tensor) -> Tensor:
    """L2-Hys over overlapping blocks of 2x2 cells: ``(n, b, h, w)`` to ``(n, (h - 1) (w - 1), 4 b)``."""
    windows = F.unfold(cells, 2).transpose(1, 2)
    unit = windows / (windows.square().sum(2, keepdim=True) + _TINY**2).sqrt()
    return F.normalize(unit.clamp_max(_CLIP), dim=2)


class HOG(Backbone):
    """See the module's description."""

    dim = 4 * BINS * (CELLS - 1) ** 2

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, 1764)`` of unit length (of length 0 for a blank image)."""
        return F.normalize(blocks(cell_histograms(images.float())).flatten(1), dim=1)


@register("hog")
def _hog(spec: BackboneSpec) -> Backbone:
    return HOG()
