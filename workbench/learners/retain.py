"""Holding back forgetting while a network is tuned further: plain mathematics, used by `fine_tune`.

Four ways, each a term that is added to the loss of the new condition:

- L2-SP: ``1/2 |theta - theta_0|^2`` from the starting point (Li, Grandvalet and Davoine, "Explicit Inductive
  Bias for Transfer Learning with Convolutional Networks", ICML 2018, equation 2).
- EWC: ``1/2 sum_i F_i (theta_i - theta*_i)^2`` for each earlier condition, F the diagonal of the Fisher
  information on its support (Kirkpatrick et al., "Overcoming Catastrophic Forgetting in Neural Networks",
  PNAS 114, 2017, equation 3).
- LwF: what the network said about the new scans in terms of earlier classes shall stay, by distillation at
  temperature T (Li and Hoiem, "Learning without Forgetting", ECCV 2016, equations 2 and 3).
- Replay: cross-entropy on stored embeddings of earlier supports, the new one and each earlier one counting
  the same (experience replay; Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class EarlierCondition:
    """What is kept of a condition the network was tuned to before.

    Attributes:
        features: of its support as the learner consumes them (for a neck: embeddings of the frozen network),
            ``(n, ...)``; no pixels where there is a neck.
        labels: int64 ``(n,)`` from 0; every class occurs.
        way: number of classes.
        layer: its output layer ``(way, d)`` as it was when the condition was learned.
        anchor: the network's parameters then.
        fisher: diagonal of the Fisher information there, by parameter.
    """

    features: Tensor
    labels: Tensor
    way: int
    layer: Tensor
    anchor: Parameters
    fisher: Parameters


def squared_distance(parameters: Parameters, anchor: Parameters) -> Tensor:
    """``1/2 |theta - anchor|^2`` over the parameters that both have."""
    return weighted_distance(parameters, anchor, {n: torch.ones_like(a) for n, a in anchor.items()})


def weighted_distance(parameters: Parameters, anchor: Parameters, weights: Parameters) -> Tensor:
    """``1/2 sum_i w_i (theta_i - anchor_i)^2``, scalar."""
    terms = [(weights[n] * (parameters[n] - anchor[n]).square()).sum() for n in anchor]
    return torch.stack(terms).sum() / 2 if terms else torch.zeros(())


def diagonal_fisher(
    logits: Callable[[Parameters, Tensor], Tensor], parameters: Parameters, features: Tensor
) -> dict[str, Tensor]:
    """Diagonal of the Fisher information: mean over scans of ``sum_k p_k (d log p_k / d theta_i)^2``.

    The expectation is over the model's own readings, which is the Fisher information proper, and not over
    the labels given (the "empirical" one, which vanishes where the support is fitted; Kunstner, Balles and
    Hennig, NeurIPS 2019).

    Args:
        logits: of parameters and features, ``(n, way)``.
        parameters: leaves that require gradients.
        features: ``(n, ...)``.
    """
    names = list(parameters)
    total = {n: torch.zeros_like(p) for n, p in parameters.items()}
    for row in range(len(features)):
        log_p = logits(parameters, features[row : row + 1]).log_softmax(1)[0]
        for k in range(len(log_p)):
            weight = float(log_p[k].detach().exp())
            found = torch.autograd.grad(log_p[k], [parameters[n] for n in names], retain_graph=True)
            for name, gradient in zip(names, found, strict=True):
                total[name] += weight * gradient.square()
    return {n: value / len(features) for n, value in total.items()}


def distillation(new: Tensor, old: Tensor, temperature: float) -> Tensor:
    """Mean over rows of ``-sum_k softmax(old / T)_k log softmax(new / T)_k``.

    Args:
        new, old: logits ``(n, way)``.
        temperature: T, 2 in the paper.
    """
    target = (old.detach() / temperature).softmax(1)
    return -(target * (new / temperature).log_softmax(1)).sum(1).mean()


def balanced_cross_entropy(logits: Tensor, labels: Tensor, way: int) -> Tensor:
    """Cross-entropy with every class counting the same."""
    return F.cross_entropy(logits, labels, weight=1 / torch.bincount(labels, minlength=way).float())
