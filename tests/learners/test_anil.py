"""ANIL's inner loop against gradients written out by hand; what it trains and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.helpers import small_batch, tiny_learner, train_briefly
from workbench.learners.anil import ANIL
from workbench.learners.files import create


def _anil(options: dict[str, object] | None = None, **given: object) -> ANIL:
    torch.manual_seed(0)
    learner = tiny_learner("anil", options=options, **given)  # type: ignore[arg-type]
    assert isinstance(learner, ANIL)
    torch.nn.init.normal_(learner.head_row, std=0.3)
    return learner


def _softmax_regression(z: Tensor, y: Tensor, w: Tensor, b: Tensor, rate: float, steps: int) -> Tensor:
    """W and b stacked after gradient descent on cross-entropy, whose gradient is (p - onehot) z^T / n."""
    onehot = F.one_hot(y, len(w)).to(z.dtype)
    for _ in range(steps):
        error = ((z @ w.T + b).softmax(1) - onehot) / len(z)
        w, b = w - rate * error.T @ z, b - rate * error.sum(0)
    return torch.cat([w, b[:, None]], dim=1)


@pytest.mark.parametrize("prototypes", [False, True])
def test_adaptation_is_gradient_descent_of_softmax_regression(prototypes: bool) -> None:
    learner = _anil({"learning_rate": 0.3, "test_steps": 4, "prototypes": prototypes, "scale": 0.5}).double()
    z, y = torch.randn(7, learner.backbone.dim, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2, 2])
    w, b = learner.head_row.detach().repeat(3, 1), torch.zeros(3, dtype=torch.float64)
    if prototypes:
        # 2 s c_k and -s |c_k|^2 with s = 1/2.
        w = torch.stack([z[y == k].mean(0) for k in range(3)])
        b = -0.5 * w.square().sum(1)
    found = learner.fit(z, y, 3).tensors()
    expected = _softmax_regression(z, y, w, b, 0.3, 4)
    torch.testing.assert_close(found["head.weight"], expected[:, :-1], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found["head.bias"], expected[:, -1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("first_order", [False, True])
def test_outer_gradient_is_that_of_the_loop_written_out(first_order: bool) -> None:
    """Of the body as well, through the support's embeddings, unless the inner gradients are constants."""
    learner = _anil(
        {"steps": 3, "learning_rate": 0.4, "first_order": first_order}, normaliser="group"
    ).train()
    task = small_batch().tasks()[0]
    learner.training_loss(small_batch()).value.backward()
    parameters = [p for p in learner.parameters() if p.requires_grad]
    found = [p.grad for p in parameters]

    z, q = learner.embed(task.support), learner.embed(task.query)
    w, b = learner.head_row.repeat(3, 1), torch.zeros(3)
    onehot = F.one_hot(task.support_labels, 3)
    for _ in range(3):
        error = ((z @ w.T + b).softmax(1) - onehot) / len(z)
        dw, db = error.T @ z, error.sum(0)
        if first_order:
            dw, db = dw.detach(), db.detach()
        w, b = w - 0.4 * dw, b - 0.4 * db
    expected = torch.autograd.grad(F.cross_entropy(q @ w.T + b, task.query_labels), parameters)
    for one, other in zip(found, expected, strict=True):
        assert one is not None
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_classifier_holds_an_output_layer_and_nothing_of_the_body() -> None:
    learner = _anil()
    task = small_batch().tasks()[0]
    head = learner.fit(learner.features(task.support), task.support_labels, 3)
    assert sorted(head.tensors()) == ["head.bias", "head.weight"]
    assert learner.adapted_names() == ("head.weight", "head.bias")


def test_transductive_statistics_are_those_of_one_side_of_one_task() -> None:
    learner = _anil(normaliser="transductive")
    both = small_batch(episodes=2)
    singles = []
    for number in range(2):
        mine = both.episode == number
        one = replace(
            both,
            images=both.images[mine],
            labels=both.labels[mine],
            episode=both.episode[mine] * 0,
            is_support=both.is_support[mine],
            ways=both.ways[number : number + 1],
        )
        singles.append(learner.training_loss(one).value)
    torch.testing.assert_close(learner.training_loss(both).value, torch.stack(singles).mean())


def test_works_on_a_neck_from_images_and_from_what_they_were_prepared_to() -> None:
    like = tiny_learner("anil")
    learner = create("anil", replace(like.spec, neck=8), like.recipe)
    batch = small_batch(episodes=2)
    known = batch.with_images(learner.prepare(batch.images))
    torch.testing.assert_close(learner.training_loss(batch).value, learner.training_loss(known).value)
    torch.testing.assert_close(learner.features(batch.images), learner.features(known.images))
    before = {n: v.clone() for n, v in learner.backbone.state_dict().items()}
    train_briefly(learner.train(), known, steps=2)
    changed = {n for n, v in learner.backbone.state_dict().items() if not torch.equal(v, before[n])}
    assert changed
    assert not any(n.startswith("trunk.") for n in changed)
