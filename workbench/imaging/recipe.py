"""The fixed, recorded way from a `Scan` to model input.

A recipe is stored with every checkpoint and re-applied exactly at prediction. It is not display
windowing: see `display`. Called by cohort building, by `Support.from_examples` and by
`Classifier.predict`; touches nothing but arrays. What it tells a person is in `input_findings`; how a volume
becomes a cube is in `cube`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.imaging.cube import cubed, upright
from workbench.imaging.digest import pixel_digest
from workbench.imaging.scan import Scan, Units

MIN_SIZE, MAX_SIZE = 28, 224
MAX_SLICES, MAX_CUBE = 64, 128

Volume = Literal["middle", "slices", "cube"]
"""How a volume becomes model input: its middle slice, evenly spaced slices, or a resampled cube."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a scan becomes a square uint8 image, or several of them.

    Attributes:
        size: side in pixels, 28 to 224; of a cube 28 to 128.
        channels: 1 or 3. Grey scans are repeated into three; colour scans are reduced to luma (ITU-R
            BT.601) for one.
        hounsfield: (low, high) in HU mapped linearly to 0..255 and clipped; for CT.
        percentiles: (low, high) of the scan's own pixels mapped to 0..255 where units have no absolute
            scale (MR, 16-bit X-ray); in percent.
        mean, std: normalisation of the 0..1 image when it enters the network, the same for each channel.
        version: raised whenever the meaning of a field changes.
        volume: what is taken of a volume. ``middle``: the slice in the middle, one image, for encoders of
            images. ``slices``: `slices` of them, evenly spaced. ``cube``: the whole volume, turned to axial
            where its orientation is known, resampled to cubic voxels where its spacing is known (voxels are
            taken to be cubes where it is not), and padded with zeros to ``size`` in all three directions.
        slices: how many with ``slices``, 2 to 64; else 0.
    """

    size: int = 64
    channels: int = 3
    hounsfield: tuple[float, float] = (-1000.0, 1000.0)
    percentiles: tuple[float, float] = (0.5, 99.5)
    mean: float = 0.5
    std: float = 0.25
    version: int = 1
    volume: Volume = "middle"
    slices: int = 0

    def __post_init__(self) -> None:
        if self.volume not in get_args(Volume):
            raise ValueError(f"Recipe.volume must be one of {', '.join(get_args(Volume))}, not {self.volume}")
        largest = MAX_CUBE if self.volume == "cube" else MAX_SIZE
        if not MIN_SIZE <= self.size <= largest:
            raise ValueError(f"Recipe.size must be {MIN_SIZE} to {largest}, not {self.size}")
        if self.channels not in (1, 3):
            raise ValueError(f"Recipe.channels must be 1 or 3, not {self.channels}")
        if self.volume == "slices" and not 2 <= self.slices <= MAX_SLICES:
            raise ValueError(f"Recipe.slices must be 2 to {MAX_SLICES}, not {self.slices}")
        if self.volume != "slices" and self.slices:
            raise ValueError(f"Recipe.slices is for volume 'slices', not {self.volume!r}")

    @property
    def dims(self) -> int:
        """2 where model input is an image, 3 where it is a stack of them."""
        return 2 if self.volume == "middle" else 3

    @property
    def depth(self) -> int:
        """Slices of the model input: 1, `slices`, or `size`."""
        return {"middle": 1, "slices": self.slices, "cube": self.size}[self.volume]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one scan's input: ``(size, size, channels)``, or with the depth before it."""
        image = (self.size, self.size, self.channels)
        return image if self.dims == 2 else (self.depth, *image)

    def positions(self, slices: int) -> tuple[int, ...]:
        """Which of so many slices are read, from 0: the middles of equally long parts of the volume.

        A volume of fewer slices than are asked for gives some of them twice.
        """
        if self.volume == "cube":
            return tuple(range(slices))
        if self.volume == "middle":
            return (slices // 2,)
        return tuple(int((k + 0.5) * slices / self.slices) for k in range(self.slices))

    def kept(self, scan: Scan) -> Scan:
        """The scan with no more of a volume than `apply` takes, so that many volumes fit into memory.

        ``apply(kept(scan))`` equals ``apply(scan)``.
        """
        at = self.positions(len(scan.pixels))
        if self.volume == "cube" or len(set(at)) == len(scan.pixels):
            return scan
        pixels = scan.pixels[list(at)]
        return replace(scan, pixels=pixels, affine=None, whole=pixel_digest(scan))

    def apply(self, scan: Scan) -> npt.NDArray[np.uint8]:
        """Model input of one scan, uint8 of `shape`.

        The slices that are read (see `volume`) are scaled to 0..255 in intensity by one range, padded with
        zeros to squares so that their aspect is kept, and resized with an antialiased bilinear filter.
        """
        if self.volume == "cube":
            pixels, spacing = upright(scan)
            planes = self._planes(scan, pixels)
            return _to_uint8(self._channels(cubed(planes, spacing or (1.0, 1.0, 1.0), self.size)))
        at = self.positions(len(scan.pixels))
        planes = self._planes(scan, scan.pixels[at[0]][None] if len(at) == 1 else scan.pixels[list(at)])
        images = _to_uint8(self._channels(_resize(_pad_to_square(planes), self.size)))
        return images[0] if self.dims == 2 else images

    def batch(self, scans: Sequence[Scan]) -> Tensor:
        """Model input of several scans, uint8 of shape ``(n, *shape)``."""
        if not scans:
            return torch.empty((0, *self.shape), dtype=torch.uint8)
        return torch.from_numpy(np.stack([self.apply(scan) for scan in scans]))

    def normalise(self, images: Tensor) -> Tensor:
        """Network input: float32 ``(n, channels, [depth,] size, size)``, from uint8 images ``(n, *shape)``.

        Its memory is channels_last, as that of the permuted array is already: nothing is copied but the cast.
        """
        first = images.movedim(-1, 1)
        return first.float().sub_(255.0 * self.mean).div_(255.0 * self.std)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's metadata."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Recipe:
        """Inverse of `to_json`."""
        pairs: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**pairs)

    def _planes(self, scan: Scan, pixels: npt.NDArray[np.float32]) -> Tensor:
        """Intensities 0..1, float32 ``(slices, 1 or 3, rows, columns)``, of ``(slices, rows, columns, ...)``.

        Slice by slice: of a large volume there is never a second copy in full precision beside the result.
        """
        low, high = self._range(scan, pixels)
        # A blank image has no range; a parametric map may have one of 1e-9.
        span = high - low if high > low else 1.0
        grey = self.channels == 1 or pixels.shape[-1] == 1
        out = np.empty((len(pixels), 1 if grey else 3, *pixels.shape[1:3]), dtype=np.float32)
        for plane, into in zip(pixels, out, strict=True):
            unit = np.clip((plane - low) / span, 0.0, 1.0)
            if grey and unit.shape[-1] == 3:
                unit = unit @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32)
            into[:] = unit.transpose(2, 0, 1)
        return torch.from_numpy(out)

    def _channels(self, planes: Tensor) -> Tensor:
        return planes.expand(-1, self.channels, -1, -1) if planes.shape[1] < self.channels else planes

    def _range(self, scan: Scan, pixels: npt.NDArray[np.float32]) -> tuple[float, float]:
        if scan.units is Units.HOUNSFIELD:
            return self.hounsfield
        if scan.units is Units.DISPLAY and scan.value_range is not None:
            return scan.value_range
        low, high = np.percentile(pixels, self.percentiles)
        return float(low), float(high)


def _to_uint8(planes: Tensor) -> npt.NDArray[np.uint8]:
    """``(slices, channels, size, size)`` in 0..1 to ``(slices, size, size, channels)`` in 0..255."""
    return (planes * 255.0).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def _pad_to_square(images: Tensor) -> Tensor:
    """Centre ``(..., rows, columns)`` images on black squares."""
    rows, columns = images.shape[-2:]
    side = max(rows, columns)
    top, left = (side - rows) // 2, (side - columns) // 2
    return torch.nn.functional.pad(images, (left, side - columns - left, top, side - rows - top))


def _resize(images: Tensor, size: int) -> Tensor:
    if images.shape[-1] == size:
        return images
    return torch.nn.functional.interpolate(
        images, (size, size), mode="bilinear", antialias=True, align_corners=False
    )
