"""Batched augmentation of volumes: what `augment` does to images, as far as a stack of them allows.

The slices of a volume move and change together. Called by `augment`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from workbench.data.augment import Augmentation


def augment_volumes(volumes: Tensor, s: Augmentation, generator: torch.Generator | None = None) -> Tensor:
    """One random view of each volume.

    Of the geometry: rotation within the slices, zoom and shift in all three directions, mirrored left to
    right or not. Of the colour: gain, bias, contrast and gamma, the same for all channels. Noise as for
    images; blur, shear, stretch and erasing are for images only.

    Args:
        volumes: uint8 ``(n, depth, size, size, channels)``.
        s: strengths.
        generator: of the random numbers; the same state gives the same views.

    Returns:
        uint8 of the same shape.
    """
    n, g = len(volumes), generator

    def u(low: float, high: float) -> Tensor:
        return torch.empty(n).uniform_(low, high, generator=g)

    x = volumes.movedim(-1, 1).float().div_(255)
    angle = torch.where(u(0, 1) < s.upright, u(-s.tilt, s.tilt), u(-s.rotate, s.rotate)) * (math.pi / 180)
    zoom = u(math.log(s.zoom[0]), math.log(s.zoom[1])).exp()
    flip = torch.where(u(0, 1) < 0.5, -1.0, 1.0)
    room = (1 - zoom).clamp(min=0.05) * s.shift
    shift = [u(-1, 1) * room for _ in range(3)]
    c, d, zero = angle.cos() * zoom, angle.sin() * zoom, torch.zeros(n)
    # In the [-1, 1] frame of grid_sample: columns, rows, slices.
    theta = torch.stack(
        [
            torch.stack([c * flip, -d, zero, shift[0]], 1),
            torch.stack([d * flip, c, zero, shift[1]], 1),
            torch.stack([zero, zero, zoom, shift[2]], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, padding_mode="zeros", align_corners=False)

    def each(values: Tensor) -> Tensor:
        return values.view(n, 1, 1, 1, 1)

    on = (u(0, 1) < s.colour_share).float()
    mean = x.mean((1, 2, 3, 4), keepdim=True)
    contrast, gain = each((on * u(-s.contrast, s.contrast)).exp()), each((on * u(-s.gain, s.gain)).exp())
    x = (x - mean) * (contrast * gain) + mean * gain + each(on * u(-s.bias, s.bias))
    x = x.clamp_(1e-4, 1).pow(each((on * u(-s.gamma, s.gamma)).exp()))
    if s.noise_share:
        amount = torch.where(u(0, 1) < s.noise_share, u(0, s.noise), zero)
        x = x + each(amount) * torch.randn(x.shape, generator=g) * (0.5 + x)
    return x.clamp_(0, 1).mul_(255).round_().to(torch.uint8).movedim(1, -1)
