"""Attention and full context embeddings against loops."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers import small_batch, tiny_learner, train_briefly
from workbench.learners.files import describe, load_learner, save_learner
from workbench.learners.matching import FullContext, Matching, canonical_order

LABELS = torch.tensor([1, 0, 0, 2, 0, 1])


def _learner(**options: object) -> Matching:
    torch.manual_seed(0)
    learner = tiny_learner("matching", options=options).eval().requires_grad_(False)
    assert isinstance(learner, Matching)
    return learner


def _cosine(a: Tensor, b: Tensor) -> float:
    return float((a @ b) / (a.square().sum().sqrt() * b.square().sum().sqrt()))


@pytest.mark.parametrize("balanced", [False, True])
def test_probabilities_are_the_attention_each_class_draws(balanced: bool) -> None:
    learner = _learner(scale=4.0, balanced=balanced)
    x, q = torch.randn(6, learner.backbone.dim), torch.randn(3, learner.backbone.dim)
    expected = torch.zeros(3, 3)
    for i in range(3):
        weights = [math.exp(4.0 * _cosine(q[i], x[j])) for j in range(6)]
        for j, label in enumerate(LABELS.tolist()):
            size = (3, 2, 1)[label] if balanced else 1
            expected[i, label] += weights[j] / sum(weights) / size
        expected[i] /= expected[i].sum()
    found = learner.fit(x, LABELS, 3).logits(q).softmax(1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_log_probabilities_stay_finite_where_a_class_draws_no_attention() -> None:
    learner = _learner(scale=1e4)
    x = torch.eye(6, learner.backbone.dim)
    logits = learner.fit(x, LABELS, 3).logits(x)
    assert logits.isfinite().all()
    assert (logits.argmax(1) == LABELS).all()


def _gates(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """An LSTM's output and cell from its gates, in torch's order."""
    i, f, g, o = gates.chunk(4)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def _reference(context: FullContext, x: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """g of the support in processing order, and f of one query, by the module's equations."""

    def simple(z: Tensor) -> Tensor:
        return context.project.weight @ (z / z.square().sum().sqrt())

    mean = torch.stack([z / z.square().sum().sqrt() for z in x]).mean(0)
    order = sorted(range(len(x)), key=lambda i: -_cosine(x[i], mean))
    lstm, size = context.over_support, context.project.out_features
    states = {}
    for suffix, rows in (("l0", order), ("l0_reverse", order[::-1])):
        w_in, w_rec = getattr(lstm, f"weight_ih_{suffix}"), getattr(lstm, f"weight_hh_{suffix}")
        bias = getattr(lstm, f"bias_ih_{suffix}") + getattr(lstm, f"bias_hh_{suffix}")
        h, c = torch.zeros(size), torch.zeros(size)
        for row in rows:
            h, c = _gates(w_in @ simple(x[row]) + w_rec @ h + bias, c)
            states[suffix, row] = h
    g = torch.stack([states["l0", i] + states["l0_reverse", i] + simple(x[i]) for i in range(len(x))])
    cell = context.process
    h, c = torch.zeros(size), torch.zeros(size)
    for _ in range(context.steps):
        scores = [math.exp(float(h @ row)) for row in g]
        r = torch.stack([s / sum(scores) * row for s, row in zip(scores, g, strict=True)]).sum(0)
        gates = cell.weight_ih @ torch.cat([simple(query), r]) + cell.weight_hh @ h
        out, c = _gates(gates + cell.bias_ih + cell.bias_hh, c)
        h = out + simple(query)
    return g, h


@pytest.mark.parametrize("steps", [1, 3])
def test_full_context_equals_a_loop_over_scans_and_steps(steps: int) -> None:
    learner = _learner(full_context=True, processing_steps=steps, width=7)
    assert learner.context is not None
    x, queries = 2 * torch.randn(6, learner.backbone.dim) + 0.3, torch.randn(2, learner.backbone.dim)
    head = learner.fit(x, LABELS, 3)
    f = learner.context.query(queries, head.keys)
    for query, found in zip(queries, f, strict=True):
        g, expected = _reference(learner.context, x, query)
        torch.testing.assert_close(head.keys, g, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_full_context_depends_on_the_support_but_not_on_its_order_or_the_numbering_of_classes() -> None:
    learner = _learner(full_context=True, width=6)
    x, q = torch.randn(6, learner.backbone.dim), torch.randn(4, learner.backbone.dim)
    plain = learner.fit(x, LABELS, 3).logits(q)
    mixed = torch.randperm(6, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(learner.fit(x[mixed], LABELS[mixed], 3).logits(q), plain)
    renumbered = torch.tensor([2, 0, 1])
    torch.testing.assert_close(learner.fit(x, renumbered[LABELS], 3).logits(q)[:, renumbered], plain)
    other = x.clone()
    other[3] = torch.randn(learner.backbone.dim)
    assert (learner.fit(other, LABELS, 3).keys[0] - learner.fit(x, LABELS, 3).keys[0]).abs().max() > 1e-4


def test_full_context_reads_each_query_alone_and_its_width_is_bounded() -> None:
    assert FullContext(300, 128, 5).over_support.hidden_size == 128
    assert FullContext(64, 128, 5).over_support.hidden_size == 64
    learner = _learner(full_context=True)
    head = learner.fit(torch.randn(6, learner.backbone.dim), LABELS, 3)
    q = torch.randn(4, learner.backbone.dim)
    alone = torch.cat([head.logits(q[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(head.logits(q), alone, atol=1e-5, rtol=1e-4)


def test_order_is_from_the_most_to_the_least_typical() -> None:
    z = torch.tensor([[0.0, 1.0], [1.0, 0.1], [5.0, 0.0], [3.0, 1.0]])
    assert canonical_order(z).tolist() == [3, 1, 2, 0]


def test_full_context_learns_and_its_files_restore_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    learner = tiny_learner("matching", options={"full_context": True, "width": 16})
    batch = small_batch(episodes=2)
    first = train_briefly(learner.train(), batch, steps=1)
    assert train_briefly(learner, batch, steps=15) < 0.8 * first
    place = tmp_path / "w.safetensors"
    save_learner(learner.eval(), place, describe(learner))
    loaded = load_learner(place).learner
    x, q = torch.randn(6, learner.backbone.dim), torch.randn(2, learner.backbone.dim)
    expected = learner.fit(x, LABELS, 3)
    torch.testing.assert_close(loaded.fit(x, LABELS, 3).logits(q), expected.logits(q))
    restored = loaded.restore(expected.tensors())
    torch.testing.assert_close(restored.logits(q), expected.logits(q))
