"""What the inner loop's methods learn besides theta, stored as its difference from plain gradient descent.

A tensor of zeros means MAML's step. So the decay of the outer optimiser, which pulls tensors towards zero,
pulls learned rates and matrices towards MAML's and never towards no step at all, and a fresh learner is MAML.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workbench.learners.gradient import GradientLearner

STRETCH = 10.0
"""Adam moves each number by about its own rate, whatever the gradient. An outer rate that suits theta (1e-3)
would take a thousand steps to double an inner rate stored in units of its start; with this, a hundred."""


def stretched(start: float | Tensor, deviation: Tensor) -> Tensor:
    """Learned rates ``start * (1 + 10 r)`` from their deviations r; negative ones are allowed."""
    return start * (1 + STRETCH * deviation)


def slot(name: str) -> str:
    """A parameter's name as a key of a `ParameterDict`, which takes no dots."""
    return name.replace(".", "/")


def shapes(learner: GradientLearner) -> dict[str, torch.Size]:
    """Shapes of the adapted parameters that hold for any number of classes, by name.

    Those of the network as they are; of ``head.weight`` one row ``(1, d)``, of ``head.bias`` one number.
    """
    known = {name: parameter.shape for name, parameter in learner.named_parameters()}
    known |= {"head.weight": learner.head_row.shape, "head.bias": torch.Size([1])}
    return {name: known[name] for name in learner.adapted_names()}
