"""A volume as a cube of cubic voxels: canonical orientation, isotropic resampling, padding.

The model's input of encoders that read whole volumes. Called by `Recipe.apply`.
"""

from __future__ import annotations

import nibabel as nib
import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional as F

from workbench.imaging.scan import Scan

Spacing = tuple[float, float, float]
_AXIAL = nib.orientations.axcodes2ornt(("L", "P", "S"))
"""Columns run to the left, rows to the back, slices to the head, whatever plane was acquired."""


def upright(scan: Scan) -> tuple[npt.NDArray[np.float32], Spacing | None]:
    """Pixels in axial order, and millimetres between (slices, rows, columns).

    Axes are exchanged and reversed, nothing is interpolated: an oblique volume stays oblique. Where the scan
    does not say how it lies, it stays as it is.

    Returns:
        a view of ``(slices, rows, columns, channels)``, and the spacing, None where it is unknown.
    """
    if scan.affine is None:
        return scan.pixels, scan.spacing
    change = nib.orientations.ornt_transform(nib.orientations.io_orientation(scan.affine), _AXIAL)
    # nibabel's arrays are indexed (column, row, slice), as the affine is.
    turned = nib.orientations.apply_orientation(scan.pixels.transpose(2, 1, 0, 3), change)
    spacing = scan.spacing
    if spacing is not None:
        moved = [0.0, 0.0, 0.0]
        for axis, target in enumerate(change[:, 0].astype(int)):
            moved[target] = spacing[2 - axis]
        spacing = (moved[2], moved[1], moved[0])
    return turned.transpose(2, 1, 0, 3), spacing


def extent(shape: tuple[int, ...], spacing: Spacing, size: int) -> tuple[int, int, int]:
    """Voxels that a volume fills of a cube of side `size`: the longest side all, the others in proportion.

    Args:
        shape: (slices, rows, columns).
        spacing: of the same, in any one unit.
        size: side of the cube.
    """
    lengths = [n * step for n, step in zip(shape[:3], spacing, strict=True)]
    longest = max(lengths)
    slices, rows, columns = (max(1, round(size * length / longest)) for length in lengths)
    return slices, rows, columns


def cubed(planes: Tensor, spacing: Spacing, size: int) -> Tensor:
    """Resample with antialiased linear filters, one direction after the other, and centre on black.

    Args:
        planes: float32 ``(slices, channels, rows, columns)``.
        spacing: between (slices, rows, columns), in any one unit.
        size: side of the cube.

    Returns:
        float32 ``(size, channels, size, size)``.
    """
    slices, channels, rows, columns = planes.shape
    target = extent((slices, rows, columns), spacing, size)
    if target[1:] != (rows, columns):
        planes = _resized(planes, target[1:])
    if target[0] != slices:
        # Positions within a slice lie side by side as one direction, which keeps its length.
        flat = planes.permute(1, 0, 2, 3).reshape(1, channels, slices, -1)
        flat = _resized(flat, (target[0], flat.shape[-1]))
        planes = flat.reshape(channels, target[0], *target[1:]).permute(1, 0, 2, 3)
    room = [size - n for n in target]
    front, top, left = (r // 2 for r in room)
    padded = F.pad(
        planes.permute(1, 0, 2, 3), (left, room[2] - left, top, room[1] - top, front, room[0] - front)
    )
    return padded.permute(1, 0, 2, 3)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
