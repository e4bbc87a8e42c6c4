"""The fixed, recorded way from a `Scan` to model input.

A recipe is stored with every checkpoint and re-applied exactly at prediction. It is not display
windowing: see `display`. Called by cohort building, by `Support.from_examples` and by
`Classifier.predict`; touches nothing but arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.imaging.scan import Finding, Scan, Severity, Units

MIN_SIZE, MAX_SIZE = 28, 224


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a scan becomes a square uint8 image.

    Attributes:
        size: side in pixels, 28 to 224.
        channels: 1 or 3. Grey scans are repeated into three; colour scans are reduced to luma (ITU-R
            BT.601) for one.
        hounsfield: (low, high) in HU mapped linearly to 0..255 and clipped; for CT.
        percentiles: (low, high) of the scan's own pixels mapped to 0..255 where units have no absolute
            scale (MR, 16-bit X-ray); in percent.
        mean, std: normalisation of the 0..1 image when it enters the network, the same for each channel.
        version: raised whenever the meaning of a field changes.
    """

    size: int = 64
    channels: int = 3
    hounsfield: tuple[float, float] = (-1000.0, 1000.0)
    percentiles: tuple[float, float] = (0.5, 99.5)
    mean: float = 0.5
    std: float = 0.25
    version: int = 1

    def __post_init__(self) -> None:
        if not MIN_SIZE <= self.size <= MAX_SIZE:
            raise ValueError(f"Recipe.size must be {MIN_SIZE} to {MAX_SIZE}, not {self.size}")
        if self.channels not in (1, 3):
            raise ValueError(f"Recipe.channels must be 1 or 3, not {self.channels}")

    def apply(self, scan: Scan) -> npt.NDArray[np.uint8]:
        """Model input of one scan, uint8 of shape ``(size, size, channels)``.

        A volume is represented by its middle slice (the reader's findings say so). The image is scaled to
        0..255 in intensity, padded with zeros to a square so that its aspect is kept, and resized with an
        antialiased bilinear filter.
        """
        plane = scan.pixels[scan.pixels.shape[0] // 2]
        low, high = self._range(scan, plane)
        # A blank image has no range; a parametric map may have one of 1e-9.
        unit = np.clip((plane - low) / (high - low if high > low else 1.0), 0.0, 1.0)
        if self.channels == 1 and unit.shape[-1] == 3:
            unit = unit @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32)
        image = torch.from_numpy(np.ascontiguousarray(unit.transpose(2, 0, 1))).float()
        image = _resize(_pad_to_square(image), self.size)
        if image.shape[0] < self.channels:
            image = image.expand(self.channels, -1, -1)
        return (image * 255.0).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()

    def batch(self, scans: Sequence[Scan]) -> Tensor:
        """Model input of several scans, uint8 of shape ``(n, size, size, channels)``."""
        if not scans:
            return torch.empty((0, self.size, self.size, self.channels), dtype=torch.uint8)
        return torch.from_numpy(np.stack([self.apply(scan) for scan in scans]))

    def normalise(self, images: Tensor) -> Tensor:
        """Network input: float32 ``(n, channels, size, size)`` in channels_last memory, from uint8 images.

        The permutation of an NHWC array is channels_last already, so nothing is copied but the cast.
        """
        return images.permute(0, 3, 1, 2).float().sub_(255.0 * self.mean).div_(255.0 * self.std)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's metadata."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Recipe:
        """Inverse of `to_json`."""
        pairs: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**pairs)

    def _range(self, scan: Scan, plane: npt.NDArray[np.float32]) -> tuple[float, float]:
        if scan.units is Units.HOUNSFIELD:
            return self.hounsfield
        if scan.units is Units.DISPLAY and scan.value_range is not None:
            return scan.value_range
        low, high = np.percentile(plane, self.percentiles)
        return float(low), float(high)


def recipe_findings(scan: Scan, recipe: Recipe) -> tuple[Finding, ...]:
    """What `Recipe.apply` does to a scan that a person should know.

    Reports the choice of one slice (`middle-slice`), much padding (`padded`, proportions beyond 2:1) and
    enlargement (`enlarged`, longest side below the recipe's size).
    """
    found: list[Finding] = []
    slices, rows, columns = scan.pixels.shape[:3]
    if slices > 1:
        found.append(
            Finding(
                "middle-slice",
                Severity.WARNING,
                f"The model sees slice {slices // 2 + 1} of {slices} only, the middle one.",
                "Give the slice that shows the finding where it is not in the middle.",
            )
        )
    if max(rows, columns) > 2 * min(rows, columns):
        share = round(100 * (1 - min(rows, columns) / max(rows, columns)))
        found.append(
            Finding(
                "padded",
                Severity.WARNING,
                f"The image is {columns} x {rows}; {share} % of what the model sees is black padding.",
                "Crop all scans to the same region with sides of similar length.",
            )
        )
    if max(rows, columns) < recipe.size:
        found.append(
            Finding(
                "enlarged",
                Severity.INFO,
                f"The image is {columns} x {rows} and was enlarged to {recipe.size} pixels; no detail was "
                "gained.",
            )
        )
    return tuple(found)


def _pad_to_square(image: Tensor) -> Tensor:
    """Centre a ``(channels, rows, columns)`` image on a black square."""
    rows, columns = image.shape[-2:]
    side = max(rows, columns)
    top, left = (side - rows) // 2, (side - columns) // 2
    return torch.nn.functional.pad(image, (left, side - columns - left, top, side - rows - top))


def _resize(image: Tensor, size: int) -> Tensor:
    if image.shape[-1] == size:
        return image
    return torch.nn.functional.interpolate(
        image[None], (size, size), mode="bilinear", antialias=True, align_corners=False
    )[0]
