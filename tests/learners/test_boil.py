"""BOIL: the body moves along the partial gradient, the output layer stays where the prototypes put it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from tests.helpers import small_batch, tiny_learner, train_briefly
from workbench.data.pool import Task
from workbench.errors import PlanError
from workbench.learners.boil import BOIL
from workbench.learners.files import create
from workbench.learners.prototypical import prototypes


def _boil(options: dict[str, object] | None = None, normaliser: str = "group") -> BOIL:
    torch.manual_seed(0)
    learner = tiny_learner("boil", normaliser=normaliser, options=options)
    assert isinstance(learner, BOIL)
    return learner


def _written_out(
    learner: BOIL, task: Task, rate: float, steps: int
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Body after the inner loop, and the fixed layer, all connected to the learner's parameters."""
    centres = prototypes(learner.embed(task.support), task.support_labels, task.way)
    scale = learner.log_scale.exp()
    weight, bias = 2 * scale * centres, -scale * centres.square().sum(1)
    images = learner.recipe.normalise(task.support)
    # Tensors of their own: the inner gradient is partial, with the output layer held.
    body = {n: p * 1 for n, p in learner.backbone.named_parameters()}
    for _ in range(steps):
        z = functional_call(learner.backbone, body, (images,))
        loss = F.cross_entropy(z @ weight.T + bias, task.support_labels)
        gradients = torch.autograd.grad(loss, list(body.values()), create_graph=True)
        body = {n: p - rate * g for (n, p), g in zip(body.items(), gradients, strict=True)}
    return body, weight, bias


def test_adapted_network_is_that_of_the_loop_written_out() -> None:
    learner = _boil({"learning_rate": 0.02, "test_steps": 3, "scale": 0.3})
    task = small_batch().tasks()[0]
    body, weight, bias = _written_out(learner, task, 0.02, 3)
    found = learner.fit(task.support, task.support_labels, 3).tensors()
    torch.testing.assert_close(found["head.weight"], weight.detach())
    torch.testing.assert_close(found["head.bias"], bias.detach())
    for name, value in body.items():
        torch.testing.assert_close(found[f"backbone.{name}"], value.detach(), rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(found[f"backbone.{n}"], p) for n, p in learner.backbone.named_parameters())


def test_outer_gradient_is_that_of_the_loop_written_out() -> None:
    """It reaches the body through the inner steps and through the prototypes, and the learned scale."""
    learner = _boil({"learning_rate": 0.02, "steps": 2, "scale": 0.3})
    batch = small_batch()
    task = batch.tasks()[0]
    parameters = [p for p in learner.parameters() if p.requires_grad]
    found = torch.autograd.grad(learner.training_loss(batch).value, parameters)
    body, weight, bias = _written_out(learner, task, 0.02, 2)
    z = functional_call(learner.backbone, body, (learner.recipe.normalise(task.query),))
    loss = F.cross_entropy(z @ weight.T + bias, task.query_labels)
    for one, other in zip(found, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_training_and_adaptation_take_the_same_steps() -> None:
    learner = _boil({"learning_rate": 0.02, "test_steps": 2})
    task = small_batch().tasks()[0]
    path = learner.trajectory(task.support, task.support_labels, 3, 2, first_order=False)[-1]
    for name, value in learner.fit(task.support, task.support_labels, 3).tensors().items():
        torch.testing.assert_close(value, path[name].detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("option", "value"), [("prototypes", False), ("head_learning_rate", 0.1)])
def test_options_that_contradict_the_method_are_refused_with_the_reason(option: str, value: object) -> None:
    with pytest.raises(PlanError, match=f"{option}.*BOIL.*output layer"):
        _boil({option: value})


@pytest.mark.parametrize("normaliser", ["batch", "transductive"])
def test_learns_with_other_normalisers(normaliser: str) -> None:
    learner = _boil({"steps": 1}, normaliser)
    batch = small_batch()
    first = float(learner.train().training_loss(batch).value.detach())
    assert train_briefly(learner, batch, steps=8) < first


def test_works_on_a_neck_from_images_and_from_what_they_were_prepared_to() -> None:
    like = tiny_learner("boil")
    learner = create("boil", replace(like.spec, neck=8), like.recipe)
    batch = small_batch(episodes=2)
    known = batch.with_images(learner.prepare(batch.images))
    torch.testing.assert_close(learner.training_loss(batch).value, learner.training_loss(known).value)
    before = {n: v.clone() for n, v in learner.backbone.state_dict().items()}
    train_briefly(learner.train(), known, steps=2)
    changed = {n for n, v in learner.backbone.state_dict().items() if not torch.equal(v, before[n])}
    assert changed
    assert not any(n.startswith("trunk.") for n in changed)
