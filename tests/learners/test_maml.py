"""MAML's meta-gradient, derived by hand and by finite differences; first order by its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.helpers import small_batch, tiny_learner
from workbench.data.examples import Support
from workbench.imaging.recipe import Recipe
from workbench.learners.gradient import descend, inner_loop
from workbench.learners.maml import MAML
from workbench.learners.prototypical import prototypes, squared_distances

ALPHA, A, B = 0.1, 3.0, -2.0


class DoubleRecipe(Recipe):
    """Normalises to double precision, which finite differences need."""

    def normalise(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2).double() / 64 - 2


def _support(parameters: dict[str, Tensor]) -> Tensor:
    return 0.5 * A * (parameters["t"] - B).square().sum()


def _query(parameters: dict[str, Tensor]) -> Tensor:
    return (parameters["t"] ** 3).sum()


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_meta_gradient_equals_the_one_derived_by_hand(steps: int) -> None:
    """Support loss a/2 (t - b)^2, query loss t^3.

    One step is t' = t - alpha a (t - b), so dt'/dt = 1 - alpha a, and after k steps (1 - alpha a)^k. The
    meta-gradient is 3 t_k^2 (1 - alpha a)^k.
    """
    t = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    adapted = inner_loop(_support, {"t": t}, descend({"t": ALPHA}), steps, first_order=False)[-1]
    (gradient,) = torch.autograd.grad(_query(adapted), t)
    by_hand = B + (1 - ALPHA * A) ** steps * (1.5 - B)
    assert adapted["t"].item() == pytest.approx(by_hand, abs=1e-12)
    assert gradient.item() == pytest.approx(3 * by_hand**2 * (1 - ALPHA * A) ** steps, abs=1e-10)


@pytest.mark.parametrize("steps", [1, 3])
def test_first_order_gradient_is_the_query_gradient_at_the_adapted_point(steps: int) -> None:
    """Section 5.2: the inner gradients are constants, so d loss / d t = 3 t_k^2."""
    t = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    adapted = inner_loop(_support, {"t": t}, descend({"t": ALPHA}), steps, first_order=True)[-1]
    (gradient,) = torch.autograd.grad(_query(adapted), t)
    by_hand = B + (1 - ALPHA * A) ** steps * (1.5 - B)
    assert gradient.item() == pytest.approx(3 * by_hand**2, abs=1e-10)


@pytest.mark.parametrize("normaliser", ["group", "batch", "weight-standardised"])
def test_meta_gradient_equals_finite_differences_on_a_network(normaliser: str) -> None:
    """Central differences of the outer loss along random directions, in double precision."""
    torch.manual_seed(0)
    learner = tiny_learner("maml", normaliser=normaliser, options={"steps": 2, "learning_rate": 0.1})
    assert isinstance(learner, MAML)
    learner.double()
    learner.recipe = DoubleRecipe(size=learner.recipe.size)
    # A smooth stand-in for ReLU and max pooling: finite differences need a differentiable loss.
    _smooth(learner.backbone)
    batch = small_batch(way=2, shot=2, query=2)
    learner.training_loss(batch)  # fills BatchNorm's running statistics
    _freeze_statistics(learner.backbone)
    torch.nn.init.normal_(learner.head_row, std=0.3)
    parameters = [p for p in learner.parameters() if p.requires_grad]

    def outer() -> Tensor:
        return _outer_loss(learner, batch)

    gradients = torch.autograd.grad(outer(), parameters)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
        expected = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
        measured = _central_difference(outer, parameters, directions, 1e-5)
        assert measured == pytest.approx(expected, rel=2e-4, abs=1e-8)


def test_second_order_differs_from_first_order_on_a_network() -> None:
    """Else the comparison above would prove nothing."""
    torch.manual_seed(0)
    batch = small_batch(way=2, shot=2, query=2)
    gradients = []
    for first_order in (False, True):
        torch.manual_seed(0)
        learner = tiny_learner("maml", normaliser="group", options={"steps": 2, "first_order": first_order})
        torch.nn.init.normal_(learner.head_row, std=0.3)
        learner.training_loss(batch).value.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in learner.parameters() if p.grad is not None]))
    assert not torch.allclose(gradients[0], gradients[1], rtol=1e-3)


@pytest.mark.parametrize("first_order", [False, True])
def test_adaptation_takes_the_steps_of_meta_training(first_order: bool) -> None:
    """It keeps no graph from step to step, and ends at the same numbers."""
    torch.manual_seed(0)
    learner = tiny_learner("maml", normaliser="group", options={"test_steps": 3})
    assert isinstance(learner, MAML)
    task = small_batch(way=3, shot=2, query=1).tasks()[0]
    last = learner.trajectory(task.support, task.support_labels, 3, 3, first_order)[-1]
    found = learner.fit(task.support, task.support_labels, 3).tensors()
    assert list(found) == list(last)
    for name, value in found.items():
        assert not value.requires_grad
        torch.testing.assert_close(value, last[name].detach())


def test_adapting_leaves_the_meta_trained_weights_as_they_were() -> None:
    learner = tiny_learner("maml", options={"test_steps": 3})
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    task = small_batch(way=3, shot=2, query=1).tasks()[0]
    support = Support(task.support, task.support_labels, ("a", "b", "c"), tuple("012345"))
    head = learner.train().adapt(support).head
    assert all(torch.equal(before[name], value) for name, value in learner.state_dict().items())
    assert not torch.equal(head.tensors()["head.weight"], torch.zeros_like(head.tensors()["head.weight"]))


def test_starting_from_prototypes_is_the_prototypical_classifier_before_the_first_step() -> None:
    """Meta-Dataset, section 3: 2 s c.z - s |c|^2 is -s |z - c|^2 but for what all classes share."""
    torch.manual_seed(0)
    learner = tiny_learner("maml", options={"prototypes": True, "scale": 0.7}).eval()
    assert isinstance(learner, MAML)
    task = small_batch(way=3, shot=2, query=3).tasks()[0]
    start = learner.initial(task.support, task.support_labels, 3)
    z = learner.embed(task.query)
    logits = z @ start["head.weight"].T + start["head.bias"]
    centres = prototypes(learner.embed(task.support), task.support_labels, 3)
    expected = -0.7 * squared_distances(z, centres)
    torch.testing.assert_close(logits.softmax(1), expected.softmax(1), rtol=1e-4, atol=1e-6)


def test_meta_gradient_passes_through_the_prototypes() -> None:
    torch.manual_seed(0)
    learner = tiny_learner("maml", normaliser="group", options={"prototypes": True, "steps": 1})
    learner.training_loss(small_batch(way=2, shot=2, query=2)).value.backward()
    assert learner.log_scale.grad is not None
    assert float(learner.log_scale.grad.abs()) > 0
    assert learner.head_row.grad is None


def test_first_step_from_prototypes_is_along_the_partial_gradient() -> None:
    """The prototypes depend on the network, but in theta_0 the output layer is a coordinate of its own."""
    torch.manual_seed(0)
    learner = tiny_learner("maml", normaliser="group", options={"prototypes": True, "test_steps": 1})
    assert isinstance(learner, MAML)
    task = small_batch(way=2, shot=2, query=2).tasks()[0]
    start = learner.initial(task.support, task.support_labels, 2)
    weight, bias = start["head.weight"].detach(), start["head.bias"].detach()
    loss = torch.nn.functional.cross_entropy(
        learner.embed(task.support) @ weight.T + bias, task.support_labels
    )
    body = dict(learner.backbone.named_parameters())
    gradients = torch.autograd.grad(loss, list(body.values()))
    (trained,) = learner.trajectory(task.support, task.support_labels, 2, 1, first_order=False)
    adapted = learner.fit(task.support, task.support_labels, 2).tensors()
    for (name, p), gradient in zip(body.items(), gradients, strict=True):
        expected = p.detach() - learner.options.learning_rate * gradient
        for found in (trained, adapted):
            torch.testing.assert_close(found[f"backbone.{name}"].detach(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("keep", [True, False])
def test_normaliser_statistics_are_followed_only_when_asked(keep: bool) -> None:
    learner = tiny_learner("maml", options={"keep_statistics": keep, "steps": 1}).train()
    before = {n: v.clone() for n, v in learner.state_dict().items() if "running" in n}
    learner.training_loss(small_batch(way=2, shot=2, query=2))
    after = learner.state_dict()
    assert before
    assert all(torch.equal(v, after[n]) for n, v in before.items()) is keep


def test_output_layer_may_have_a_rate_of_its_own() -> None:
    """One step from zero rows: the head moves by its own rate, the backbone not at all (zero gradient)."""
    task = small_batch(way=2, shot=2, query=1).tasks()[0]
    moved = []
    for rate in (0.1, 0.3):
        torch.manual_seed(0)
        learner = tiny_learner("maml", options={"head_learning_rate": rate, "test_steps": 1})
        head = learner.eval().fit(task.support, task.support_labels, 2)
        moved.append(head.tensors()["head.weight"])
        before = dict(learner.backbone.named_parameters())
        assert all(torch.equal(head.tensors()[f"backbone.{n}"], p) for n, p in before.items())
    torch.testing.assert_close(moved[1], 3 * moved[0])


def test_adaptation_does_not_depend_on_the_order_of_classes() -> None:
    """One starting vector for all classes: renaming them permutes the logits and nothing else."""
    torch.manual_seed(0)
    learner = tiny_learner("maml", normaliser="group", options={"test_steps": 3})
    torch.nn.init.normal_(learner.head_row, std=0.3)
    task = small_batch(way=3, shot=2, query=2).tasks()[0]
    order = torch.tensor([2, 0, 1])
    plain = learner.fit(task.support, task.support_labels, 3).logits(task.query)
    renamed = learner.fit(task.support, order[task.support_labels], 3).logits(task.query)
    torch.testing.assert_close(renamed[:, order], plain, rtol=1e-4, atol=1e-5)


def _outer_loss(learner: MAML, batch: object) -> Tensor:
    return learner.training_loss(batch).value  # type: ignore[arg-type]


def _central_difference(outer: object, parameters: list[Tensor], directions: list[Tensor], h: float) -> float:
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(d, alpha=sign * h)
        values.append(outer().item())  # type: ignore[operator]
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.sub_(d, alpha=sign * h)
    return (values[0] - values[1]) / (2 * h)


def _smooth(module: torch.nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, torch.nn.ReLU):
            setattr(module, name, torch.nn.Softplus())
        elif isinstance(child, torch.nn.MaxPool2d):
            setattr(module, name, torch.nn.AvgPool2d(2))
        else:
            _smooth(child)


def _freeze_statistics(module: torch.nn.Module) -> None:
    for child in module.modules():
        if isinstance(child, torch.nn.BatchNorm2d):
            child.momentum = 0.0
