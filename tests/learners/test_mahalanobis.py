"""The Gaussian classifier in the span of the support against matrices of the full space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.helpers import tiny_learner
from workbench.learners.mahalanobis import Mahalanobis

Array = npt.NDArray[np.float64]


def _covariance(rows: Array, mean: Array) -> Array:
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for row in rows:
        total += np.outer(row - mean, row - mean) / max(1, len(rows) - 1)
    return total


def _probabilities(x: Array, y: Array, q: Array, shared: bool, ridge: float, sharpness: float) -> Array:
    """By the module's equations, with d by d matrices and an explicit inverse."""
    way, n, dim = int(y.max()) + 1, len(x), x.shape[1]
    spread = np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean())
    x, q = x / spread, q / spread
    means = np.array([x[y == k].mean(0) for k in range(way)])
    task, b = _covariance(x, x.mean(0)), ridge * way / n
    pooled = sum((np.outer(x[i] - means[y[i]], x[i] - means[y[i]]) for i in range(n)), np.zeros((dim, dim)))
    distances = np.zeros((len(q), way))
    for k in range(way):
        size = n / way if shared else float((y == k).sum())
        own = pooled / max(1, n - way) if shared else _covariance(x[y == k], means[k])
        share = size / (size + 1)
        inverse = np.linalg.inv(share * own + (1 - share) * task + b * np.eye(dim))
        for i in range(len(q)):
            distances[i, k] = (q[i] - means[k]) @ inverse @ (q[i] - means[k]) / 2
    scores = np.exp(-sharpness * np.sqrt(b) * (distances - distances.min(1, keepdims=True)))
    result: Array = scores / scores.sum(1, keepdims=True)
    return result


@pytest.mark.parametrize("covariance", ["shared", "class"])
@pytest.mark.parametrize("shots", [(1, 1, 1), (5, 2, 3), (60, 70, 50)])
def test_readings_equal_those_of_the_full_space(covariance: str, shots: tuple[int, ...]) -> None:
    """With fewer scans than the 24 dimensions, and with more."""
    rng = np.random.default_rng(sum(shots))
    options = {"covariance": covariance, "ridge": 0.3, "sharpness": 2.0}
    learner = tiny_learner("mahalanobis", width=24, options=options).eval()
    assert isinstance(learner, Mahalanobis)
    dim = learner.backbone.dim
    y = rng.permutation(np.repeat(np.arange(3), shots))
    x = rng.normal(size=(len(y), dim)) * rng.uniform(0.2, 3, dim) + y[:, None] * 0.3 + 5
    q = rng.normal(size=(6, dim)) + 5.3
    expected = _probabilities(x, y, q, covariance == "shared", 0.3, 2.0)
    head = learner.fit(torch.from_numpy(x).float(), torch.from_numpy(y), 3)
    found = head.logits(torch.from_numpy(q).float()).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert 0.01 < expected.max() < 0.9999  # or the comparison would be of zeros and ones


def test_reading_does_not_depend_on_the_unit_and_origin_of_embeddings() -> None:
    learner = tiny_learner("mahalanobis").eval()
    x, q = torch.randn(9, learner.backbone.dim), torch.randn(4, learner.backbone.dim)
    y = torch.tensor([0, 1, 2]).repeat(3)
    plain = learner.fit(x, y, 3).logits(q).softmax(1)
    moved = learner.fit(7 * x + 2, y, 3).logits(7 * q + 2).softmax(1)
    torch.testing.assert_close(plain, moved, atol=1e-4, rtol=1e-3)


def test_a_support_without_spread_leaves_the_classes_equal() -> None:
    learner = tiny_learner("mahalanobis").eval()
    same = torch.ones(4, learner.backbone.dim)
    found = learner.fit(same, torch.tensor([0, 0, 1, 1]), 2).logits(same[:1]).softmax(1)
    torch.testing.assert_close(found, torch.full((1, 2), 0.5))
