"""Volumes as a user would have them on disk, and weights that read them; small and made on the spot."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from tests.helpers import striped_volumes, volume_learner
from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.files import create, describe, save_learner


def nifti(path: Path, volume: npt.NDArray[np.generic], spacing: float = 1.0) -> Path:
    """A volume ``(slices, rows, columns)`` in axial order as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    nib.save(nib.Nifti1Image(np.ascontiguousarray(volume.transpose(2, 1, 0)), affine), path)
    return path


def volume_folders(folder: Path, patients: int = 5, seed: int = 0) -> Path:
    """``folder/class 0/0.nii.gz`` and so on: noise with a plate whose height tells the class."""
    cohort = striped_volumes(way=2, patients=patients, seed=seed)
    for row, (image, label) in enumerate(zip(cohort.images, cohort.labels, strict=True)):
        nifti(folder / cohort.classes[label] / f"{row}.nii.gz", image[..., 0])
    return folder


def voxel_weights(path: Path) -> Path:
    """A learner on raw voxels of a cube: it tells plates apart without any training."""
    spec = BackboneSpec("raw-voxels", channels=1, size=28)
    learner = create("prototypical", spec, Recipe(size=28, channels=1, volume="cube"))
    save_learner(learner, path, describe(learner, "voxels"))
    return path


__all__ = ["nifti", "volume_folders", "volume_learner", "voxel_weights"]
