"""What may be done about slices that do not make a regular volume, each only where a person has chosen it.

Every remedy leaves a finding that says what it did, so that the choice travels with the scan into readings
and reports. A missing slice is never invented and spacing is never averaged. Called by `dicom` and `series`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform

from workbench.imaging import geometry
from workbench.imaging.geometry import Plane, Stack
from workbench.imaging.limits import check_values
from workbench.imaging.options import ReadOptions, Remedy
from workbench.imaging.scan import Finding, Severity


def arranged(planes: Sequence[Plane], options: ReadOptions) -> Stack:
    """Planes sorted along their normal; of irregular ones the longest regular run, where that was chosen.

    Args:
        planes: parallel, each place once.
        options: `Remedy.LARGEST_REGULAR_BLOCK` is heeded.

    Returns:
        the stack; its `order` may leave planes out.
    """
    stack = geometry.stack(list(planes))
    if stack.step is not None or Remedy.LARGEST_REGULAR_BLOCK not in options.remedies:
        return stack
    run = longest_run(np.array([planes[i].position for i in stack.order]))
    kept = [stack.order[i] for i in run]
    block = geometry.stack([planes[i] for i in kept])
    note = Finding(
        "largest-block-kept",
        Severity.WARNING,
        f"Of {len(planes)} slices that are not evenly spaced, the longest regular run was kept, as chosen: "
        f"{len(kept)} slices, numbers {run.start + 1} to {run.stop} along the stack.",
        "Send the whole series again to read all of it.",
    )
    return replace(block, order=tuple(kept[i] for i in block.order), findings=(note, *block.findings))


def longest_run(positions: npt.NDArray[np.float64]) -> range:
    """The longest run of consecutive positions with equal steps, the first of several.

    Steps are vectors, so that a slice shifted sideways ends a run.

    Args:
        positions: ``(n, 3)`` in mm, n at least 2, sorted along the normal.
    """
    steps = np.diff(positions, axis=0)
    # Half of what `geometry.stack` allows, which compares with the usual step and not with the first.
    tolerance = 0.5 * geometry.SPACING_TOLERANCE * np.linalg.norm(steps, axis=1)
    tolerance += 0.5 * geometry.POSITION_TOLERANCE_MM
    best, start = range(2), 0
    for index in range(1, len(steps) + 1):
        ended = index == len(steps) or np.linalg.norm(steps[index] - steps[start]) > tolerance[start]
        if not ended:
            continue
        if index - start + 1 > len(best):
            best = range(start, index + 1)
        start = index
    return best


def upright(
    pixels: npt.NDArray[np.float32], first: Plane, stack: Stack, options: ReadOptions, source: str
) -> tuple[npt.NDArray[np.float32], Plane, Stack]:
    """Slices of a tilted gantry shifted in their planes until they stack along the normal, where chosen.

    The shift is interpolated linearly; rows and columns are added so that nothing is cut off, and filled with
    the lowest value.

    Args:
        pixels: ``(slices, rows, columns, channels)``, sorted as `stack` says.
        first: place of the first slice.
        stack: its step is the vector from slice to slice.
        options: `Remedy.RESAMPLE_TILT` is heeded.
        source: for messages.

    Returns:
        pixels, place of the first slice and stack; the ones given where there is nothing to do.

    Raises:
        ScanRefused: the larger volume passes the budget.
    """
    tilted = any(finding.code == "gantry-tilt" for finding in stack.findings)
    if stack.step is None or not tilted or Remedy.RESAMPLE_TILT not in options.remedies:
        return pixels, first, stack
    slices, rows, columns, channels = pixels.shape
    across = float(stack.step @ first.normal)
    # Sideways way of one step, in rows and columns.
    drift = np.array(
        [
            stack.step @ first.along_rows / first.spacing[0],
            stack.step @ first.along_columns / first.spacing[1],
        ]
    )
    far = drift * (slices - 1)
    low = np.floor(np.minimum(far, 0)).astype(int)
    high = np.ceil(np.maximum(far, 0)).astype(int)
    shape = (rows + int(high[0] - low[0]), columns + int(high[1] - low[1]))
    check_values(source, (slices, *shape, channels))
    moved = np.full((slices, *shape, channels), pixels.min(), dtype=np.float32)
    for index in range(slices):
        for channel in range(channels):
            moved[index, ..., channel] = affine_transform(
                pixels[index, ..., channel],
                np.ones(2),
                offset=low - drift * index,
                output_shape=shape,
                order=1,
                cval=float(pixels.min()),
            )
    corner = first.position + first.along_rows * (low[0] * first.spacing[0])
    corner = corner + first.along_columns * (low[1] * first.spacing[1])
    note = Finding(
        "tilt-resampled",
        Severity.WARNING,
        f"Slices were shifted by {np.linalg.norm(drift):.2f} pixels each to undo the gantry's tilt, as "
        "chosen; values between pixels were interpolated.",
    )
    findings = (*(found for found in stack.findings if found.code != "gantry-tilt"), note)
    step = first.normal * across
    return (
        moved,
        replace(first, position=corner),
        replace(stack, step=step, spacing=abs(across), findings=findings),
    )
