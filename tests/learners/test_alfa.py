"""ALFA: an inner loop written out number by number, MAML at the start, and finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.helpers import small_batch, tiny_learner
from tests.learners.differences import check, shaken, smooth_learner
from workbench.learners.alfa import ALFA
from workbench.learners.gradient import inner_loop


def _learner(options: dict[str, object] | None = None) -> ALFA:
    learner = tiny_learner("alfa", options=options)
    assert isinstance(learner, ALFA)
    return learner


def _learned(learner: ALFA) -> list[Tensor]:
    return [*learner.generator.parameters(), learner.rate_deviations, learner.decay_deviations]


def test_steps_equal_a_loop_over_every_number() -> None:
    """On a loss whose gradient is known: ``sum of w t^2 / 2`` has gradient ``w t``."""
    learner = _learner({"steps": 2, "learning_rate": 0.1, "head_learning_rate": 0.3}).double()
    shaken(_learned(learner), 0.3)
    torch.manual_seed(0)
    names = learner.adapted_names()
    start = {n: torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for n in names}
    weights = {n: torch.rand(2, 3, dtype=torch.float64) for n in names}

    def support(parameters: dict[str, Tensor]) -> Tensor:
        return torch.stack([(weights[n] * p.square()).sum() / 2 for n, p in parameters.items()]).sum()

    update = learner.update(start, torch.empty(0), torch.empty(0), 2)
    path = inner_loop(support, start, update, 3, first_order=False)

    first, _, last = learner.generator
    assert isinstance(first, torch.nn.Linear)
    assert isinstance(last, torch.nn.Linear)
    count = len(names)
    theta = {n: p.detach().flatten().tolist() for n, p in start.items()}
    for number in range(3):
        row = min(number, 1)  # the third step takes what was learned for the second
        slopes = {
            n: [w * t for w, t in zip(weights[n].flatten().tolist(), theta[n], strict=True)] for n in names
        }
        state = [sum(v) / 6 for v in slopes.values()] + [sum(v) / 6 for v in theta.values()]
        hidden = [
            max(0.0, sum(w * s for w, s in zip(line, state, strict=True)) + b)
            for line, b in zip(first.weight.tolist(), first.bias.tolist(), strict=True)
        ]
        made = [
            1 + sum(w * h for w, h in zip(line, hidden, strict=True)) + b
            for line, b in zip(last.weight.tolist(), last.bias.tolist(), strict=True)
        ]
        for k, n in enumerate(names):
            rate = 0.3 if n.startswith("head.") else 0.1
            alpha = rate * (1 + learner.rate_deviations[row, k].item()) * made[k]
            beta = (1 + learner.decay_deviations[row, k].item()) * made[count + k]
            theta[n] = [beta * t - alpha * g for t, g in zip(theta[n], slopes[n], strict=True)]
        for n in names:
            expected = torch.tensor(theta[n], dtype=torch.float64).view(2, 3)
            torch.testing.assert_close(path[number][n].detach(), expected)


@pytest.mark.parametrize("options", [{}, {"head_learning_rate": 0.3}, {"prototypes": True}])
def test_fresh_learner_takes_the_steps_of_maml(options: dict[str, object]) -> None:
    """In meta-training (value and gradient of the network) and when adapting."""
    batch = small_batch(way=3, shot=2, query=2)
    task = batch.tasks()[0]
    losses, gradients, logits = [], [], []
    for method in ("maml", "alfa"):
        learner = smooth_learner(method, {"test_steps": 4, **options})  # in double precision
        loss = learner.training_loss(batch).value
        losses.append(loss)
        network = list(learner.backbone.parameters())
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, network)]))
        logits.append(learner.eval().fit(task.support, task.support_labels, 3).logits(task.query))
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(logits[0], logits[1])


@pytest.mark.parametrize("what", ["rates and decays", "generator", "everything"])
def test_outer_gradient_equals_finite_differences_on_a_network(what: str) -> None:
    learner = smooth_learner("alfa")
    assert isinstance(learner, ALFA)
    shaken(_learned(learner))
    # Hidden units at the bend of ReLU have no derivative; Softplus has one everywhere.
    learner.generator[1] = torch.nn.Softplus()
    chosen = {
        "rates and decays": [learner.rate_deviations, learner.decay_deviations],
        "generator": list(learner.generator.parameters()),
        "everything": [p for p in learner.parameters() if p.requires_grad],
    }
    check(learner, chosen[what])


def test_hyperparameters_differ_between_tasks_once_learned() -> None:
    learner = _learner()
    shaken(_learned(learner))
    tasks = small_batch(way=3, shot=2, query=2, episodes=2).tasks()
    made = []
    for task in tasks:
        start = learner.initial(task.support, task.support_labels, 3)
        torch.manual_seed(int(task.support.sum()) % 1000)
        made.append(learner.generate(start, {n: torch.randn_like(p) for n, p in start.items()}))
    assert made[0].shape == (2 * len(learner.adapted_names()),)
    assert not torch.allclose(made[0], made[1])


def test_decay_pulls_rates_and_decays_to_those_of_maml() -> None:
    """An outer step on a gradient of zero is decay alone, and leaves a fresh learner's steps as they are."""
    learner = _learner()
    configured = learner.configure_optimizers()
    assert isinstance(configured, dict)
    optimizer = configured["optimizer"]
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = 0.1, 0.5
    for parameter in learner.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    theta = {n: torch.randn(2, 3, requires_grad=True) for n in learner.adapted_names()}
    slopes = {n: torch.randn(2, 3) for n in theta}
    moved = learner.update(theta, torch.empty(0), torch.empty(0), 2)(0, theta, slopes, torch.tensor(0.0))
    for n, p in theta.items():
        torch.testing.assert_close(moved[n], p - 0.05 * slopes[n])


def test_adapting_takes_as_many_steps_as_rates_and_decays_were_learned_for() -> None:
    """Beyond them the last decay goes on: learned below 1, it would take theta to nothing."""
    learner = tiny_learner("alfa")
    assert isinstance(learner, ALFA)
    assert learner.inner_steps == learner.options.test_steps == learner.options.steps == 5
