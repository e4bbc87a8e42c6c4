"""Meta-LSTM: the cell against scalar arithmetic, gradient descent as a special case, the outer gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.helpers import small_batch, tiny_learner
from tests.learners.differences import shaken
from workbench.errors import PlanError
from workbench.learners import meta_lstm
from workbench.learners.gradient import Parameters, descend, inner_loop
from workbench.learners.meta_lstm import MetaLSTM, preprocessed


def _learner(options: dict[str, object] | None = None, normaliser: str = "group") -> MetaLSTM:
    torch.manual_seed(0)
    learner = tiny_learner("meta-lstm", normaliser=normaliser, options=options)
    assert isinstance(learner, MetaLSTM)
    return learner


def _two_numbers(x: float) -> list[float]:
    if abs(x) >= math.exp(-10):
        return [math.log(abs(x)) / 10, math.copysign(1.0, x)]
    return [-1.0, math.exp(10) * x]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


class ScalarCell:
    """One coordinate's cell in plain arithmetic, with the weights of a `Cell`."""

    def __init__(self, learner: MetaLSTM) -> None:
        self.cell = learner.cell
        self.h = [0.0] * learner.options.hidden
        self.c = [0.0] * learner.options.hidden
        self.i = self.f = 0.0

    def step(self, theta: float, gradient: float, loss: float) -> float:
        given = _two_numbers(gradient) + _two_numbers(loss)
        lstm, size = self.cell.first, len(self.h)

        def gate(block: int, unit: int) -> float:
            row = block * size + unit  # blocks in torch's order: input, forget, candidate, output
            total = lstm.bias_ih[row].item() + lstm.bias_hh[row].item()
            total += sum(w * x for w, x in zip(lstm.weight_ih[row].tolist(), given, strict=True))
            return total + sum(w * x for w, x in zip(lstm.weight_hh[row].tolist(), self.h, strict=True))

        c, h = [], []
        for unit in range(size):
            value = _sigmoid(gate(1, unit)) * self.c[unit] + _sigmoid(gate(0, unit)) * math.tanh(
                gate(2, unit)
            )
            c.append(value)
            h.append(_sigmoid(gate(3, unit)) * math.tanh(value))
        self.h, self.c = h, c
        self.i = self._gate(self.cell.take, [*h, theta, self.i])
        self.f = self._gate(self.cell.keep, [*h, theta, self.f])
        return self.f * theta - self.i * gradient

    def _gate(self, layer: nn.Linear, given: list[float]) -> float:
        pairs = zip(layer.weight[0].tolist(), given, strict=True)
        return _sigmoid(sum(w * x for w, x in pairs) + layer.bias.item())


def test_preprocessing_equals_the_formula_for_large_small_and_zero() -> None:
    values = [0.0, 1e-7, -1e-7, math.exp(-10), 1e-3, -0.5, 1.0, -20.0]
    expected = torch.tensor([_two_numbers(x) for x in values], dtype=torch.float64)
    torch.testing.assert_close(preprocessed(torch.tensor(values, dtype=torch.float64)), expected)


