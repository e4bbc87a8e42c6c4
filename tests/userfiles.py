"""What a user would have on disk: class folders, tables, weights; small and made on the spot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from tests.helpers import SIZE, striped_cohort, tiny_learner
from workbench.learners.base import Learner
from workbench.learners.files import LoadedLearner, describe, load_learner, save_learner


def pixel_learner(method: str = "prototypical") -> Learner:
    """A learner on raw pixels: it tells stripes apart without any training."""
    return tiny_learner(method, width=0, backbone="raw-pixels")


def weights_file(
    path: Path, method: str = "prototypical", conditions: tuple[str, ...] = (), plan: str = ""
) -> Path:
    """Weights on raw pixels, said to be trained on some conditions."""
    learner = pixel_learner(method)
    save_learner(learner, path, replace(describe(learner, "tiny"), conditions=conditions, plan=plan))
    return path


def loaded_pixels(folder: Path, method: str = "prototypical") -> LoadedLearner:
    """The same, read back."""
    return load_learner(weights_file(folder / f"{method}.safetensors", method))


def class_folders(folder: Path, way: int = 2, patients: int = 6, seed: int = 0) -> Path:
    """``folder/class 0/0.png`` and so on: noise with a stripe whose height tells the class."""
    cohort = striped_cohort(way=way, patients=patients, seed=seed)
    for row, (image, label) in enumerate(zip(cohort.images, cohort.labels, strict=True)):
        place = folder / cohort.classes[label] / f"{row}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    return folder


def picture(path: Path, seed: int) -> Path:
    """One PNG of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 255, (SIZE, SIZE), dtype=np.uint8)).save(path)
    return path


__all__ = ["class_folders", "loaded_pixels", "picture", "pixel_learner", "weights_file"]
