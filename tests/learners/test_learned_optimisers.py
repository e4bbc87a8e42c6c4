"""What the methods that learn their inner loop's rule hold in common."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.helpers import small_batch, tiny_learner, train_briefly
from workbench.backbones.neck import Necked
from workbench.learners.base import Learner
from workbench.learners.files import create
from workbench.learners.gradient import GradientLearner

METHODS = ("alfa", "meta-curvature", "meta-lstm", "meta-sgd")


def _necked(method: str) -> Learner:
    torch.manual_seed(0)
    like = tiny_learner(method)
    return create(method, replace(like.spec, neck=8), like.recipe, None, {"steps": 2, "test_steps": 2})


def _learned(learner: Learner) -> dict[str, torch.Tensor]:
    """What is learned besides the network and the output layer."""
    return {
        n: p.detach().clone()
        for n, p in learner.named_parameters()
        if p.requires_grad and not n.startswith(("backbone.", "head_row"))
    }


@pytest.mark.parametrize("method", METHODS)
def test_works_on_a_neck_from_images_and_from_what_they_were_prepared_to(method: str) -> None:
    learner, batch = _necked(method), small_batch(episodes=2)
    assert isinstance(learner.backbone, Necked)
    below = {n: v.clone() for n, v in learner.backbone.trunk.state_dict().items()}
    train_briefly(learner.train(), batch, steps=2)
    assert all(torch.equal(v, below[n]) for n, v in learner.backbone.trunk.state_dict().items())
    other = batch.with_images(learner.prepare(batch.images))
    assert other.images.is_floating_point()
    torch.testing.assert_close(learner.training_loss(batch).value, learner.training_loss(other).value)
    one, two = (
        learner.eval()
        .fit(learner.features(task.support), task.support_labels, 3)
        .logits(learner.features(task.query))
        for task in (batch.tasks()[0], other.tasks()[0])
    )
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("method", METHODS)
def test_meta_training_reaches_everything_that_is_learned(method: str) -> None:
    """A few outer steps move every tensor of the rule, and the readings stay numbers."""
    torch.manual_seed(0)
    learner = tiny_learner(method, options={"steps": 2})
    before, batch = _learned(learner), small_batch(episodes=2)
    train_briefly(learner.train(), batch, steps=3)
    assert before
    assert [n for n, p in _learned(learner).items() if torch.equal(p, before[n])] == []


@pytest.mark.parametrize("method", METHODS)
def test_works_with_transductive_statistics(method: str) -> None:
    torch.manual_seed(0)
    learner = tiny_learner(method, normaliser="transductive", options={"steps": 2, "test_steps": 2})
    batch = small_batch(episodes=1)
    first = float(learner.training_loss(batch).value.detach())
    assert train_briefly(learner.train(), batch, steps=6) < first
    task = batch.tasks()[0]
    assert torch.isfinite(learner.fit(task.support, task.support_labels, 3).logits(task.query)).all()


@pytest.mark.parametrize("method", METHODS)
def test_prototypes_may_start_the_output_layer(method: str) -> None:
    torch.manual_seed(0)
    learner = tiny_learner(method, options={"prototypes": True, "steps": 2})
    assert isinstance(learner, GradientLearner)
    learner.training_loss(small_batch()).value.backward()
    assert learner.log_scale.grad is not None
    assert float(learner.log_scale.grad.abs()) > 0


@pytest.mark.parametrize("method", METHODS)
def test_renaming_classes_permutes_the_readings_and_nothing_else(method: str) -> None:
    torch.manual_seed(0)
    learner = tiny_learner(method, normaliser="group", options={"steps": 2})
    train_briefly(learner.train(), small_batch(episodes=2), steps=2)
    assert isinstance(learner, GradientLearner)
    torch.nn.init.normal_(learner.head_row, std=0.3)
    task = small_batch(way=3, shot=2, query=2).tasks()[0]
    order = torch.tensor([2, 0, 1])
    learner.eval()
    plain = learner.fit(task.support, task.support_labels, 3).logits(task.query)
    renamed = learner.fit(task.support, order[task.support_labels], 3).logits(task.query)
    torch.testing.assert_close(renamed[:, order], plain, rtol=1e-4, atol=1e-4)
