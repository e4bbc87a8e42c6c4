"""Linear probe: logistic regression on a frozen encoder.

The baseline that often wins: Chen et al., "A Closer Look at Few-shot Classification", ICLR 2019
(Baseline); Tian et al., "Rethinking Few-Shot Image Classification: a Good Embedding Is All You Need?",
ECCV 2020.

Adaptation minimises ``C sum_i w_i CE(W z_i + b, y_i) + |W|^2 / 2`` over centred embeddings z of unit
mean squared length, with classes weighted to count the same.

Meta-training is supervised, over all conditions at once; see `workbench.learners.supervised`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Optimisation
from workbench.learners.options import options
from workbench.learners.supervised import SupervisedLearner, SupervisedOptions


@options
class LinearProbeOptions(SupervisedOptions):
    """Settings of `LinearProbe`.

    Attributes:
        strength: C above, the inverse of the regularisation.
        contrast, temperature, classes: of meta-training; see `SupervisedOptions`.
    """

    strength: float = Field(default=10.0, gt=0)


class LinearHead(Head):
    """``W (z - mean) / spread + b``.

    Args:
        weight: ``(way, d)``.
        bias: ``(way,)``.
        mean: of the support's embeddings, ``(d,)``.
        spread: root of their mean squared distance from it, ``()``.
    """

    def __init__(self, weight: Tensor, bias: Tensor, mean: Tensor, spread: Tensor) -> None:
        self.weight, self.bias, self.mean, self.spread = weight, bias, mean, spread

    def logits(self, features: Tensor) -> Tensor:
        """Linear scores."""
        return F.linear((features - self.mean) / self.spread, self.weight, self.bias)

    def tensors(self) -> dict[str, Tensor]:
        """Weights and the standardisation."""
        return {"weight": self.weight, "bias": self.bias, "mean": self.mean, "spread": self.spread}


def logistic_regression(z: Tensor, labels: Tensor, way: int, strength: float) -> tuple[Tensor, Tensor]:
    """Weights ``(way, d)`` and bias ``(way,)`` of L2-regularised multinomial logistic regression.

    The optimum lies in the span of the n support embeddings, so it is found there: with the thin
    decomposition ``z = c q`` (q orthonormal) the penalty ``|W|`` is unchanged and the problem has n
    unknowns per class instead of d.
    """
    q, r = torch.linalg.qr(z.double().T)  # z.T = q r, so z = r.T q.T
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=500, tol=1e-5)
    model.fit(r.T.numpy(), labels.numpy())
    coefficients, intercept = model.coef_, model.intercept_
    if way == 2:
        # scikit-learn keeps one row for two classes: its sigmoid is the softmax of plus and minus half.
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    weight = torch.from_numpy(coefficients) @ q.T
    return weight.float(), torch.from_numpy(intercept).float()


class LinearProbe(SupervisedLearner):
    """See the module's description."""

    name: ClassVar[str] = "linear-probe"
    citation: ClassVar[str] = "Chen et al. 2019 (Baseline); Tian et al. 2020"
    options_type: ClassVar[type] = LinearProbeOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: LinearProbeOptions | None = None,
    ) -> None:
        chosen = options or LinearProbeOptions()
        super().__init__(backbone, recipe, optimisation, chosen)
        self.options = chosen

    @property
    def settings(self) -> LinearProbeOptions:
        """See `Learner.settings`."""
        return self.options

    def fit(self, features: Tensor, labels: Tensor, way: int) -> LinearHead:
        """Logistic regression on the support; see `Learner.fit`."""
        values = features.detach()
        mean = values.mean(0)
        # One scale for all dimensions: the same strength fits any backbone, and what a backbone weighs
        # more stays so. (Standardising each dimension by a handful of scans adds their noise.)
        spread = (values - mean).square().sum(1).mean().sqrt().clamp_min(1e-6)
        z = (values - mean) / spread
        weight, bias = logistic_regression(z, labels, way, self.options.strength)
        return LinearHead(weight, bias, mean, spread)

    def restore(self, tensors: Mapping[str, Tensor]) -> LinearHead:
        """See `Learner.restore`."""
        return LinearHead(tensors["weight"], tensors["bias"], tensors["mean"], tensors["spread"])
