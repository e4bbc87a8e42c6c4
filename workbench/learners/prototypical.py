"""Prototypical networks.

Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017.

Equation 1, the prototype of class k: ``c_k = mean of f(x_i) over support images of class k``.
Equation 2, the reading: ``p(y = k | x) = softmax_k(-s d(f(x), c_k))`` with d the squared Euclidean distance.

The scale s is 1 in the paper. Here it may be learned (after TADAM, Oreshkin et al. 2018, equation 2),
because embeddings of several hundred dimensions otherwise give probabilities of 0 and 1 only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.data.pool import LabelledBatch, MetaBatch, Task
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Learner, Loss, Optimisation, full_precision
from workbench.learners.options import options


@options
class PrototypicalOptions:
    """Settings of `Prototypical`.

    Attributes:
        normalise: bring embeddings to unit length first, so that distance is twice one minus the cosine.
        scale: s above, at the start of meta-training.
        learn_scale: whether meta-training changes it.
    """

    normalise: bool = False
    scale: float = 1.0
    learn_scale: bool = False


def prototypes(embeddings: Tensor, labels: Tensor, way: int) -> Tensor:
    """Class means (equation 1).

    Args:
        embeddings: ``(n, d)``.
        labels: int64 ``(n,)`` in ``[0, way)``.
        way: number of classes.

    Returns:
        ``(way, d)``; a class without embeddings has a zero prototype.
    """
    sums = embeddings.new_zeros(way, embeddings.shape[1]).index_add(0, labels, embeddings)
    counts = torch.bincount(labels, minlength=way).clamp_min(1).to(embeddings.dtype)
    return sums / counts[:, None]


def squared_distances(queries: Tensor, centres: Tensor) -> Tensor:
    """Squared Euclidean distances ``(n, k)`` between rows of ``(n, d)`` and ``(k, d)``."""
    cross = queries @ centres.T
    return queries.square().sum(1, keepdim=True) - 2 * cross + centres.square().sum(1)


def episodic_loss(embedded: MetaBatch, read: Callable[[Task], Tensor]) -> Loss:
    """Mean over episodes of the mean negative log-probability of the queries (algorithm 1).

    Args:
        embedded: episodes with embeddings ``(n, d)`` in place of images.
        read: the logits of an episode's queries.
    """
    losses, hits = [], []
    for task in embedded.tasks():
        logits = read(task)
        losses.append(F.cross_entropy(logits, task.query_labels))
        hits.append((logits.argmax(1) == task.query_labels).float().mean())
    return Loss(torch.stack(losses).mean(), torch.stack(hits).mean())


class PrototypeHead(Head):
    """Prototypes and the scale of the softmax.

    Args:
        centres: ``(way, d)``.
        scale: scalar, positive.
        normalise: see `PrototypicalOptions`.
    """

    def __init__(self, centres: Tensor, scale: Tensor, normalise: bool) -> None:
        self.centres = centres
        self.scale = scale
        self.normalise = normalise

    def logits(self, features: Tensor) -> Tensor:
        """Equation 2 before the softmax."""
        embeddings = F.normalize(features, dim=1) if self.normalise else features
        return -self.scale * squared_distances(embeddings, self.centres)

    def tensors(self) -> dict[str, Tensor]:
        """Prototypes and scale."""
        return {"centres": self.centres.detach(), "scale": self.scale.detach()}


class Prototypical(Learner):
    """See the module's description."""

    name: ClassVar[str] = "prototypical"
    citation: ClassVar[str] = "Snell et al. 2017, equations 1 and 2"
    options_type: ClassVar[type] = PrototypicalOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: PrototypicalOptions | None = None,
    ) -> None:
        super().__init__(backbone, recipe, optimisation or Optimisation())
        self.options = options or PrototypicalOptions()
        log_scale = torch.tensor(self.options.scale).log()
        self.log_scale = torch.nn.Parameter(log_scale, requires_grad=self.options.learn_scale)

    @property
    def settings(self) -> PrototypicalOptions:
        """See `Learner.settings`."""
        return self.options

    def fit(self, features: Tensor, labels: Tensor, way: int) -> PrototypeHead:
        """Prototypes of the support; see `Learner.fit`."""
        embeddings = F.normalize(features, dim=1) if self.options.normalise else features
        return PrototypeHead(
            prototypes(embeddings, labels, way), self.log_scale.exp(), self.options.normalise
        )

    def restore(self, tensors: Mapping[str, Tensor]) -> PrototypeHead:
        """See `Learner.restore`."""
        return PrototypeHead(tensors["centres"], tensors["scale"], self.options.normalise)

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Mean negative log-probability of the queries (algorithm 1), all episodes embedded at once."""
        assert isinstance(batch, MetaBatch)

        def read(task: Task) -> Tensor:
            return self.fit(task.support, task.support_labels, task.way).logits(task.query)

        return episodic_loss(batch.with_images(full_precision(self.embed(batch.images))), read)
