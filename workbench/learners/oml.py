"""OML: online-aware meta-learning.

Javed and White, "Meta-Learning Representations for Continual Learning", NeurIPS 2019. A representation theta
is meta-learned so that an output layer W learns from a stream, one scan at a time and one class after the
other, with little interference. The inner loop (algorithm 1, lines 5 to 9) takes one step for each scan,

``W_{i+1} = W_i - alpha (softmax(W_i z_i) - e_{y_i}) z_i^T``,  ``z_i`` = unit-length embedding, a constant,

the gradient of the cross-entropy in closed form. The outer loss (line 10) is that of W after the last scan,
on the stream's scans and on others of its classes; its gradient reaches theta and the start of W.

The paper's representation is a convolutional network, here whatever the backbone trains: of a backbone with
a neck the neck, so that meta-training works on cached embeddings. Rows of W start from one learned vector, so
that classes can be added at any time (see `OML.extend`). Alpha is one number, as in the paper, or learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.data.pool import LabelledBatch, MetaBatch
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Learner, Loss, Optimisation, full_precision
from workbench.learners.options import options


@options
class OMLOptions:
    """Settings of `OML`.

    Attributes:
        learning_rate: alpha.
        learn_rate: whether meta-training changes it; it then suits the meta-training conditions, which the
            encoder tells apart with ease, and is too large for new ones (docs/continual.md).
        passes: how often the stream is gone through when adapting; 1 in the paper.
    """

    learning_rate: float = Field(default=0.1, gt=0)
    learn_rate: bool = False
    passes: int = Field(default=1, ge=1)


def inputs(embeddings: Tensor) -> Tensor:
    """Unit-length embeddings ``(n, d)`` with a constant that carries the bias, ``(n, d + 1)``."""
    unit = F.normalize(embeddings, dim=1)
    return torch.cat([unit, unit.new_ones(len(unit), 1)], dim=1)


def learn_online(weight: Tensor, z: Tensor, labels: Tensor, rate: Tensor) -> Tensor:
    """One step for each scan, in the order given; differentiable.

    Args:
        weight: ``(way, d)`` at the start.
        z: ``(n, d)``.
        labels: int64 ``(n,)`` in ``[0, way)``.
        rate: alpha, scalar.

    Returns:
        ``(way, d)`` after the last.
    """
    targets = F.one_hot(labels, len(weight)).to(weight.dtype)
    for row, target in zip(z, targets, strict=True):
        weight = weight - rate * torch.outer((weight @ row).softmax(0) - target, row)
    return weight


def stream_order(labels: Tensor) -> Tensor:
    """Rows of one class after the other, as the stream brings them."""
    return torch.argsort(labels, stable=True)


class OMLHead(Head):
    """The output layer ``(way, d + 1)`` after the stream."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def logits(self, features: Tensor) -> Tensor:
        """``W z``."""
        return F.linear(inputs(features), self.weight)

    def tensors(self) -> dict[str, Tensor]:
        """The layer."""
        return {"weight": self.weight.detach()}


class OML(Learner):
    """See the module's description."""

    name: ClassVar[str] = "oml"
    citation: ClassVar[str] = "Javed and White 2019, algorithm 1"
    options_type: ClassVar[type] = OMLOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: OMLOptions | None = None,
    ) -> None:
        super().__init__(backbone, recipe, optimisation or Optimisation())
        self.options = options or OMLOptions()
        self.row = torch.nn.Parameter(torch.zeros(1, self.backbone.dim + 1))
        log_rate = torch.tensor(self.options.learning_rate).log()
        self.log_rate = torch.nn.Parameter(log_rate, requires_grad=self.options.learn_rate)

    @property
    def settings(self) -> OMLOptions:
        """See `Learner.settings`."""
        return self.options

    def start(self, way: int) -> Tensor:
        """W before the stream."""
        return self.row.expand(way, -1)

    def fit(self, features: Tensor, labels: Tensor, way: int) -> OMLHead:
        """Go through the support once as a stream, class after class; see `Learner.fit`."""
        return self.extend(None, features, labels, way)

    def extend(self, head: OMLHead | None, features: Tensor, labels: Tensor, way: int) -> OMLHead:
        """Go on with a stream of further classes.

        Args:
            head: after the stream so far; None at its beginning.
            features: of the new scans, ``(n, d)``.
            labels: int64 ``(n,)``, indices into all classes so far and the new ones.
            way: number of all of them.
        """
        known = self.start(0) if head is None else head.weight
        weight = torch.cat([known, self.start(way - len(known))])
        order = stream_order(labels).repeat(self.options.passes)
        return OMLHead(learn_online(weight, inputs(features)[order], labels[order], self.log_rate.exp()))

    def restore(self, tensors: Mapping[str, Tensor]) -> OMLHead:
        """See `Learner.restore`."""
        return OMLHead(tensors["weight"])

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Mean over episodes of the cross-entropy of stream and query after the stream."""
        assert isinstance(batch, MetaBatch)
        embedded = batch.with_images(full_precision(self.embed(batch.images)))
        losses, hits = [], []
        for task in embedded.tasks():
            head = self.fit(task.support, task.support_labels, task.way)
            logits = head.logits(torch.cat([task.query, task.support]))
            losses.append(F.cross_entropy(logits, torch.cat([task.query_labels, task.support_labels])))
            right = logits[: len(task.query)].argmax(1) == task.query_labels
            hits.append(right.float().mean())
        return Loss(torch.stack(losses).mean(), torch.stack(hits).mean())
