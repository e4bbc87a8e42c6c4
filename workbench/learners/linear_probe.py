"""Linear probe: logistic regression on a frozen encoder.

The baseline that often wins: Chen et al., "A Closer Look at Few-shot Classification", ICLR 2019
(Baseline); Tian et al., "Rethinking Few-Shot Image Classification: a Good Embedding Is All You Need?",
ECCV 2020.

Adaptation minimises ``C sum_i w_i CE(W z_i + b, y_i) + |W|^2 / 2`` over centred embeddings z of unit
mean squared length, with classes weighted to count the same.

Meta-training is supervised, over all conditions at once. Each image is classified among the classes of its
own condition (telling conditions apart is easy and teaches little); a condition of k classes is divided by
log k, so that two classes weigh as much as nine hundred. Where the backbone is read at several depths,
each depth has its own softmax (deep supervision: Lee et al. 2015). To this is added instance
discrimination, which needs no labels (NT-Xent, Chen et al. 2020, "SimCLR", equation 1): two views of an
image must find each other among the images of the same condition. The softmax and projection layers are
thrown away afterwards.
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
        contrast: weight of instance discrimination in meta-training; 0 for none.
        temperature: of instance discrimination.
        classes: number of classes of the meta-training softmax; 0 outside meta-training.
    """

    strength: float = Field(default=10.0, gt=0)
    contrast: float = Field(default=0.5, ge=0)
    temperature: float = Field(default=0.2, gt=0)
    classes: int = Field(default=0, ge=0)


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


class TrainingHead(nn.Module):
    """Layers that meta-training needs and adaptation does not.

    Args:
        dims: lengths of the parts that are taught.
        classes: of all conditions together.
        projection: length of the vectors compared by instance discrimination.
    """

    def __init__(self, dims: tuple[int, ...], classes: int, projection: int = 128) -> None:
        super().__init__()
        self.softmax = nn.ModuleList(nn.Linear(d, classes) for d in dims)
        self.project = nn.Sequential(
            nn.Linear(dims[-1], 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, projection)
        )


def within_condition(logits: Tensor, batch: LabelledBatch) -> Tensor:
    """Logits ``(n, classes)`` with the classes of other conditions ruled out."""
    index = torch.arange(logits.shape[1], device=logits.device)
    outside = (index < batch.first[:, None]) | (index >= batch.last[:, None])
    return logits.masked_fill(outside, -1e4)


def instance_discrimination(vectors: Tensor, batch: LabelledBatch, temperature: float) -> Tensor:
    """NT-Xent over two views, among images of the same condition.

    Args:
        vectors: ``(2 n, d)``; rows i and n + i are views of one image.
        batch: tells which condition each row is of.
        temperature: of the softmax.
    """
    z = F.normalize(vectors, dim=1)
    rows = len(z)
    similarity = z @ z.T / temperature
    same = batch.first[:, None] == batch.first[None]
    allowed = same & ~torch.eye(rows, dtype=torch.bool, device=z.device)
    partner = torch.arange(rows, device=z.device).roll(rows // 2)
    return F.cross_entropy(similarity.masked_fill(~allowed, -1e4), partner)


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
        self.views = 2 if self.options.contrast else 1
        self.training_head = (
            TrainingHead(self.backbone.taught_dims, self.options.classes) if self.options.classes else None
        )

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

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Classification within each condition, and instance discrimination."""
        assert isinstance(batch, LabelledBatch)
        head = self.training_head
        assert isinstance(head, TrainingHead)
        parts = self.backbone.taught(full_precision(self.embed(batch.images)))
        loss = torch.zeros(())
        weight = 2.0 / (batch.last - batch.first).float().log()
        for number, (part, layer) in enumerate(zip(parts, head.softmax, strict=True)):
            logits = within_condition(full_precision(layer(part)), batch)
            each = F.cross_entropy(logits, batch.labels, reduction="none")
            share = 1.0 if number == len(parts) - 1 else 0.3
            loss = loss + share * (each * weight).mean()
        if self.options.contrast:
            vectors = full_precision(head.project(parts[-1]))
            loss = loss + self.options.contrast * instance_discrimination(
                vectors, batch, self.options.temperature
            )
        return Loss(loss, (logits.argmax(1) == batch.labels).float().mean())
