"""Siamese networks: learn to tell whether two scans are of one class.

Koch, Zemel and Salakhutdinov, "Siamese Neural Networks for One-shot Image Recognition", ICML Deep Learning
Workshop 2015, sections 3.1 and 3.2.

    v(x, x_i) = bias + sum_j alpha_j |h_j(x) - h_j(x_i)|         p(same class) = sigmoid(v)
    L         = -y log p - (1 - y) log(1 - p)                    y = 1 for a pair of one class

The weights alpha are meta-trained; a negative one says that to differ there speaks against one class. (The
paper writes no bias; without one p could not exceed a half where alpha is negative.) The paper's L2 penalty
is left to the optimiser's weight decay, which spares alpha, a, c and the biases.

h: the embedding z is brought to the length sqrt(d), so that its numbers are about 1 whatever the backbone;
then ``h = sigmoid(a * z + c)``, with learned a and c for each number. With `units` a fully connected layer
stands in their place, as in the paper (4096 units): ``h = sigmoid(W z + c)``. It starts at random, so it
needs meta-training, while numbers of a good embedding can be compared as they are.

alpha and bias are stored over 40 / units and 40, with alpha starting at -1 and bias at 0.2 in these
measures: the sum then starts at a mean with a useful spread, and steps of the same rate suit any number of
units.

Pairs are all pairs of different scans of an episode. There are more pairs of two classes than of one; each
kind makes up half of the loss.

A new scan is given to the class of the support scan it most probably shares a class with (section 4.3).
That is for one scan per class; with several, the class's score is the mean of v over its scans, or with
``pool: max`` the best, as in the paper (larger classes then have more tries). These scores are verification
logits: the reading's probabilities are their softmax over classes, which the paper does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.data.pool import LabelledBatch, MetaBatch
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Learner, Loss, Optimisation, full_precision
from workbench.learners.options import options

_SHARPNESS = 40.0


@options
class SiameseOptions:
    """Settings of `Siamese`.

    Attributes:
        units: of the fully connected layer before the sigmoid; 0 for none.
        pool: how scores of a class's several scans become one.
    """

    units: int = Field(default=0, ge=0)
    pool: Literal["mean", "max"] = "mean"


class Stretch(nn.Module):
    """``a * z + c`` with a and c ``(dim,)``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, z: Tensor) -> Tensor:
        """``(n, dim)`` of ``(n, dim)``."""
        return self.weight * z + self.bias


class Verifier(nn.Module):
    """h and v of the module's description.

    Args:
        dim: length of embeddings.
        units: see `SiameseOptions`.
    """

    def __init__(self, dim: int, units: int) -> None:
        super().__init__()
        self.layer: nn.Module = nn.Linear(dim, units) if units else Stretch(dim)
        if isinstance(self.layer, nn.Linear):
            nn.init.normal_(self.layer.weight, std=dim**-0.5)
            nn.init.zeros_(self.layer.bias)
        self.relative_alpha = nn.Parameter(torch.full((units or dim,), -1.0))
        self.relative_bias = nn.Parameter(torch.tensor(0.2))

    @property
    def alpha(self) -> Tensor:
        """``(units,)``."""
        return self.relative_alpha * (_SHARPNESS / len(self.relative_alpha))

    @property
    def bias(self) -> Tensor:
        """``()``."""
        return self.relative_bias * _SHARPNESS

    def describe(self, embeddings: Tensor) -> Tensor:
        """h of ``(n, dim)``: ``(n, units)`` in (0, 1)."""
        z = F.normalize(embeddings, dim=1) * embeddings.shape[1] ** 0.5
        return torch.sigmoid(self.layer(z))

    def verify(self, left: Tensor, right: Tensor) -> Tensor:
        """v of every pair of ``(n, units)`` and ``(m, units)``: ``(n, m)``."""
        # |alpha_j| moves into the difference, so that no (n, m, units) tensor is made.
        against, favour = F.relu(-self.alpha), F.relu(self.alpha)
        unlike = torch.cdist(left * against, right * against, p=1)
        return self.bias + torch.cdist(left * favour, right * favour, p=1) - unlike


def pair_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of verification; pairs of one class and pairs of two make up half of it each.

    Args:
        logits: v of all pairs, symmetric, ``(n, n)``.
        labels: int64 ``(n,)``; at least two classes, and one with two scans.
    """
    rows, columns = torch.triu_indices(len(labels), len(labels), offset=1)
    v, same = logits[rows, columns], labels[rows] == labels[columns]
    return (F.softplus(-v[same]).mean() + F.softplus(v[~same]).mean()) / 2


class SiameseHead(Head):
    """The described support.

    Args:
        verifier: of the learner.
        support: h of the support, ``(n, units)``.
        labels: int64 ``(n,)``.
        pool: see `SiameseOptions`.
    """

    def __init__(
        self, verifier: Verifier, support: Tensor, labels: Tensor, pool: Literal["mean", "max"]
    ) -> None:
        self.verifier, self.support, self.labels, self.pool = verifier, support, labels, pool
        self.way = int(labels.max()) + 1

    def logits(self, features: Tensor) -> Tensor:
        """Verification logits, pooled within each class."""
        return self.classes(self.verifier.verify(self.verifier.describe(features), self.support))

    def classes(self, pairs: Tensor) -> Tensor:
        """``(n, way)`` of v with each support scan ``(n, support)``."""
        each = [pairs[:, self.labels == k] for k in range(self.way)]
        return torch.stack([v.mean(1) if self.pool == "mean" else v.amax(1) for v in each], dim=1)

    def tensors(self) -> dict[str, Tensor]:
        """h and labels of the support; alpha belongs to the learner."""
        return {"support": self.support.detach(), "labels": self.labels}


class Siamese(Learner):
    """See the module's description."""

    name: ClassVar[str] = "siamese"
    citation: ClassVar[str] = "Koch et al. 2015, sections 3.1 and 3.2"
    options_type: ClassVar[type] = SiameseOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: SiameseOptions | None = None,
    ) -> None:
        super().__init__(backbone, recipe, optimisation or Optimisation())
        self.options = options or SiameseOptions()
        self.verifier = Verifier(self.backbone.dim, self.options.units)

    @property
    def settings(self) -> SiameseOptions:
        """See `Learner.settings`."""
        return self.options

    def fit(self, features: Tensor, labels: Tensor, way: int) -> SiameseHead:
        """h of the support; see `Learner.fit`."""
        return SiameseHead(self.verifier, self.verifier.describe(features), labels, self.options.pool)

    def restore(self, tensors: Mapping[str, Tensor]) -> SiameseHead:
        """See `Learner.restore`."""
        return SiameseHead(self.verifier, tensors["support"], tensors["labels"], self.options.pool)

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Verification of all pairs within each episode; the accuracy is that of classifying the queries."""
        assert isinstance(batch, MetaBatch)
        losses, hits = [], []
        for task in batch.with_images(full_precision(self.embed(batch.images))).tasks():
            scans = self.verifier.describe(torch.cat([task.support, task.query]))
            labels = torch.cat([task.support_labels, task.query_labels])
            pairs = self.verifier.verify(scans, scans)
            losses.append(pair_loss(pairs, labels))
            shots = len(task.support)
            head = SiameseHead(self.verifier, scans[:shots], task.support_labels, self.options.pool)
            found = head.classes(pairs[shots:, :shots].detach()).argmax(1)
            hits.append((found == task.query_labels).float().mean())
        return Loss(torch.stack(losses).mean(), torch.stack(hits).mean())
