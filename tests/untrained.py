"""Weights that nobody trained, small enough to adapt at once; a fixture of every test."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.files import create, describe, save_learner


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A learner file that nobody trained."""
    torch.manual_seed(0)
    learner = create("prototypical", BackboneSpec("conv4", 3, 32, 8), Recipe(size=32, channels=3))
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_learner(learner, path, describe(learner, "tiny"))
    return path
