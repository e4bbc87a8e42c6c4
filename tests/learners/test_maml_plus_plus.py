"""The additions of MAML++, each against a loop or a derivative written out, and all of them off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from tests.helpers import small_batch, tiny_learner, train_briefly
from workbench.learners.files import create, describe, load_learner, save_learner
from workbench.learners.gradient import GradientLearner, Parameters, Update, descend, inner_loop
from workbench.learners.maml import MAML, step_weights


def _maml(options: dict[str, object] | None = None) -> MAML:
    torch.manual_seed(0)
    learner = tiny_learner("maml", normaliser="group", options={"steps": 3, **(options or {})})
    assert isinstance(learner, MAML)
    torch.nn.init.normal_(learner.head_row, std=0.3)
    return learner


def _at(monkeypatch: pytest.MonkeyPatch, progress: float) -> None:
    """As if so much of meta-training (1000 steps in these tests) were done."""
    monkeypatch.setattr(MAML, "global_step", int(1000 * progress))


def _gradients(learner: GradientLearner) -> list[Tensor]:
    loss = learner.training_loss(small_batch(episodes=2)).value
    return [loss, *torch.autograd.grad(loss, [p for p in learner.parameters() if p.requires_grad])]


def _same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class Plain(MAML):
    """MAML by equations 1 and 2 and nothing else."""

    name: ClassVar[str] = "plain"
    outer_loss = GradientLearner.outer_loss
    first_order = GradientLearner.first_order

    def update(self, start: Parameters, support: Tensor, labels: Tensor, way: int) -> Update:
        return descend(dict.fromkeys(start, self.options.learning_rate))


@pytest.mark.parametrize("first_order", [False, True])
def test_with_everything_off_it_is_maml_bit_for_bit(first_order: bool) -> None:
    learner = _maml({"first_order": first_order})
    plain = Plain(learner.spec, learner.recipe, None, learner.options)
    plain.load_state_dict(learner.state_dict())
    assert _same(_gradients(learner), _gradients(plain))


def test_annealing_ends_at_plain_maml_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    annealed = _maml({"multi_step_loss": 0.5, "annealed_order": 0.5})
    expected = _gradients(_maml())
    _at(monkeypatch, 0.25)
    assert not _same(_gradients(annealed), expected)
    _at(monkeypatch, 0.5)
    assert _same(_gradients(annealed), expected)


def test_weights_start_equal_and_end_on_the_last_step() -> None:
    assert step_weights(4, 0.0, 0.5) == (0.25,) * 4
    assert step_weights(4, 0.5, 0.5) == step_weights(4, 0.9, 0.5) == (0.0, 0.0, 0.0, 1.0)
    # Half way to the end of annealing: half of 1 / N each, and what is missing goes to the last.
    assert step_weights(4, 0.25, 0.5) == (0.125, 0.125, 0.125, 0.625)
    assert step_weights(4, 0.0, 0.0) == (0.0, 0.0, 0.0, 1.0)
    assert step_weights(1, 0.1, 1.0) == (1.0,)


def test_multi_step_loss_is_the_weighted_sum_of_a_loop_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = _maml({"multi_step_loss": 0.8, "learning_rate": 0.1})
    _at(monkeypatch, 0.2)
    task = small_batch().tasks()[0]
    parameters = [p for p in learner.parameters() if p.requires_grad]
    support, query = learner.recipe.normalise(task.support), learner.recipe.normalise(task.query)
    theta = {n: p * 1 for n, p in learner.backbone.named_parameters()}
    theta |= {"w": learner.head_row.repeat(3, 1), "b": torch.zeros(3, requires_grad=True)}

    def loss(theta: Parameters, images: Tensor, labels: Tensor) -> Tensor:
        body = {n: p for n, p in theta.items() if n not in ("w", "b")}
        z = functional_call(learner.backbone, body, (images,))
        return F.cross_entropy(z @ theta["w"].T + theta["b"], labels)

    # t = 0.2 / 0.8, so 3/4 of the third remains with each but the last.
    expected = torch.zeros(())
    for weight in (0.25, 0.25, 0.5):
        inner = loss(theta, support, task.support_labels)
        gradients = torch.autograd.grad(inner, list(theta.values()), create_graph=True)
        theta = {n: p - 0.1 * g for (n, p), g in zip(theta.items(), gradients, strict=True)}
        expected = expected + weight * loss(theta, query, task.query_labels)
    found = learner.training_loss(small_batch()).value
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_gradient_of_learned_rates_equals_the_one_derived_by_hand(steps: int) -> None:
    """Support loss a/2 sum (t - b)^2, outer loss sum t^3, learned rates alpha e^r of 3 steps.

    A step multiplies t - b by 1 - a alpha e^{r_j}, so t_k = b + (t_0 - b) prod_j (1 - a alpha_j). With m_j
    the times rate j is used (the third also for steps beyond), the derivative of t_k by r_j is
    -m_j a alpha_j / (1 - a alpha_j) (t_k - b), and that of the outer loss 3 t_k^2 times it, summed.
    """
    a, b = 2.0, -1.0
    learner = _maml({"per_step_rates": True, "learning_rate": 0.1, "head_learning_rate": 0.2}).double()
    torch.nn.init.normal_(learner.log_rates, std=0.3)
    start = {n: torch.randn(3, dtype=torch.float64, requires_grad=True) for n in learner.adapted_names()}
    update = learner.update(start, torch.empty(0), torch.empty(0), 2)

    def support(theta: Parameters) -> Tensor:
        return torch.stack([0.5 * a * (t - b).square().sum() for t in theta.values()]).sum()

    end = inner_loop(support, start, update, steps, first_order=False)[-1]
    outer = torch.stack([(t**3).sum() for t in end.values()]).sum()
    (found,) = torch.autograd.grad(outer, learner.log_rates)
    used = [int(steps > 0), int(steps > 1), max(0, steps - 2)]
    for row, (name, t) in enumerate(start.items()):
        alphas = (0.2 if name.startswith("head.") else 0.1) * learner.log_rates[row].detach().exp()
        factors = 1 - a * alphas
        last = b + (t.detach() - b) * torch.stack([f**m for f, m in zip(factors, used, strict=True)]).prod()
        torch.testing.assert_close(end[name].detach(), last)
        for j in range(3):
            by_hand = 3 * last**2 * (last - b) * -used[j] * a * alphas[j] / factors[j]
            torch.testing.assert_close(found[row, j], by_hand.sum())


def test_learned_rates_start_as_the_ones_of_the_options_and_are_learned() -> None:
    learner, plain = _maml({"per_step_rates": True}), _maml()
    one, other = learner.training_loss(small_batch()).value, plain.training_loss(small_batch()).value
    torch.testing.assert_close(one, other)
    train_briefly(learner, small_batch(), steps=1)
    assert bool((learner.log_rates != 0).all())


def test_learned_rates_are_stored_with_the_weights(tmp_path: Path) -> None:
    learner = _maml({"per_step_rates": True, "test_steps": 4})
    torch.nn.init.normal_(learner.log_rates)
    save_learner(learner, tmp_path / "w.safetensors", describe(learner))
    loaded = load_learner(tmp_path / "w.safetensors").learner
    assert torch.equal(loaded.state_dict()["log_rates"], learner.log_rates)
    assert "log_rates" not in _maml().state_dict()


def test_order_is_first_before_its_share_of_meta_training_and_second_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = _maml({"annealed_order": 0.3})
    first, second = _gradients(_maml({"first_order": True})), _gradients(_maml())
    for progress, expected in ((0.0, first), (0.299, first), (0.3, second), (1.0, second)):
        _at(monkeypatch, progress)
        assert _same(_gradients(learner), expected)


def test_progress_is_that_of_the_trainer_and_nothing_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = _maml()
    assert learner.progress == 0
    learner.optimisation = replace(learner.optimisation, steps=40)
    for step, expected in ((10, 0.25), (40, 1.0), (50, 1.0)):
        monkeypatch.setattr(MAML, "global_step", step)
        assert learner.progress == expected


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ({}, "maml"),
        ({"first_order": True}, "fomaml"),
        ({"prototypes": True}, "proto-maml"),
        ({"prototypes": True, "first_order": True}, "proto-fomaml"),
        ({"per_step_rates": True}, "maml++"),
        ({"multi_step_loss": 0.1, "annealed_order": 0.1}, "maml++"),
    ],
)
def test_title_is_what_the_literature_calls_the_options(options: dict[str, object], title: str) -> None:
    assert _maml(options).title == title


def test_everything_on_works_on_a_neck_from_images_and_from_what_they_were_prepared_to() -> None:
    like = tiny_learner("maml")
    options = {"per_step_rates": True, "multi_step_loss": 1.0, "annealed_order": 0.5, "steps": 2}
    learner = create("maml", replace(like.spec, neck=8), like.recipe, None, options)
    batch = small_batch()
    known = batch.with_images(learner.prepare(batch.images))
    torch.testing.assert_close(learner.training_loss(batch).value, learner.training_loss(known).value)
    train_briefly(learner.train(), known, steps=2)
    task = known.tasks()[0]
    assert learner.fit(task.support, task.support_labels, 3).logits(task.query).isfinite().all()
