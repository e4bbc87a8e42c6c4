"""Batched augmentation for images of any condition: no Python loop over images.

Every strength is drawn for each image. One ``grid_sample`` does flip, rotation, anisotropic scale, shear
and shift; the colour part imitates what differs between clinics (stain, exposure, gamma, inversion,
grey), the resolution part what differs between scanners (blur by down- and up-sampling, noise). Applied
by the data module to training images only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.data.augment_volumes import augment_volumes


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far each change may go, and how often it happens.

    The defaults are gentle on purpose: a frozen encoder is read by its colours and exposure too, which
    strong changes would teach it to ignore (measured: docs/encoder.md).

    Attributes:
        rotate: degrees either way, for images that rotate freely.
        upright: share of images rotated by at most `tilt` degrees instead.
        tilt: see `upright`.
        zoom: side of the window read, relative to the image.
        stretch: log aspect ratio.
        shear: off-diagonal of the affine map.
        shift: share of the room that a smaller window leaves (1: anywhere).
        colour_share: share of images whose colours change.
        gain: log gain of each channel.
        bias: offset of each channel.
        contrast: log contrast about the image's mean.
        gamma: log gamma.
        saturation: relative change of colour against grey.
        invert_share, grey_share, shuffle_share: share of images inverted, turned grey, or with channels
            permuted.
        blur_share: share of images reduced to a quarter to three quarters of their side and enlarged.
        noise_share: share of images with noise, half additive and half speckle.
        noise: its largest standard deviation.
        erase_share: share of images with a box painted over.
        erase: side of that box, relative to the image.
    """

    rotate: float = 180.0
    upright: float = 0.4
    tilt: float = 15.0
    zoom: tuple[float, float] = (0.65, 1.1)
    stretch: float = 0.2
    shear: float = 0.12
    shift: float = 0.5
    colour_share: float = 0.8
    gain: float = 0.1
    bias: float = 0.04
    contrast: float = 0.2
    gamma: float = 0.2
    saturation: float = 0.3
    invert_share: float = 0.0
    grey_share: float = 0.0
    shuffle_share: float = 0.0
    blur_share: float = 0.15
    noise_share: float = 0.15
    noise: float = 0.05
    erase_share: float = 0.1
    erase: tuple[float, float] = (0.1, 0.4)


def _u(n: int, low: float, high: float, g: torch.Generator | None, *shape: int) -> Tensor:
    return torch.empty(n, *(shape or (1, 1, 1))).uniform_(low, high, generator=g)


def _p(n: int, p: float, g: torch.Generator | None) -> Tensor:
    return _u(n, 0.0, 1.0, g) < p


def augment(images: Tensor, s: Augmentation, generator: torch.Generator | None = None) -> Tensor:
    """One random view of each image.

    Args:
        images: uint8 ``(n, size, size, channels)``, one or three channels; or volumes, which have a depth
            before the size (see `augment_volumes`).
        s: strengths.
        generator: of the random numbers; the same state gives the same views.

    Returns:
        uint8 of the same shape.
    """
    if images.ndim == 5:
        return augment_volumes(images, s, generator)
    x = images.permute(0, 3, 1, 2).float().div_(255)
    channels = x.shape[1]
    view = _view(x.expand(-1, 3, -1, -1) if channels == 1 else x, s, generator)
    if channels == 1:
        view = view[:, :1]
    return view.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1)


def _view(images: Tensor, s: Augmentation, generator: torch.Generator | None) -> Tensor:
    """Float ``(n, 3, size, size)`` in 0 to 1, and the same back in channels_last memory."""
    size = images.shape[-1]
    g, n = generator, images.shape[0]
    # --- geometry, in the [-1, 1] frame of grid_sample
    upright = _u(n, 0, 1, g)[:, 0, 0, 0] < s.upright
    angle = torch.where(
        upright,
        _u(n, -s.tilt, s.tilt, g)[:, 0, 0, 0],
        _u(n, -s.rotate, s.rotate, g)[:, 0, 0, 0],
    ) * (math.pi / 180)
    zoom = _u(n, math.log(s.zoom[0]), math.log(s.zoom[1]), g)[:, 0, 0, 0].exp()
    ratio = _u(n, -s.stretch / 2, s.stretch / 2, g)[:, 0, 0, 0].exp()
    flip = torch.where(_u(n, 0, 1, g)[:, 0, 0, 0] < 0.5, -1.0, 1.0)
    shear = _u(n, -s.shear, s.shear, g)[:, 0, 0, 0]
    c, d = angle.cos(), angle.sin()
    zx, zy = zoom * ratio * flip, zoom / ratio
    room = (1 - zoom).clamp(min=0.05) * s.shift
    tx, ty = (_u(n, -1, 1, g)[:, 0, 0, 0] * room for _ in range(2))
    theta = torch.stack(
        [
            torch.stack([c * zx, (shear * c - d) * zy, tx], 1),
            torch.stack([d * zx, (shear * d + c) * zy, ty], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    x = F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
    # --- colour
    on = _p(n, s.colour_share, g)
    zero = torch.zeros(())
    luma = (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    sat = torch.where(on, _u(n, -s.saturation, s.saturation, g), zero)
    sat = torch.where(_p(n, s.grey_share, g), torch.full((n, 1, 1, 1), -1.0), sat)
    x = luma + (1 + sat) * (x - luma)
    mean = luma.mean((2, 3), keepdim=True)
    k = torch.where(on, _u(n, -s.contrast, s.contrast, g), zero).exp()
    gain = torch.where(on, _u(n, -s.gain, s.gain, g, 3, 1, 1), zero).exp()
    bias = torch.where(on, _u(n, -s.bias, s.bias, g, 3, 1, 1), zero)
    x = ((x - mean) * (k * gain) + mean * gain + bias).clamp_(0, 1)
    gamma = torch.where(on, _u(n, -s.gamma, s.gamma, g), zero).exp()
    x = x.clamp_(min=1e-4).pow(gamma)
    x = torch.where(_p(n, s.invert_share, g), 1 - x, x)
    order = torch.rand(n, 3, generator=g).argsort(1)
    order = torch.where(_p(n, s.shuffle_share, g)[:, :, 0, 0], order, torch.arange(3))
    x = x.gather(1, order.view(n, 3, 1, 1).expand_as(x))
    # --- resolution and noise
    if s.blur_share:
        low = max(4, int(size * float(torch.empty(()).uniform_(0.25, 0.75, generator=g))))
        soft = F.interpolate(x, size=(low, low), mode="bilinear", antialias=True)
        soft = F.interpolate(soft, size=(size, size), mode="bilinear")
        x = torch.where(_p(n, s.blur_share, g), soft, x)
    if s.noise_share:
        amount = torch.where(_p(n, s.noise_share, g), _u(n, 0, s.noise, g), zero)
        grain = torch.randn(n, 1, size, size, generator=g)
        x = x + amount * grain * (0.5 + x)
    if s.erase_share:
        side_x, side_y = (_u(n, *s.erase, g) for _ in range(2))
        cx, cy = (_u(n, 0, 1, g) for _ in range(2))
        ax = (torch.arange(size) + 0.5) / size
        inside = ((ax.view(1, 1, 1, -1) - cx).abs() < side_x / 2) & (
            (ax.view(1, 1, -1, 1) - cy).abs() < side_y / 2
        )
        x = torch.where(inside & _p(n, s.erase_share, g), _u(n, 0, 1, g, 3, 1, 1), x)
    return x.clamp_(0, 1).contiguous(memory_format=torch.channels_last)
