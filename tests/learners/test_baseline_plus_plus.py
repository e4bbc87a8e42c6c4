"""Baseline++ against automatic differentiation in the full space."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.helpers import labelled_batch, tiny_learner
from workbench.learners.baseline_plus_plus import BaselinePlusPlus, CosineLayer, cosine_gradient

GIVEN = torch.tensor([0, 0, 0, 0, 1, 2, 2])


def _loss(weight: torch.Tensor, z: torch.Tensor, scale: float) -> torch.Tensor:
    """Each class's mean cross-entropy, averaged over classes."""
    logits = scale * F.normalize(z, dim=1) @ F.normalize(weight, dim=1).T
    return torch.stack([F.cross_entropy(logits[k == GIVEN], GIVEN[k == GIVEN]) for k in range(3)]).mean()


def test_gradient_equals_automatic_differentiation() -> None:
    torch.manual_seed(0)
    z = F.normalize(torch.randn(7, 5, dtype=torch.float64), dim=1)
    weight = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(_loss(weight, z, 4.0), weight)
    torch.testing.assert_close(cosine_gradient(weight.detach(), z, GIVEN, 4.0), expected)


@pytest.mark.parametrize("dim", [4, 30])
def test_steps_in_the_span_are_the_steps_of_an_optimiser_in_the_full_space(dim: int) -> None:
    torch.manual_seed(1)
    z, new = torch.randn(7, dim), torch.randn(6, dim)
    options = {"test_steps": 12, "learning_rate": 0.05, "momentum": 0.8, "scale": 6.0}
    learner = tiny_learner("baseline-plus-plus", options=options)
    unit = F.normalize(z.double(), dim=1)
    start = F.normalize(torch.stack([unit[k == GIVEN].mean(0) for k in range(3)]), dim=1)
    weight = start.clone().requires_grad_()
    optimiser = torch.optim.SGD([weight], lr=0.05, momentum=0.8)
    for _ in range(12):
        optimiser.zero_grad()
        _loss(weight, unit, 6.0).backward()
        optimiser.step()
    expected = 6 * F.normalize(new.double(), dim=1) @ F.normalize(weight.detach(), dim=1).T
    found = learner.fit(z, GIVEN, 3).logits(new)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def test_logits_are_cosines_whatever_the_length_of_an_embedding() -> None:
    torch.manual_seed(0)
    head = tiny_learner("baseline-plus-plus", options={"scale": 7.0}).fit(torch.randn(7, 9), GIVEN, 3)
    logits = head.logits(torch.randn(5, 9))
    assert float(logits.abs().max()) <= 7 + 1e-4
    torch.testing.assert_close(head.logits(head.tensors()["weight"]).diag(), torch.full((3,), 7.0))
    z = torch.randn(5, 9)
    torch.testing.assert_close(head.logits(z), head.logits(40 * z))


def test_copies_of_a_scan_do_not_make_its_class_more_likely() -> None:
    """Classes count the same: giving every scan of one class twice changes nothing."""
    torch.manual_seed(0)
    z = torch.randn(7, 9)
    learner = tiny_learner("baseline-plus-plus")
    twice = torch.cat([z, z[:4]]), torch.cat([GIVEN, GIVEN[:4]])
    new = torch.randn(4, 9)
    torch.testing.assert_close(learner.fit(z, GIVEN, 3).logits(new), learner.fit(*twice, 3).logits(new))


def test_meta_training_has_a_cosine_softmax() -> None:
    learner = tiny_learner("baseline-plus-plus", options={"classes": 5})
    assert isinstance(learner, BaselinePlusPlus)
    assert learner.training_head is not None
    (layer,) = learner.training_head.softmax
    assert isinstance(layer, CosineLayer)
    z = torch.randn(3, learner.backbone.dim)
    torch.testing.assert_close(layer(z), layer(9 * z))
    assert float(layer(z).detach().abs().max()) <= 10
    learner.training_loss(labelled_batch()).value.backward()
    assert layer.weight.grad is not None
