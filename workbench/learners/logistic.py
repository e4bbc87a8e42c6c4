"""Many logistic regressions at once: descriptions of one support, each fitted to several subsets of it.

Cross-validation solves the same small problem over and over. Here all of them are solved side by side, by
Nesterov's accelerated gradient method for strongly convex functions ("Introductory Lectures on Convex
Optimization", 2004, scheme 2.2.11), which needs a few hundred small matrix products in all.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_CHECK = 20
"""Steps between two looks at the gradient."""


def balanced(labels: Tensor, way: int, taking_part: Tensor) -> Tensor:
    """Weights ``(m, n)`` with which every class counts the same in each of m subsets.

    Args:
        labels: int64 ``(n,)`` in ``[0, way)``.
        way: number of classes.
        taking_part: bool ``(m, n)``; in every row, every class occurs.
    """
    member = F.one_hot(labels, way).double()
    counts = taking_part.double() @ member
    each = taking_part.sum(1, keepdim=True) / (way * counts)
    return (each @ member.T) * taking_part


def logistic_regressions(
    z: Tensor, labels: Tensor, way: int, strength: float, weights: Tensor, tolerance: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """L2-regularised multinomial logistic regression, for v descriptions and m subsets.

    Each minimises ``C sum_i w_i CE(W z_i + b, y_i) + |W|^2 / 2``. For two classes C is halved, which is what
    scikit-learn's single row of weights amounts to.

    Args:
        z: float64 ``(v, n, r)``, centred.
        labels: int64 ``(n,)`` in ``[0, way)``.
        way: number of classes.
        strength: C.
        weights: float64 ``(m, n)``; 0 for a row that takes no part.
        tolerance: of the largest number in the gradient, relative to C.

    Returns:
        Weights ``(v, m, way, r)`` and biases ``(v, m, way)``.
    """
    views, n, rank = z.shape
    subsets = len(weights)
    c = strength / 2 if way == 2 else strength
    target = F.one_hot(labels, way).double()
    w = c * weights[None, :, :, None]
    # Curvature is at most 1 + c max(w) |z|^2 / 2: the softmax bends by a half at most (Boehning 1992).
    gram = z @ z.transpose(1, 2) if n < rank else z.transpose(1, 2) @ z
    largest = torch.linalg.eigvalsh(gram)[:, -1].clamp_min(1e-12)
    # The constant feature that carries the bias is given the length of the longest direction, so that it
    # does not slow the others down.
    stretch = (largest / n).sqrt()[:, None, None, None]
    curvature = 1 + c * float(weights.max()) * largest / 2
    step = (1 / curvature)[:, None, None, None]
    root = curvature.sqrt()
    momentum = ((root - 1) / (root + 1))[:, None, None, None]

    def spread(values: Tensor) -> Tensor:
        """(v, m, a, way) as (v, a, m way): one product for all subsets."""
        return values.transpose(1, 2).flatten(2)

    def gathered(values: Tensor) -> Tensor:
        return values.reshape(views, -1, subsets, way).transpose(1, 2)

    new = torch.zeros(views, subsets, rank, way, dtype=torch.float64)
    new_bias = torch.zeros(views, subsets, 1, way, dtype=torch.float64)
    ahead, ahead_bias = new, new_bias
    most = int(20 * float(root.max())) + 2 * _CHECK
    for number in range(most):
        logits = gathered(z @ spread(ahead)) + stretch * ahead_bias
        residual = w * (logits.softmax(3) - target)
        gradient = gathered(z.transpose(1, 2) @ spread(residual)) + ahead
        bias_gradient = stretch * residual.sum(2, keepdim=True)
        old, old_bias = new, new_bias
        new, new_bias = ahead - step * gradient, ahead_bias - step * bias_gradient
        ahead = new + momentum * (new - old)
        ahead_bias = new_bias + momentum * (new_bias - old_bias)
        if number % _CHECK == _CHECK - 1 and float(gradient.abs().max()) < tolerance * c:
            break
    return new.transpose(2, 3), (stretch * new_bias)[:, :, 0]
