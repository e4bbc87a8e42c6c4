"""Reptile's inner optimisers and direction against torch's own; its outer step by the paper's equation."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.helpers import SIZE, small_batch, tiny_learner, train_briefly
from workbench.backbones import BackboneSpec
from workbench.data.pool import MetaBatch
from workbench.errors import PlanError
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Optimisation
from workbench.learners.files import create
from workbench.learners.reptile import Reptile, mini_batches


class DoubleRecipe(Recipe):
    """Normalises to double precision."""

    def normalise(self, images: Tensor) -> Tensor:
        return super().normalise(images).double()


def _reptile(options: dict[str, object] | None = None, normaliser: str = "group") -> Reptile:
    torch.manual_seed(0)
    learner = tiny_learner("reptile", normaliser=normaliser, options=options)
    assert isinstance(learner, Reptile)
    torch.nn.init.normal_(learner.head_row, std=0.3)
    return learner


def _trained_by_torch(
    learner: Reptile, batch: MetaBatch, steps: int, size: int, seed: int
) -> list[dict[str, Tensor]]:
    """For each task, an ordinary network with an ordinary output layer, trained by torch's optimiser."""
    chosen, out = learner.options, []
    for task in batch.tasks():
        body = copy.deepcopy(learner.backbone)
        layer = torch.nn.Linear(body.dim, task.way, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(learner.head_row.expand(task.way, -1))
            layer.bias.zero_()
        parameters = [*body.parameters(), *layer.parameters()]
        optimizer: torch.optim.Optimizer
        if chosen.inner_optimiser == "adam":
            optimizer = torch.optim.Adam(parameters, chosen.learning_rate, betas=(0.0, 0.999))
        else:
            optimizer = torch.optim.SGD(parameters, chosen.learning_rate)
        images = learner.recipe.normalise(torch.cat([task.support, task.query]))
        labels = torch.cat([task.support_labels, task.query_labels])
        for rows in islice(mini_batches(len(labels), size, seed), steps):
            optimizer.zero_grad()
            F.cross_entropy(layer(body(images[rows])), labels[rows]).backward()
            optimizer.step()
        end = {f"backbone.{n}": p.detach() for n, p in body.named_parameters()}
        out.append(end | {"head_row": layer.weight.detach().mean(0, keepdim=True)})
    return out


@pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.1), ("adam", 0.01)])
@pytest.mark.parametrize("size", [0, 4])
def test_gradient_is_the_way_back_from_where_the_tasks_lead(optimiser: str, rate: float, size: int) -> None:
    """theta - mean of theta~, with theta~ by torch's own optimiser, in double precision.

    Adam's first steps have the size of the rate whatever the gradient, and so magnify rounding.
    """
    learner = _reptile({"inner_optimiser": optimiser, "learning_rate": rate, "inner_batch": size, "steps": 3})
    learner.double()
    learner.recipe = DoubleRecipe(size=learner.recipe.size)
    batch = small_batch(episodes=2)
    ends = _trained_by_torch(learner, batch, steps=3, size=size, seed=0)
    learner.training_loss(batch).value.backward()
    moved = 0.0
    for name, parameter in learner.named_parameters():
        if not parameter.requires_grad:
            continue
        mean = torch.stack([end[name] for end in ends]).mean(0)
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, parameter.detach() - mean, rtol=1e-5, atol=1e-9)
        moved += float(parameter.grad.abs().sum())
    assert moved > 0


def test_outer_step_goes_the_share_epsilon_of_the_way_and_epsilon_falls_linearly_to_zero() -> None:
    spec = BackboneSpec("conv4", size=SIZE, width=8, normaliser="group")
    torch.manual_seed(0)
    learner = create("reptile", spec, Recipe(size=SIZE), Optimisation(steps=4), {"epsilon": 0.5, "steps": 2})
    configured = learner.configure_optimizers()
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]  # type: ignore[index, call-overload]
    batch = small_batch()
    rates = []
    for _ in range(5):
        before = [p.detach().clone() for p in learner.parameters() if p.requires_grad]
        optimizer.zero_grad()
        learner.training_loss(batch).value.backward()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
        for p, old in zip((p for p in learner.parameters() if p.requires_grad), before, strict=True):
            # grad is theta - theta~
            torch.testing.assert_close(
                p.detach(), old + rates[-1] * ((old - p.grad) - old), rtol=1e-5, atol=1e-6
            )
    assert rates == pytest.approx([0.5, 0.375, 0.25, 0.125, 0.0])


