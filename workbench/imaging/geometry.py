"""Where voxels lie in the patient, and the one array order every reader ends in.

DICOM is LPS (x to the patient's left, y to the back, z to the head), NIfTI is RAS. Both are brought to the
same order here: the acquired plane is kept, and within it the array lies as a radiologist hangs it.

=========  ==============  ===============  ================
plane      columns run to  rows run to      slices run to
=========  ==============  ===============  ================
axial      left            back             head
coronal    left            feet             back
sagittal   back            feet             left
=========  ==============  ===============  ================

Only flips and transpositions are made, so no value changes. Called by `dicom`, `series`, `nifti` and `nrrd`.
"""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import numpy.typing as npt

from workbench.imaging.scan import Finding, Severity

ORIENTATION_UNKNOWN = Finding(
    "orientation-unknown",
    Severity.WARNING,
    "The file does not say how the image lies in the patient; it was left as stored.",
    "Check left and right by eye.",
)

SHEARED = Finding(
    "sheared",
    Severity.WARNING,
    "The voxels are sheared, not boxes; nothing was resampled.",
    "Resample the volume to a rectangular grid.",
)

Affine = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.float32]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_HANGING = {0: ("P", "I", "L"), 1: ("L", "I", "P"), 2: ("L", "P", "S")}
"""Directions of (columns, rows, slices) by the patient axis (0 left-right, 1 front-back, 2 feet-head) along
which slices are stacked."""

