from __future__ import annotations

import torch
from torch.nn import functional as F

from tests.helpers import small_batch, tiny_learner, train_briefly
from workbench.learners.oml import OML, inputs, learn_online, stream_order


def test_the_steps_are_gradient_descent_on_one_scan_after_another() -> None:
    torch.manual_seed(0)
    start, z, labels = torch.randn(3, 4), torch.randn(5, 4), torch.tensor([0, 2, 1, 1, 0])
    weight = start.clone()
    for row, label in zip(z, labels, strict=True):
        leaf = weight.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy((leaf @ row)[None], label[None]), leaf)
        weight = weight - 0.3 * gradient
    torch.testing.assert_close(learn_online(start, z, labels, torch.tensor(0.3)), weight)


def test_the_outer_gradient_passes_through_every_step() -> None:
    z = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    start = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    rate = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1])
    assert torch.autograd.gradcheck(lambda w, x, a: learn_online(w, x, labels, a), (start, z, rate))


def test_the_stream_brings_one_class_after_the_other() -> None:
    assert stream_order(torch.tensor([1, 0, 1, 0])).tolist() == [1, 3, 0, 2]


def test_going_on_with_new_classes_equals_one_stream_from_when_they_came() -> None:
    learner = tiny_learner("oml")
    assert isinstance(learner, OML)
    torch.manual_seed(1)
    first, second = torch.randn(4, learner.backbone.dim), torch.randn(4, learner.backbone.dim)
    a, b = torch.tensor([0, 0, 1, 1]), torch.tensor([2, 2, 3, 3])
    with torch.no_grad():
        head = learner.extend(learner.fit(first, a, 2), second, b, 4)
        before = torch.cat([learner.fit(first, a, 2).weight, learner.start(2)])
        wanted = learn_online(before, inputs(second), b, learner.log_rate.exp())
    torch.testing.assert_close(head.weight, wanted)


def test_meta_training_lowers_the_loss_and_learns_rate_and_start() -> None:
    torch.manual_seed(0)
    learner = tiny_learner("oml", options={"learn_rate": True})
    assert isinstance(learner, OML)
    batch = small_batch(episodes=2)
    before = float(learner.training_loss(batch).value.detach())
    rate, row = learner.log_rate.detach().clone(), learner.row.detach().clone()
    assert train_briefly(learner, batch, steps=20) < before
    assert not torch.equal(learner.log_rate, rate)
    assert not torch.equal(learner.row, row)
