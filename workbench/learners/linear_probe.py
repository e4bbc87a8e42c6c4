"""Linear probe: logistic regression on a frozen encoder.

The baseline that often wins: Chen et al., "A Closer Look at Few-shot Classification", ICLR 2019
(Baseline); Tian et al., "Rethinking Few-Shot Image Classification: a Good Embedding Is All You Need?",
ECCV 2020.

Adaptation minimises ``C sum_i w_i CE(W z_i + b, y_i) + |W|^2 / 2`` over standardised embeddings z, with
classes weighted to count the same. Meta-training is supervised: one softmax over all classes of all
conditions of the meta-training split, thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.data.pool import LabelledBatch, MetaBatch
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Diet, Head, Learner, Loss, Optimisation, full_precision
from workbench.learners.options import options


@options
class LinearProbeOptions:
    """Settings of `LinearProbe`.

    Attributes:
        strength: C above, the inverse of the regularisation.
        label_smoothing: in meta-training.
        classes: number of classes of the meta-training softmax; 0 outside meta-training.
    """

    strength: float = Field(default=1.0, gt=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    classes: int = Field(default=0, ge=0)


class LinearHead(Head):
    """``W (z - mean) / spread + b``.

    Args:
        weight: ``(way, d)``.
        bias: ``(way,)``.
        mean, spread: of the support's embeddings, ``(d,)``.
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


class LinearProbe(Learner):
    """See the module's description."""

    name: ClassVar[str] = "linear-probe"
    citation: ClassVar[str] = "Chen et al. 2019 (Baseline); Tian et al. 2020"
    options_type: ClassVar[type] = LinearProbeOptions
    diet: ClassVar[Diet] = Diet.LABELLED

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: LinearProbeOptions | None = None,
    ) -> None:
        super().__init__(backbone, recipe, optimisation or Optimisation())
        self.options = options or LinearProbeOptions()
        self.training_head = (
            nn.Linear(self.backbone.dim, self.options.classes) if self.options.classes else None
        )

    @property
    def settings(self) -> LinearProbeOptions:
        """See `Learner.settings`."""
        return self.options

    def fit(self, features: Tensor, labels: Tensor, way: int) -> LinearHead:
        """Logistic regression on the support; see `Learner.fit`."""
        values = features.detach()
        mean, spread = values.mean(0), values.std(0, correction=0)
        # A dimension that is constant over the support says nothing; 1 keeps it from being blown up.
        spread = torch.where(spread > 1e-6, spread, torch.ones_like(spread))
        z = (values - mean) / spread / values.shape[1] ** 0.5
        weight, bias = logistic_regression(z, labels, way, self.options.strength)
        return LinearHead(weight / values.shape[1] ** 0.5, bias, mean, spread)

    def restore(self, tensors: Mapping[str, Tensor]) -> LinearHead:
        """See `Learner.restore`."""
        return LinearHead(tensors["weight"], tensors["bias"], tensors["mean"], tensors["spread"])

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Cross-entropy over all meta-training classes."""
        assert isinstance(batch, LabelledBatch)
        assert self.training_head is not None
        logits = full_precision(self.training_head(self.embed(batch.images)))
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.options.label_smoothing)
        return Loss(loss, (logits.argmax(1) == batch.labels).float().mean())