POSITION_TOLERANCE_MM = 0.01
SPACING_TOLERANCE = 0.02
"""Slice steps may differ by this share of the usual step; scanners round positions to 0.01 mm or so."""
TILT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """Place of one image (DICOM PS3.3 C.7.6.2.1.1), in LPS millimetres.

    Attributes:
        position: centre of the first pixel, shape (3,).
        along_columns: unit vector in which the column index grows, shape (3,).
        along_rows: unit vector in which the row index grows, shape (3,).
        spacing: millimetres between rows, and between columns.
    """

    position: npt.NDArray[np.float64]
    along_columns: npt.NDArray[np.float64]
    along_rows: npt.NDArray[np.float64]
    spacing: tuple[float, float]

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector across the plane, right-handed."""
        return np.cross(self.along_columns, self.along_rows)

    def affine(self, step: npt.NDArray[np.float64]) -> Affine:
        """RAS affine from (column, row, slice) where the next slice lies `step` (LPS mm) further."""
        matrix = np.eye(4)
        matrix[:3, 0] = self.along_columns * self.spacing[1]
        matrix[:3, 1] = self.along_rows * self.spacing[0]
        matrix[:3, 2] = step
        matrix[:3, 3] = self.position
        return np.asarray(LPS_TO_RAS @ matrix)


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """How planes lie behind each other.

    Attributes:
        order: indices of the planes, sorted along the normal.
        step: vector from one slice to the next in LPS mm; None where the slices are not evenly spaced.
        spacing: usual distance between slices in mm.
        findings: gaps, uneven spacing, tilt.
    """

    order: tuple[int, ...]
    step: npt.NDArray[np.float64] | None
    spacing: float
    findings: tuple[Finding, ...]


def stack(planes: list[Plane]) -> Stack:
    """Sort parallel planes along their normal and judge their spacing.

    Positions must differ; see `repeated`.
    """
    positions = np.array([plane.position for plane in planes])
    distances = positions @ planes[0].normal
    order = np.argsort(distances, kind="stable")
    steps = np.diff(distances[order])
    usual = float(np.median(steps))
    findings: list[Finding] = []
    if np.abs(steps - usual).max() <= SPACING_TOLERANCE * usual + POSITION_TOLERANCE_MM:
        step = (positions[order[-1]] - positions[order[0]]) / (len(planes) - 1)
        straight = positions[order[0]] + np.arange(len(planes))[:, None] * step
        if np.abs(positions[order] - straight).max() > SPACING_TOLERANCE * usual + 0.1:
            step = None
            findings.append(_uneven("shifted sideways against each other"))
        elif (tilt := _angle(step, planes[0].normal)) > TILT_TOLERANCE:
            findings.append(
                Finding(
                    "gantry-tilt",
                    Severity.WARNING,
                    f"The slices are stacked at {np.degrees(tilt):.1f} degrees to their normal.",
                    "Nothing was resampled; compare shapes across slices with care, or choose the remedy "
                    "resample-tilt.",
                )
            )
    else:
        step = None
        multiples = steps / usual
        missing = int((multiples.round() - 1).clip(min=0).sum())
        if missing and float(np.abs(multiples - multiples.round()).max()) < 5 * SPACING_TOLERANCE:
            findings.append(
                Finding(
                    "slice-gap",
                    Severity.WARNING,
                    f"{missing} slice{'s are' if missing > 1 else ' is'} missing inside the series.",
                    "Send the whole series again, or choose the remedy largest-regular-block; the volume "
                    "holds the slices that came.",
                )
            )
        else:
            findings.append(_uneven(f"between {steps.min():.2f} and {steps.max():.2f} mm apart"))
    return Stack(tuple(int(i) for i in order), step, usual, tuple(findings))


def repeated(planes: list[Plane]) -> dict[int, int]:
    """Planes that lie where an earlier one lies: index of each to index of the first."""
    first: list[int] = []
    again: dict[int, int] = {}
    distances = np.array([plane.position @ planes[0].normal for plane in planes])
    for index in np.argsort(distances, kind="stable"):
        if first and abs(distances[index] - distances[first[-1]]) < POSITION_TOLERANCE_MM:
            again[int(index)] = first[-1]
        else:
            first.append(int(index))
    return again


def hang(pixels: Pixels, affine: Affine) -> tuple[Pixels, Affine, bool]:
    """Bring an array into the order of this module's table.

    Args:
        pixels: ``(slices, rows, columns, channels)``.
        affine: 4x4, RAS, from (column, row, slice).

    Returns:
        pixels and affine in the new order, and whether anything moved.
    """
    now = nib.orientations.io_orientation(affine)
    target = nib.orientations.axcodes2ornt(_HANGING[int(now[2, 0])])
    change = nib.orientations.ornt_transform(now, target)
    if np.array_equal(change, [[0, 1], [1, 1], [2, 1]]):
        return pixels, affine, False
    voxels = pixels.transpose(2, 1, 0, 3)
    moved = nib.orientations.apply_orientation(voxels, change)
    matrix = affine @ nib.orientations.inv_ornt_aff(change, voxels.shape[:3])
    return np.ascontiguousarray(moved.transpose(2, 1, 0, 3)), matrix, True


def spacing_of(affine: Affine) -> tuple[float, float, float]:
    """Millimetres between (slices, rows, columns)."""
    column, row, across = np.linalg.norm(affine[:3, :3], axis=0)
    return float(across), float(row), float(column)


def is_usable(affine: Affine) -> bool:
    """Whether an affine is finite and has three independent axes."""
    if not np.isfinite(affine).all():
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if (lengths < 1e-6).any():
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-3)


def shear(affine: Affine) -> float:
    """Largest cosine between two voxel axes: 0 for a box."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def oblong_pixels(spacing: tuple[float, float, float]) -> tuple[Finding, ...]:
    """A finding where pixels are not square, since the model sees them as if they were."""
    rows, columns = spacing[1:]
    if min(rows, columns) <= 0 or abs(rows / columns - 1.0) <= 0.02:
        return ()
    return (
        Finding(
            "oblong-pixels",
            Severity.WARNING,
            f"Pixels are {rows:.2f} mm high and {columns:.2f} mm wide; the model sees them as squares.",
            "Give scans of the same proportions for support and for prediction.",
        ),
    )


def _uneven(how: str) -> Finding:
    return Finding(
        "uneven-slices",
        Severity.WARNING,
        f"Neighbouring slices are {how}.",
        "Nothing was resampled; distances across slices are not known. Choose the remedy "
        "largest-regular-block to keep an even run.",
    )


def _angle(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    cosine = abs(float(a @ b)) / float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.arccos(min(1.0, cosine)))
