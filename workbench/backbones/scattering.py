"""Wavelet scattering of orders 0 to 2: no parameters, nothing to train.

Bruna and Mallat, "Invariant Scattering Convolution Networks", TPAMI 2013. With wavelets psi of J = 3 scales
and L = 6 orientations and a Gaussian phi of width 2^J:

``S0 = x * phi``, ``S1 = |x * psi_1| * phi``, ``S2 = ||x * psi_1| * psi_2| * phi`` with psi_2 coarser than
psi_1: 1 + 18 + 108 maps, averaged over 2^J pixels, so that shifts of a few pixels change
little.

The wavelets are Morlet's, made in the frequency domain and divided by one number such that
``|phi|^2 + (|psi(w)|^2 + |psi(-w)|^2) / 2`` summed over them stays below 1: scattering then never adds
energy or increases distances. A map is kept at the resolution its wavelet leaves (every
2^j-th pixel). Images are mirrored at their border.

The embedding has the mean of each map of orders 1 and 2 over the image, for each channel; its root is
taken, because their values span several decades, and each order is brought to unit length. Order 0,
which says what the mean of the image is, is computed but left out: at unit length beside the others it cost
accuracy (docs/encoder.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec

SCALES, ORIENTATIONS = 3, 6
FIRST = SCALES * ORIENTATIONS
MAPS = 1 + FIRST + ORIENTATIONS**2 * SCALES * (SCALES - 1) // 2
_STRIDE = 2**SCALES
_PLANES = 8
"""Taken at once, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Filters:
    """Transfer functions, real, on the grid of `torch.fft.fft2`.

    Attributes:
        low: of phi, ``(side, side)``.
        band: of the wavelets, ``(scales, orientations, side, side)``, finest first.
    """

    low: Tensor
    band: Tensor


def _gaussian(v: Tensor, u: Tensor, across: float, along: float, angle: float) -> Tensor:
    """Fourier transform of a Gaussian of these widths in pixels, whose first axis has this angle."""
    a = u * math.cos(angle) + v * math.sin(angle)
    b = v * math.cos(angle) - u * math.sin(angle)
    return torch.exp(-0.5 * ((across * a) ** 2 + (along * b) ** 2))


def filters(side: int) -> Filters:
    """phi and the Morlet wavelets for images of this side."""
    axis = torch.fft.fftfreq(side, dtype=torch.float64) * 2 * math.pi
    # Frequencies beyond half the sampling rate fold back: a discrete filter is the sum over their copies.
    copies = [2 * math.pi * k for k in (-2, -1, 0, 1, 2)]
    grids = [(axis[:, None] + dv, axis[None] + du) for dv in copies for du in copies]
    low = sum(
        (_gaussian(v, u, 0.8 * 2 ** (SCALES - 1), 0.8 * 2 ** (SCALES - 1), 0) for v, u in grids),
        axis.new_zeros(()),
    )
    bands = []
    for scale in range(SCALES):
        width, centre = 0.8 * 2**scale, 0.75 * math.pi / 2**scale
        for number in range(ORIENTATIONS):
            angle = math.pi * number / ORIENTATIONS
            y, x = centre * math.sin(angle), centre * math.cos(angle)
            along = width * ORIENTATIONS / 4  # longer across the oscillation, the more orientations there are
            envelope = sum((_gaussian(v, u, width, along, angle) for v, u in grids), axis.new_zeros(()))
            wave = sum((_gaussian(v - y, u - x, width, along, angle) for v, u in grids), axis.new_zeros(()))
            # The envelope is taken off until the wavelet has mean 0 (its value at frequency 0).
            bands.append(wave - envelope * (wave[0, 0] / envelope[0, 0]))
    low = low / low[0, 0]
    band = torch.stack(bands)
    reverse = torch.roll(band.flip(1, 2), (1, 1), (1, 2))
    energy = ((band.square() + reverse.square()) / 2).sum(0)
    room = (1 - low.square()).clamp_min(0)
    # Where phi leaves no room (around frequency 0) the wavelets have next to nothing.
    scale_squared = (room / energy.clamp_min(1e-12))[energy > 1e-3 * energy.max()].min()
    band = band * scale_squared.sqrt()
    return Filters(low.float(), band.float().view(SCALES, ORIENTATIONS, side, side))


