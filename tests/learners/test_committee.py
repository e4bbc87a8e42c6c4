"""The committee and its solver against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from tests.helpers import tiny_learner
from workbench.learners.committee import CommitteeHead, deep_columns, descriptions
from workbench.learners.linear_probe import logistic_regression
from workbench.learners.logistic import balanced, logistic_regressions


def _points(way: int, n: int, dims: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    labels = torch.arange(n) % way
    return torch.randn(n, dims, dtype=torch.float64) + F.one_hot(labels, dims), labels


@pytest.mark.parametrize(("way", "n", "dims"), [(2, 11, 30), (3, 14, 6), (5, 40, 20)])
def test_all_subsets_at_once_are_scikit_learns_one_by_one(way: int, n: int, dims: int) -> None:
    z, labels = _points(way, n, dims)
    z = torch.stack([z - z.mean(0), (z - z.mean(0)) * 0.1])
    part = torch.ones(3, n, dtype=torch.bool)
    part[1, :way], part[2, ::4] = False, False
    weights, biases = logistic_regressions(z, labels, way, 10.0, balanced(labels, way, part), tolerance=1e-9)
    for view in range(2):
        for number, rows in enumerate(part):
            model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=5000, tol=1e-10)
            model.fit(z[view][rows].numpy(), labels[rows].numpy())
            mine = (z[view] @ weights[view, number].T + biases[view, number]).softmax(1)
            np.testing.assert_allclose(mine.numpy(), model.predict_proba(z[view].numpy()), atol=1e-5)


def test_every_class_weighs_the_same_in_every_subset() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    part = torch.tensor([[True] * 6, [True, False, True, True, True, False]])
    weights = balanced(labels, 3, part)
    np.testing.assert_allclose(weights.sum(1), part.sum(1))
    for row in weights:
        shares = [float(row[labels == k].sum()) for k in range(3)]
        np.testing.assert_allclose(shares, shares[0])
    assert not weights[~part].any()


@pytest.mark.parametrize("backbone", ["conv4", "multiscale-resnet10"])
def test_members_are_linear_probes_and_their_probabilities_are_averaged(backbone: str) -> None:
    learner = tiny_learner("committee", backbone=backbone)
    torch.manual_seed(0)
    labels = torch.arange(12) % 3
    features = torch.randn(12, learner.backbone.dim) + 3 * labels[:, None].sin()
    queries = torch.randn(5, learner.backbone.dim)
    head = learner.fit(features, labels, 3)
    deep = deep_columns(learner.backbone)
    mean = features.mean(0)
    expected = []
    given, asked = descriptions(features - mean, deep), descriptions(queries - mean, deep)
    assert list(given) == ["embedding", *(["deep"] if backbone != "conv4" else []), "direction", "root"]
    for name, values in given.items():
        centre = values.mean(0)
        spread = (values - centre).square().sum(1).mean().sqrt()
        weight, bias = logistic_regression((values - centre) / spread, labels, 3, 10.0)
        expected.append(F.linear((asked[name] - centre) / spread, weight, bias).softmax(1))
    np.testing.assert_allclose(head.logits(queries).softmax(1), torch.stack(expected).mean(0), atol=2e-3)


def test_deep_columns_are_the_taught_part_and_the_one_before_it() -> None:
    backbone = tiny_learner("committee", backbone="multiscale-resnet10").backbone
    found = deep_columns(backbone)
    assert found is not None
    assert found.stop - found.start == backbone.parts[3] + backbone.parts[4]
    assert found.start == sum(backbone.parts[:3])
    assert deep_columns(tiny_learner("committee").backbone) is None


def test_tensors_restore_the_head() -> None:
    learner = tiny_learner("committee")
    labels = torch.arange(6) % 2
    features = torch.randn(6, learner.backbone.dim)
    head = learner.fit(features, labels, 2)
    restored = learner.restore(head.tensors())
    assert isinstance(restored, CommitteeHead)
    torch.testing.assert_close(restored.logits(features), head.logits(features))
