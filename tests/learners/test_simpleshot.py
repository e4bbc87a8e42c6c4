"""SimpleShot against a NumPy loop, and where its mean comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import labelled_batch, tiny_learner
from workbench.learners.files import describe, load_learner, save_learner
from workbench.learners.simpleshot import SimpleShot

LABELS = torch.tensor([0, 0, 0, 0, 1, 2, 2])


def _learner(**options: object) -> SimpleShot:
    learner = tiny_learner("simpleshot", options=options).eval()
    assert isinstance(learner, SimpleShot)
    return learner


@pytest.mark.parametrize("centre", ["base", "support", "none"])
def test_logits_equal_a_loop_over_scans(centre: str) -> None:
    rng = np.random.default_rng(0)
    learner = _learner(centre=centre, scale=3.0)
    dim = learner.backbone.dim
    z, q = rng.normal(size=(7, dim)) + 1, rng.normal(size=(4, dim)) + 1
    class_means = [z[:4].mean(0), z[4], z[5:].mean(0)]
    mean = {"support": sum(class_means) / 3, "none": np.zeros(dim), "base": rng.normal(size=dim)}[centre]
    if centre == "base":
        learner.base_mean.copy_(torch.from_numpy(mean))
        learner.base_batches += 1
    expected = np.zeros((4, 3))
    for i in range(4):
        query = (q[i] - mean) / np.linalg.norm(q[i] - mean)
        for k in range(3):
            members = [(z[j] - mean) / np.linalg.norm(z[j] - mean) for j in range(7) if LABELS[j] == k]
            expected[i, k] = -3.0 * np.sum((query - sum(members) / len(members)) ** 2)
    head = learner.fit(torch.from_numpy(z).float(), LABELS, 3)
    np.testing.assert_allclose(head.logits(torch.from_numpy(q).float()).numpy(), expected, atol=1e-4)


def test_base_mean_is_that_of_training_embeddings_and_travels_in_files(tmp_path: Path) -> None:
    torch.manual_seed(0)
    learner = tiny_learner("simpleshot", options={"classes": 5, "contrast": 0.0}).eval()
    assert isinstance(learner, SimpleShot)
    batches = [labelled_batch(size=32), labelled_batch(size=48)]
    for batch in batches:
        learner.training_loss(batch)
    expected = torch.stack([learner.embed(b.images).detach().mean(0) for b in batches]).mean(0)
    torch.testing.assert_close(learner.base_mean, expected, atol=1e-5, rtol=1e-4)
    save_learner(learner, tmp_path / "w.safetensors", describe(learner))
    loaded = load_learner(tmp_path / "w.safetensors").learner
    assert isinstance(loaded, SimpleShot)
    z = torch.randn(7, learner.backbone.dim)
    torch.testing.assert_close(loaded.fit(z, LABELS, 3).mean, learner.base_mean)


def test_weights_of_another_method_are_centred_on_the_support_classes_counting_the_same(
    tmp_path: Path,
) -> None:
    probe = tiny_learner("linear-probe")
    save_learner(probe, tmp_path / "w.safetensors", describe(probe))
    loaded = load_learner(tmp_path / "w.safetensors", "simpleshot").learner
    assert isinstance(loaded, SimpleShot)
    z = torch.randn(7, probe.backbone.dim)
    expected = torch.stack([z[:4].mean(0), z[4], z[5:].mean(0)]).mean(0)
    torch.testing.assert_close(loaded.fit(z, LABELS, 3).mean, expected)
