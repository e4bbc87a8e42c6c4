"""Meta-SGD: the outer gradient of the learned rates, derived by hand and by finite differences."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers import small_batch, tiny_learner
from tests.learners.differences import check, shaken, smooth_learner
from workbench.learners.deviations import STRETCH, slot
from workbench.learners.files import describe, load_learner, save_learner
from workbench.learners.gradient import inner_loop
from workbench.learners.meta_sgd import MetaSGD

A, B, T, ALPHA = 3.0, -2.0, 1.5, 0.1


def _learner(options: dict[str, object] | None = None) -> MetaSGD:
    learner = tiny_learner("meta-sgd", options=options)
    assert isinstance(learner, MetaSGD)
    return learner


def _quadratic(parameters: dict[str, Tensor]) -> Tensor:
    return 0.5 * A * (parameters["head.bias"] - B).square().sum()


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_gradient_of_the_rate_equals_the_one_derived_by_hand(steps: int) -> None:
    """Support loss a/2 (t - b)^2, query loss t^3, as in MAML's test, now with respect to alpha.

    ``t_k = b + (1 - alpha a)^k (t - b)``, so ``dt_k / dalpha = -a k (1 - alpha a)^(k - 1) (t - b)``.
    """
    learner = _learner({"learning_rate": ALPHA}).double()
    t = torch.tensor([T], dtype=torch.float64, requires_grad=True)
    update = learner.update({"head.bias": t}, torch.empty(0), torch.empty(0), 1)
    last = inner_loop(_quadratic, {"head.bias": t}, update, steps, first_order=False)[-1]["head.bias"]
    shrink = 1 - ALPHA * A
    by_hand = B + shrink**steps * (T - B)
    deviation = learner.deviations["head/bias"]
    of_r, of_t = torch.autograd.grad((last**3).sum(), (deviation, t))
    assert last.item() == pytest.approx(by_hand, abs=1e-12)
    of_alpha = 3 * by_hand**2 * -A * steps * shrink ** (steps - 1) * (T - B)
    assert of_r.item() == pytest.approx(of_alpha * ALPHA * STRETCH, abs=1e-10)
    assert of_t.item() == pytest.approx(3 * by_hand**2 * shrink**steps, abs=1e-10)


def test_rates_may_turn_against_the_gradient() -> None:
    """r = -0.3 makes alpha (1 - 3): one step goes up the hill by twice the rate."""
    learner = _learner({"learning_rate": ALPHA}).double()
    torch.nn.init.constant_(learner.deviations["head/bias"], -0.3)
    t = torch.tensor([T], dtype=torch.float64, requires_grad=True)
    update = learner.update({"head.bias": t}, torch.empty(0), torch.empty(0), 1)
    (after,) = inner_loop(_quadratic, {"head.bias": t}, update, 1, first_order=False)
    assert after["head.bias"].item() == pytest.approx(T + 2 * ALPHA * A * (T - B), abs=1e-12)


@pytest.mark.parametrize("what", ["rates", "everything"])
def test_outer_gradient_equals_finite_differences_on_a_network(what: str) -> None:
    learner = smooth_learner("meta-sgd")
    assert isinstance(learner, MetaSGD)
    shaken(list(learner.deviations.values()))
    chosen = list(learner.deviations.values()) if what == "rates" else list(learner.parameters())
    check(learner, [p for p in chosen if p.requires_grad])


def test_every_number_has_its_own_rate_and_the_output_layer_one_row() -> None:
    learner = _learner({"learning_rate": 0.1, "head_learning_rate": 0.3})
    rates = learner.rates()
    network = {f"backbone.{n}": p for n, p in learner.backbone.named_parameters()}
    assert {n: r.shape for n, r in rates.items() if n in network} == {n: p.shape for n, p in network.items()}
    assert all(torch.equal(rates[n], torch.full_like(p, 0.1)) for n, p in network.items())
    torch.testing.assert_close(rates["head.weight"], torch.full((1, learner.backbone.dim), 0.3))
    torch.testing.assert_close(rates["head.bias"], torch.full((1,), 0.3))


def test_fresh_learner_adapts_as_maml_does() -> None:
    task = small_batch(way=3, shot=2, query=2).tasks()[0]
    logits = []
    for method in ("maml", "meta-sgd"):
        torch.manual_seed(0)
        learner = tiny_learner(method, options={"test_steps": 3}).eval()
        logits.append(learner.fit(task.support, task.support_labels, 3).logits(task.query))
    torch.testing.assert_close(logits[0], logits[1])


def test_random_rates_fill_their_range() -> None:
    torch.manual_seed(0)
    rates = torch.cat([r.flatten() for r in _learner({"learning_rate": 0.1, "spread": 0.5}).rates().values()])
    assert rates.min() >= 0.05 - 1e-6
    assert rates.max() <= 0.15 + 1e-6
    assert rates.min() < 0.052
    assert rates.max() > 0.148
    assert float(rates.detach().mean()) == pytest.approx(0.1, abs=0.003)


def test_decay_pulls_rates_to_their_start_and_not_to_zero() -> None:
    """An outer step on a gradient of zero is decay alone."""
    learner = _learner({"learning_rate": 0.1})
    row, scale = slot("backbone.blocks.0.0.weight"), 0.2
    torch.nn.init.constant_(learner.deviations[row], scale)
    configured = learner.configure_optimizers()
    assert isinstance(configured, dict)
    optimizer = configured["optimizer"]
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = 0.1, 0.5 * (group["weight_decay"] > 0)
    for parameter in learner.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    rates = learner.rates()
    moved = rates.pop("backbone.blocks.0.0.weight")
    torch.testing.assert_close(moved, torch.full_like(moved, 0.1 * (1 + STRETCH * scale * 0.95)))
    assert all(torch.equal(r, torch.full_like(r, 0.1)) for r in rates.values())


def test_learned_rates_are_stored_with_the_weights(tmp_path: Path) -> None:
    learner = _learner()
    shaken(list(learner.deviations.values()))
    save_learner(learner, tmp_path / "w.safetensors", describe(learner))
    loaded = load_learner(tmp_path / "w.safetensors").learner
    assert isinstance(loaded, MetaSGD)
    stored = loaded.rates()
    assert all(torch.equal(rate, stored[name]) for name, rate in learner.rates().items())