def _subsample(spectrum: Tensor, step: int) -> Tensor:
    """Spectrum of every step-th pixel: the mean over the frequencies that can no longer be told apart."""
    if step == 1:
        return spectrum
    h, w = spectrum.shape[-2] // step, spectrum.shape[-1] // step
    # Sums of slices: `mean` over two such axes takes twenty times as long.
    rows: Tensor = reduce(torch.add, torch.split(spectrum, h, dim=-2))
    whole: Tensor = reduce(torch.add, torch.split(rows, w, dim=-1))
    return whole * (1 / step**2)


def _modulus(values: Tensor) -> Tensor:
    """Absolute value; `abs` of a complex tensor guards against overflow and takes ten times as long."""
    return torch.addcmul(values.real.square(), values.imag, values.imag).sqrt()


def scatter(images: Tensor, given: Filters) -> Tensor:
    """All maps of orders 0 to 2.

    Args:
        images: ``(n, side, side)``, periodic; the side divisible by 8.
        given: `filters` for this side.

    Returns:
        ``(n, MAPS, side / 8, side / 8)``.
    """
    phi = {step: _subsample(given.low, step) * step**2 for step in (1, 2, 4)}

    def smooth(spectrum: Tensor, step: int) -> Tensor:
        """Filter with phi and keep every 8th pixel, from maps that have every step-th."""
        low = _subsample(spectrum * phi[step], _STRIDE // step)
        smoothed: Tensor = torch.fft.irfft2(low[..., : low.shape[-1] // 2 + 1], s=low.shape[-2:])
        return smoothed

    spectrum = torch.fft.fft2(images)
    zeroth, first, second = [smooth(spectrum, 1)[:, None]], [], []
    for one in range(SCALES):
        # Wavelets at the resolution of the maps they meet; copies of their spectra add up, not average.
        coarser = {two: _subsample(given.band[two], 2**one) * 4**one for two in range(one + 1, SCALES)}
        for wavelet in given.band[one]:
            inner = torch.fft.fft2(_modulus(torch.fft.ifft2(_subsample(spectrum * wavelet, 2**one))))
            first.append(smooth(inner, 2**one)[:, None])
            for two, band in coarser.items():
                outer = _subsample(inner[:, None] * band, 2 ** (two - one))
                second.append(smooth(torch.fft.fft2(_modulus(torch.fft.ifft2(outer))), 2**two))
    return torch.cat([*zeroth, *first, *second], dim=1)


class Scattering(Backbone):
    """See the module's description.

    Args:
        channels, size: of the input.
    """

    low: Tensor
    band: Tensor

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.dim = channels * (MAPS - 1)
        self.side = _STRIDE * (-(-size // _STRIDE) + 2)
        made = filters(self.side)
        self.register_buffer("low", made.low, persistent=False)
        self.register_buffer("band", made.band, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, channels * 126)`` of unit length."""
        size = images.shape[-1]
        after = self.side - size - _STRIDE
        framed = F.pad(images.float(), (_STRIDE, after, _STRIDE, after), mode="reflect")
        given = Filters(self.low, self.band)
        maps = torch.cat([scatter(planes, given) for planes in torch.split(framed.flatten(0, 1), _PLANES)])
        inside = -(-size // _STRIDE)
        means = maps[..., 1 : 1 + inside, 1 : 1 + inside].mean((2, 3))[:, 1:].clamp_min(0).sqrt()
        orders = torch.split(means, [FIRST, MAPS - 1 - FIRST], dim=1)
        joined = [F.normalize(part.reshape(len(images), -1), dim=1) for part in orders]
        embeddings: Tensor = torch.cat(joined, dim=1) / len(joined) ** 0.5
        return embeddings


@register("scattering")
def _scattering(spec: BackboneSpec) -> Backbone:
    return Scattering(spec.channels, spec.size)
