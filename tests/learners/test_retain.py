from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tests.helpers import tiny_learner
from workbench.learners.files import create
from workbench.learners.fine_tune import FineTune
from workbench.learners.retain import (
    balanced_cross_entropy,
    diagonal_fisher,
    distillation,
    squared_distance,
    weighted_distance,
)


def test_distances_by_hand() -> None:
    theta = {"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([[2.0]])}
    anchor = {"a": torch.tensor([0.0, 1.0]), "b": torch.tensor([[5.0]])}
    assert float(squared_distance(theta, anchor)) == pytest.approx((1 + 4 + 9) / 2)
    weights = {"a": torch.tensor([2.0, 0.5]), "b": torch.tensor([[0.0]])}
    assert float(weighted_distance(theta, anchor, weights)) == pytest.approx((2 * 1 + 0.5 * 4) / 2)


def test_fisher_of_a_logistic_model_is_p_times_one_minus_p_times_x_squared() -> None:
    """Two classes with logits (0, w x): F = E[p (1 - p) x^2]."""
    x = torch.tensor([[0.5], [-1.0], [2.0]])
    w = {"w": torch.tensor([0.7], requires_grad=True)}
    found = diagonal_fisher(lambda p, z: torch.cat([torch.zeros_like(z), p["w"] * z], dim=1), w, x)
    p = torch.sigmoid(0.7 * x)
    torch.testing.assert_close(found["w"], (p * (1 - p) * x.square()).mean(0))


def test_distillation_by_hand_and_least_where_nothing_changed() -> None:
    old, new = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    p = torch.tensor([1.0, 0.0]).softmax(0)
    q = torch.tensor([0.0, 1.0]).softmax(0)
    torch.testing.assert_close(distillation(new, old, 2.0), -(p * q.log()).sum())
    same = old.clone().requires_grad_()
    distillation(same, old, 2.0).backward()
    torch.testing.assert_close(same.grad, torch.zeros(1, 2))


def test_classes_count_the_same_in_replay() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.0, 2.0]])
    labels = torch.tensor([0, 0, 1])
    each = F.cross_entropy(logits, labels, reduction="none")
    wanted = ((each[0] + each[1]) / 2 + each[2]) / 2
    torch.testing.assert_close(balanced_cross_entropy(logits, labels, 2), wanted)


def _learner(**settings: float) -> FineTune:
    base = tiny_learner("prototypical")
    torch.manual_seed(0)
    made = create(
        "fine-tune",
        replace(base.spec, neck=6),
        base.recipe,
        None,
        {"test_steps": 20, "learning_rate": 0.02, **settings},
    )
    assert isinstance(made, FineTune)
    return made.eval()


def _condition(learner: FineTune, seed: int, way: int = 3) -> tuple[torch.Tensor, torch.Tensor, int]:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(way, learner.backbone.dim, generator=generator)
    labels = torch.arange(4 * way) % way
    values = centres[labels] + 0.7 * torch.randn(4 * way, learner.backbone.dim, generator=generator)
    return F.normalize(values, dim=1), labels, way


def _moved(**settings: float) -> float:
    """How far the network moves from what the first condition left, while it is tuned to the second."""
    learner = _learner(**settings)
    first, second = _condition(learner, 1), _condition(learner, 2)
    later = learner.after(learner.fit(*first), *first)
    start = later.network()
    tuned = later.fit(*second).parameters
    return float(squared_distance({n: tuned[n] for n in start}, start).detach())


def _loss_on_the_first(**settings: float) -> float:
    learner = _learner(**settings)
    first, second = _condition(learner, 1), _condition(learner, 2)
    head = learner.fit(*first)
    layer = head.parameters["head.weight"]
    tuned = learner.after(head, *first).fit(*second)
    unit = tuned.embed(first[0])
    if settings.get("replay"):
        from workbench.learners.fine_tune import cosine_layer

        layer = cosine_layer(unit, first[1], first[2], learner.log_scale.exp())["head.weight"]
    return float(F.cross_entropy(unit @ layer.T, first[1]).detach())


def test_a_strong_pull_keeps_the_network_where_it_was() -> None:
    free = _moved()
    assert _moved(l2_sp=100.0) < 0.1 * free
    assert _moved(ewc=1e5) < 0.5 * free


@pytest.mark.parametrize("settings", [{"ewc": 1e4}, {"lwf": 10.0}, {"replay": 1.0}, {"l2_sp": 10.0}])
def test_each_way_forgets_less_than_none(settings: dict[str, float]) -> None:
    assert _loss_on_the_first(**settings) < _loss_on_the_first()


def test_without_earlier_conditions_the_options_change_nothing() -> None:
    plain, guarded = _learner(), _learner(ewc=5.0, lwf=5.0, replay=5.0)
    given = _condition(plain, 1)
    a, b = plain.fit(*given).tensors(), guarded.fit(*given).tensors()
    for name, value in a.items():
        assert torch.equal(value, b[name])


def test_going_on_changes_neither_the_learner_nor_the_head_before() -> None:
    learner = _learner(ewc=1.0)
    first, second = _condition(learner, 1), _condition(learner, 2)
    head = learner.fit(*first)
    weights = {n: v.clone() for n, v in learner.state_dict().items()}
    kept = {n: v.clone() for n, v in head.tensors().items()}
    later = learner.after(head, *first)
    later.fit(*second)
    assert all(torch.equal(v, learner.state_dict()[n]) for n, v in weights.items())
    assert all(torch.equal(v, head.tensors()[n]) for n, v in kept.items())
    assert learner.earlier == ()
    assert len(later.earlier) == 1


def test_the_gradient_of_l2_sp_is_the_distance() -> None:
    learner = _learner(l2_sp=3.0)
    network, start = learner.network(), {n: p.detach() + 0.1 for n, p in learner.network().items()}
    learner.holding(network, start, torch.zeros(0)).backward()
    for name, value in network.items():
        torch.testing.assert_close(value.grad, 3.0 * (value.detach() - start[name]))
