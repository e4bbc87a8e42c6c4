"""SimpleShot: the nearest class mean of centred embeddings of unit length.

Wang, Chao, Weinberger and van der Maaten, "SimpleShot: Revisiting Nearest-Neighbor Classification for
Few-Shot Learning", 2019 (the transformation CL2N).

    z_i = (f(x_i) - m) / |f(x_i) - m|             centre, then bring to unit length
    c_k = mean of z_i over support scans of class k
    p(y = k | x) = softmax_k(-s |z(x) - c_k|^2)

The paper takes the class k of the nearest c_k and gives no probabilities; s was chosen on meta-validation
conditions for its probabilities, and does not change which class is nearest.

m is the paper's mean embedding of the training ("base") classes. It is followed during meta-training and
kept in the weights. Weights of another method hold an encoder but no such mean; there, or if `centre` asks
for it, m is the mean of the support's class means, so that a large class pulls it no more than a small one.
With two classes of one scan each, that m lies half-way between the scans and both centres lie opposite each
other: nearness then is judged along the line through them alone.

The encoder is meta-trained by plain classification, as in the paper; see
`workbench.learners.supervised`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.data.pool import LabelledBatch, MetaBatch
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Loss, Optimisation, full_precision
from workbench.learners.options import options
from workbench.learners.prototypical import prototypes, squared_distances
from workbench.learners.supervised import SupervisedLearner, SupervisedOptions

_MEMORY = 100
"""Batches over which the mean of meta-training embeddings is taken: the encoder moves, so old ones fade."""


@options
class SimpleShotOptions(SupervisedOptions):
    """Settings of `SimpleShot`.

    Attributes:
        centre: ``base`` for the mean of meta-training (of the support where the weights hold none),
            ``support`` for that of the support, ``none`` for no centring (the paper's L2N).
        scale: s above.
        contrast, temperature, classes: of meta-training; see `SupervisedOptions`.
    """

    centre: Literal["base", "support", "none"] = "base"
    scale: float = Field(default=1.0, gt=0)


class SimpleShotHead(Head):
    """Centres of transformed embeddings.

    Args:
        mean: m, ``(d,)``.
        centres: c_k, ``(way, d)``.
        scale: s, ``()``.
    """

    def __init__(self, mean: Tensor, centres: Tensor, scale: Tensor) -> None:
        self.mean, self.centres, self.scale = mean, centres, scale

    def logits(self, features: Tensor) -> Tensor:
        """``-s |z - c_k|^2``."""
        return -self.scale * squared_distances(cl2n(features, self.mean), self.centres)

    def tensors(self) -> dict[str, Tensor]:
        """Mean, centres and scale."""
        return {"mean": self.mean, "centres": self.centres, "scale": self.scale}


def cl2n(embeddings: Tensor, mean: Tensor) -> Tensor:
    """Embeddings ``(n, d)``, centred on ``(d,)`` and then of length 1."""
    return F.normalize(embeddings - mean, dim=1)


class SimpleShot(SupervisedLearner):
    """See the module's description."""

    name: ClassVar[str] = "simpleshot"
    citation: ClassVar[str] = "Wang et al. 2019 (CL2N)"
    options_type: ClassVar[type] = SimpleShotOptions
    base_mean: Tensor
    base_batches: Tensor

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: SimpleShotOptions | None = None,
    ) -> None:
        chosen = options or SimpleShotOptions()
        super().__init__(backbone, recipe, optimisation, chosen)
        self.options = chosen
        self.register_buffer("base_mean", torch.zeros(self.backbone.dim))
        self.register_buffer("base_batches", torch.zeros((), dtype=torch.int64))

    @property
    def settings(self) -> SimpleShotOptions:
        """See `Learner.settings`."""
        return self.options

    def fit(self, features: Tensor, labels: Tensor, way: int) -> SimpleShotHead:
        """Centres of the support; see `Learner.fit`."""
        values = features.detach()
        mean = self._mean(values, labels, way)
        centres = prototypes(cl2n(values, mean), labels, way)
        return SimpleShotHead(mean, centres, torch.tensor(self.options.scale))

    def _mean(self, embeddings: Tensor, labels: Tensor, way: int) -> Tensor:
        if self.options.centre == "none":
            return torch.zeros_like(embeddings[0])
        if self.options.centre == "base" and self.base_batches > 0:
            return self.base_mean.clone()
        return prototypes(embeddings, labels, way).mean(0)

    def restore(self, tensors: Mapping[str, Tensor]) -> SimpleShotHead:
        """See `Learner.restore`."""
        return SimpleShotHead(tensors["mean"], tensors["centres"], tensors["scale"])

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Supervised; see `SupervisedLearner`. The mean of the embeddings is noted on the way."""
        assert isinstance(batch, LabelledBatch)
        embeddings = full_precision(self.embed(batch.images))
        self._follow(embeddings.detach().mean(0))
        return self.supervised_loss(embeddings, batch)

    def _follow(self, mean: Tensor) -> None:
        """The mean of all batches at first, then one in which old batches fade."""
        self.base_batches += 1
        share = max(1.0 / int(self.base_batches), 1.0 / _MEMORY)
        self.base_mean.lerp_(mean, share)
