"""Verification against loops over pairs and numbers."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from tests.helpers import small_batch, tiny_learner, train_briefly
from workbench.learners.siamese import Siamese, SiameseHead, Verifier, pair_loss


def _verifier(dim: int = 5, units: int = 0) -> Verifier:
    """With weights of either sign."""
    torch.manual_seed(1)
    verifier = Verifier(dim, units)
    for parameter in verifier.parameters():
        parameter.data += 0.8 * torch.randn_like(parameter)
    verifier.relative_alpha.data[0] = 0.7
    return verifier.requires_grad_(False)


@pytest.mark.parametrize("units", [0, 3])
def test_verification_equals_a_loop_over_pairs_and_numbers(units: int) -> None:
    verifier = _verifier(5, units)
    left, right = 4 * torch.randn(3, 5), 4 * torch.randn(2, 5)

    def h(z: torch.Tensor) -> list[float]:
        z = z / z.square().sum().sqrt() * math.sqrt(5)
        weight, bias = verifier.layer.weight, verifier.layer.bias
        assert isinstance(weight, torch.Tensor)
        assert isinstance(bias, torch.Tensor)
        rows = torch.diag(weight) if units == 0 else weight
        return [1 / (1 + math.exp(-float(row @ z + b))) for row, b in zip(rows, bias, strict=True)]

    expected = torch.zeros(3, 2)
    for i in range(3):
        for j in range(2):
            a, b = h(left[i]), h(right[j])
            expected[i, j] = 40 * verifier.relative_bias
            for k, alpha in enumerate(verifier.relative_alpha.tolist()):
                expected[i, j] += 40 / len(a) * alpha * abs(a[k] - b[k])
    found = verifier.verify(verifier.describe(left), verifier.describe(right))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_pair_loss_is_the_mean_of_the_mean_cross_entropies_of_both_kinds() -> None:
    labels = torch.tensor([0, 0, 1, 2, 2])
    values = torch.randn(5, 5)
    values = values + values.T
    same, different = [], []
    for i in range(5):
        for j in range(i + 1, 5):
            p = 1 / (1 + math.exp(-float(values[i, j])))
            if labels[i] == labels[j]:
                same.append(-math.log(p))
            else:
                different.append(-math.log(1 - p))
    expected = (sum(same) / len(same) + sum(different) / len(different)) / 2
    assert pair_loss(values, labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_score_of_a_class_is_pooled_over_its_scans(pool: Literal["mean", "max"]) -> None:
    head = SiameseHead(_verifier(), torch.rand(4, 5), torch.tensor([0, 1, 0, 0]), pool)
    pairs = torch.randn(3, 4)
    for row, scores in zip(pairs.tolist(), head.classes(pairs).tolist(), strict=True):
        mine = [row[0], row[2], row[3]]
        assert scores == pytest.approx([sum(mine) / 3 if pool == "mean" else max(mine), row[1]])


@pytest.mark.parametrize("units", [0, 16])
def test_training_moves_alpha_and_the_encoder_and_lowers_the_loss(units: int) -> None:
    torch.manual_seed(0)
    learner = tiny_learner("siamese", options={"units": units})
    assert isinstance(learner, Siamese)
    assert (learner.verifier.alpha < 0).all()
    before = learner.verifier.alpha.detach().clone()
    batch = small_batch(episodes=2)
    first = train_briefly(learner.train(), batch, steps=1)
    assert train_briefly(learner, batch, steps=15) < 0.9 * first
    assert (learner.verifier.alpha != before).all()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learner.backbone.parameters())