def test_steps_equal_scalar_arithmetic_for_every_coordinate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps on ``sum of w t^2 / 2``; small chunks, so that coordinates are taken in several."""
    monkeypatch.setattr(meta_lstm, "_CHUNK", 4)
    learner = _learner({"hidden": 3}).double()
    shaken(list(learner.cell.parameters()), 0.5)
    torch.manual_seed(0)
    start = {n: torch.randn(2, 3, dtype=torch.float64, requires_grad=True) for n in ("head.weight", "x")}
    weights = {n: torch.rand(2, 3, dtype=torch.float64) for n in start}

    def support(parameters: Parameters) -> Tensor:
        return torch.stack([(weights[n] * p.square()).sum() / 2 for n, p in parameters.items()]).sum()

    update = learner.update(start, torch.empty(0), torch.empty(0), 2)
    path = inner_loop(support, start, update, 3, first_order=True)
    theta = torch.cat([p.detach().flatten() for p in start.values()]).tolist()
    scale = torch.cat([w.flatten() for w in weights.values()]).tolist()
    cells = [ScalarCell(learner) for _ in theta]
    for after in path:
        loss = sum(w * t * t / 2 for w, t in zip(scale, theta, strict=True))
        theta = [cell.step(t, w * t, loss) for cell, t, w in zip(cells, theta, scale, strict=True)]
        found = torch.cat([p.detach().flatten() for p in after.values()])
        torch.testing.assert_close(found, torch.tensor(theta, dtype=torch.float64))


@pytest.mark.parametrize("head", [0.0, 2.0])
def test_with_open_gates_it_is_gradient_descent(head: float) -> None:
    """f = 1 and i = learning_rate, whatever the cell reads: weights of zero, and b_F so large that f is 1."""
    learner = _learner({"learning_rate": 0.1, "head_learning_rate": head, "test_steps": 3})
    for layer in (learner.cell.keep, learner.cell.take):
        nn.init.zeros_(layer.weight)
    nn.init.constant_(learner.cell.keep.bias, 100.0)
    torch.nn.init.normal_(learner.head_row, std=0.3)
    task = small_batch(way=3, shot=2, query=2).tasks()[0]
    found = learner.eval().fit(task.support, task.support_labels, 3).tensors()
    learner.update = lambda start, *_: descend({n: learner.rate(n) for n in start})  # type: ignore[method-assign]
    plain = learner.fit(task.support, task.support_labels, 3).tensors()
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value)


def test_gates_start_at_the_options() -> None:
    learner = _learner({"learning_rate": 0.02, "forget": 0.99})
    theta, slope = torch.randn(50), torch.randn(50)
    *_, taken, kept = learner.cell(theta, slope, torch.tensor(1.0), learner.cell.fresh(theta))
    torch.testing.assert_close(taken, torch.full((50,), 0.02), rtol=0.1, atol=0)
    torch.testing.assert_close(1 - kept, torch.full((50,), 0.01), rtol=0.1, atol=0)


def test_outer_gradient_takes_losses_and_gradients_as_constants() -> None:
    """Finite differences of a loop that is given the gradients and losses met on the way, as numbers."""
    learner = _learner({"hidden": 3}).double()
    shaken(list(learner.cell.parameters()), 0.5)
    torch.manual_seed(0)
    start = torch.randn(4, dtype=torch.float64, requires_grad=True)
    chosen = [start, *learner.cell.parameters()]
    met: list[tuple[Tensor, Tensor]] = []

    def support(parameters: Parameters) -> Tensor:
        return parameters["t"].pow(3).sum()

    def end(recorded: bool) -> Tensor:
        update = learner.update({"t": start}, torch.empty(0), torch.empty(0), 1)
        theta: Parameters = {"t": start}
        for number in range(3):
            if not recorded:
                met.append((3 * theta["t"].detach() ** 2, support(theta).detach()))
            slope, loss = met[number]
            theta = update(number, theta, {"t": slope}, loss)
        return theta["t"].sin().sum()

    end(recorded=False)
    update = learner.update({"t": start}, torch.empty(0), torch.empty(0), 1)
    last = inner_loop(support, {"t": start}, update, 3, first_order=True)[-1]["t"]
    gradients = torch.autograd.grad(last.sin().sum(), chosen)
    generator = torch.Generator().manual_seed(1)
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in chosen]
    values = []
    for move in (1e-6, -2e-6):
        with torch.no_grad():
            for p, d in zip(chosen, directions, strict=True):
                p.add_(d, alpha=move)
        values.append(float(end(recorded=True).detach()))
    expected = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(expected, rel=1e-5)


def test_chunks_change_neither_loss_nor_outer_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = small_batch(way=2, shot=2, query=2)
    losses, gradients = [], []
    for chunk in (10**6, 900):
        monkeypatch.setattr(meta_lstm, "_CHUNK", chunk)
        learner = _learner({"steps": 2})
        shaken(list(learner.cell.parameters()))
        torch.nn.init.normal_(learner.head_row, std=0.3)
        loss = learner.training_loss(batch).value
        losses.append(loss.detach())
        chosen = [p for p in learner.parameters() if p.requires_grad]
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, chosen)]))
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-6)


def test_state_is_a_tasks_own() -> None:
    """Adapting twice gives the same: nothing is left of the first time."""
    learner = _learner().eval()
    shaken(list(learner.cell.parameters()), 0.3)
    task = small_batch(way=3, shot=2, query=2).tasks()[0]
    one, two = (learner.fit(task.support, task.support_labels, 3).logits(task.query) for _ in range(2))
    assert torch.equal(one, two)


def test_second_order_is_refused_with_the_reason() -> None:
    with pytest.raises(PlanError, match="constants"):
        _learner({"first_order": False})