def test_adam_as_outer_optimiser_is_the_one_of_the_other_methods() -> None:
    configured = _reptile({"outer_optimiser": "adam"}).configure_optimizers()
    assert isinstance(configured["optimizer"], torch.optim.AdamW)  # type: ignore[index, call-overload]


def test_value_is_the_query_loss_after_the_inner_loop() -> None:
    learner = _reptile({"inner_optimiser": "sgd", "learning_rate": 0.1, "steps": 3, "inner_batch": 0})
    task = small_batch().tasks()[0]
    images, labels = (
        torch.cat([task.support, task.query]),
        torch.cat([task.support_labels, task.query_labels]),
    )
    _, end = learner.learn(images, labels, 3, 3, seed=0)
    logits = learner.head(end).logits(task.query)
    found = learner.training_loss(small_batch())
    torch.testing.assert_close(found.value.detach(), F.cross_entropy(logits, task.query_labels))
    torch.testing.assert_close(found.accuracy, (logits.argmax(1) == task.query_labels).float().mean())


def test_mini_batches_take_every_image_once_before_any_twice() -> None:
    drawn = torch.cat(list(islice(mini_batches(7, 3, seed=1), 14)))
    assert all(sorted(part.tolist()) == list(range(7)) for part in drawn.split(7))
    assert len({tuple(part.tolist()) for part in drawn.split(7)}) > 1
    assert not torch.equal(drawn, torch.cat(list(islice(mini_batches(7, 3, seed=2), 14))))
    for size in (0, 7, 9):
        assert [b.tolist() for b in islice(mini_batches(7, size, seed=1), 2)] == [list(range(7))] * 2


def test_adaptation_is_the_same_every_time_and_leaves_the_learner_alone() -> None:
    learner = _reptile({"test_steps": 4, "inner_batch": 2})
    before = {n: v.clone() for n, v in learner.state_dict().items()}
    task = small_batch().tasks()[0]
    first, second = (learner.fit(task.support, task.support_labels, 3).tensors() for _ in range(2))
    assert all(torch.equal(first[n], second[n]) for n in first)
    assert all(torch.equal(v, before[n]) for n, v in learner.state_dict().items())


def test_second_order_is_refused_with_the_reason() -> None:
    with pytest.raises(PlanError, match=r"first_order.*no gradient through"):
        _reptile({"first_order": False})


@pytest.mark.parametrize("options", [{}, {"prototypes": True, "scale": 0.1}])
@pytest.mark.parametrize("normaliser", ["batch", "transductive"])
def test_trains_with_either_start_of_the_output_layer(options: dict[str, object], normaliser: str) -> None:
    learner = _reptile({"steps": 2, **options}, normaliser)
    before = {n: p.detach().clone() for n, p in learner.named_parameters()}
    train_briefly(learner.train(), small_batch(), steps=2)
    changed = {n for n, p in learner.named_parameters() if not torch.equal(p, before[n])}
    assert any(n.startswith("backbone.") for n in changed)
    assert ("head_row" in changed) is (not options)
    assert "log_scale" not in changed


def test_works_on_a_neck_from_images_and_from_what_they_were_prepared_to() -> None:
    like = tiny_learner("reptile")
    learner = create("reptile", replace(like.spec, neck=8), like.recipe)
    batch = small_batch(episodes=2)
    known = batch.with_images(learner.prepare(batch.images))
    torch.testing.assert_close(learner.training_loss(batch).value, learner.training_loss(known).value)
    before = {n: v.clone() for n, v in learner.backbone.state_dict().items()}
    train_briefly(learner.train(), known, steps=2)
    changed = {n for n, v in learner.backbone.state_dict().items() if not torch.equal(v, before[n])}
    assert changed
    assert not any(n.startswith("trunk.") for n in changed)
