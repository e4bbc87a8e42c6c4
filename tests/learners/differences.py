"""Meta-gradients of learners by finite differences, in double precision on a smooth network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from tests.helpers import small_batch, tiny_learner
from workbench.data.pool import MetaBatch
from workbench.imaging.recipe import Recipe
from workbench.learners.gradient import GradientLearner


class DoubleRecipe(Recipe):
    """Normalises to double precision, which finite differences need."""

    def normalise(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2).double() / 64 - 2


def smooth_learner(method: str, options: dict[str, object] | None = None) -> GradientLearner:
    """A learner whose loss is differentiable everywhere, with an output layer that is not zero."""
    torch.manual_seed(0)
    given = {"steps": 2, "learning_rate": 0.1, **(options or {})}
    learner = tiny_learner(method, normaliser="group", options=given)
    assert isinstance(learner, GradientLearner)
    learner.double()
    learner.recipe = DoubleRecipe(size=learner.recipe.size)
    _smooth(learner.backbone)
    torch.manual_seed(1)  # the same rows whatever else the method has drawn
    torch.nn.init.normal_(learner.head_row, std=0.3)
    return learner


def shaken(parameters: Sequence[Tensor], size: float = 0.05) -> None:
    """Moves tensors away from a start at which parts of a gradient vanish."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in parameters:
            p.add_(size * torch.randn(p.shape, generator=generator, dtype=p.dtype))


def check(learner: GradientLearner, chosen: Sequence[Tensor], batch: MetaBatch | None = None) -> None:
    """Compare the outer gradient with central differences along random directions of `chosen`."""
    tasks = batch or small_batch(way=2, shot=2, query=2)

    def outer() -> Tensor:
        return learner.training_loss(tasks).value

    gradients = torch.autograd.grad(outer(), list(chosen))
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in chosen]
        expected = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
        assert abs(expected) > 1e-6
        assert _central(outer, chosen, directions, 1e-5) == pytest.approx(expected, rel=2e-4, abs=1e-8)


def _central(
    outer: Callable[[], Tensor], chosen: Sequence[Tensor], directions: Sequence[Tensor], h: float
) -> float:
    values = []
    for move in (h, -2 * h, h):
        with torch.no_grad():
            for p, d in zip(chosen, directions, strict=True):
                p.add_(d, alpha=move)
        values.append(float(outer().detach()))
    return (values[0] - values[1]) / (2 * h)


def _smooth(module: torch.nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, torch.nn.ReLU):
            setattr(module, name, torch.nn.Softplus())
        elif isinstance(child, torch.nn.MaxPool2d):
            setattr(module, name, torch.nn.AvgPool2d(2))
        else:
            _smooth(child)
