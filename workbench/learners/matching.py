"""Matching networks: attention over the labelled scans.

Vinyals, Blundell, Lillicrap, Kavukcuoglu and Wierstra, "Matching Networks for One Shot Learning", NeurIPS
2016.

Equation 1:     p(y | x, S) = sum_i a(x, x_i) y_i                    y_i one-hot
Section 2.1.1:  a(x, x_i) = softmax_i(s cos(f(x, S), g(x_i, S)))     over the whole support

The scale s is 1 in the paper, which bounds the odds of two scans by e^2; here it starts at `scale` and is
meta-trained. By equation 1 a class with more scans draws more attention; `balanced` divides each class's
share by its number of scans and normalises again, so that classes count the same. With equal numbers this
changes nothing.

Without full context embeddings f(x, S) and g(x, S) are the encoder's embedding of x. With them
(`full_context`; section 2.1.2 and the appendix), from f' = g' = the embedding brought to `width` numbers by
a learned matrix without bias (the LSTMs of the paper are as wide as its embedding of 64; one of 1300 would
have 27 million weights):

    g(x_i, S) = forward_i + backward_i + g'(x_i)             states of a bidirectional LSTM over the support
    h^_k, c_k = LSTM(f'(x), [h_{k-1}, r_{k-1}], c_{k-1})     K processing steps, h_0 = c_0 = 0
    h_k       = h^_k + f'(x)
    r_k       = sum_i softmax_i(h_k . g(x_i, S)) g(x_i, S)       r_0: the mean of g
    f(x, S)   = h_K

The LSTM over the support needs an order, which the paper leaves open. Here scans follow one another from
the one most like the mean of the support (by cosine) to the one least like it: a reading depends neither on
the order in which scans were given nor on how classes are numbered. f(x, S) is made for each query alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.data.pool import LabelledBatch, MetaBatch
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Learner, Loss, Optimisation, full_precision
from workbench.learners.options import options

_LENGTH = 10.0
"""Squared length of f' and g' at first: the softmax of processing steps starts as sharp as with s = 10."""


@options
class MatchingOptions:
    """Settings of `Matching`.

    Attributes:
        scale: s above, at the start of meta-training.
        learn_scale: whether meta-training changes it.
        balanced: whether classes count the same whatever their numbers of scans.
        full_context: whether f and g look at the whole support.
        processing_steps: K above.
        width: most numbers of f' and g'; unused without `full_context`.
    """

    scale: float = Field(default=10.0, gt=0)
    learn_scale: bool = True
    balanced: bool = True
    full_context: bool = False
    processing_steps: int = Field(default=5, ge=1)
    width: int = Field(default=128, ge=1)


def class_log_probabilities(similarity: Tensor, labels: Tensor, way: int, balanced: bool) -> Tensor:
    """Logarithm of equation 1, ``(n, way)``.

    Args:
        similarity: what attention is the softmax of, ``(n, support)``.
        labels: int64 ``(support,)``; every class occurs.
        way: number of classes.
        balanced: see `MatchingOptions`.
    """
    attention = F.log_softmax(similarity, dim=1)
    shares = torch.stack([attention[:, labels == k].logsumexp(1) for k in range(way)], dim=1)
    if not balanced:
        return shares
    return F.log_softmax(shares - torch.bincount(labels, minlength=way).log(), dim=1)


class FullContext(nn.Module):
    """f(x, S) and g(x, S) of the module's description.

    Args:
        dim: length of embeddings.
        width: of f' and g', at most.
        steps: K.
    """

    def __init__(self, dim: int, width: int, steps: int) -> None:
        super().__init__()
        size = min(dim, width)
        self.steps = steps
        self.project = nn.Linear(dim, size, bias=False)
        # Nearly keeps angles, and gives f' the length said above.
        nn.init.orthogonal_(self.project.weight, gain=(_LENGTH * dim / size) ** 0.5)
        self.over_support = nn.LSTM(size, size, bidirectional=True)
        # [h, r] enters the LSTM's gates through two blocks of one matrix; r's block is kept with the input's.
        self.process = nn.LSTMCell(2 * size, size)

    def simple(self, embeddings: Tensor) -> Tensor:
        """f' = g', ``(n, size)``."""
        projected: Tensor = self.project(F.normalize(embeddings, dim=1))
        return projected

    def support(self, embeddings: Tensor) -> Tensor:
        """g of the support ``(n, dim)``, ``(n, size)`` in the order given."""
        simple = self.simple(embeddings)
        order = canonical_order(embeddings)
        states, _ = self.over_support(simple[order])
        forward, backward = states.chunk(2, dim=1)
        place = torch.argsort(order)
        context: Tensor = simple + (forward + backward)[place]
        return context

    def query(self, embeddings: Tensor, context: Tensor) -> Tensor:
        """f of queries ``(n, dim)``, each alone, given g of the support: ``(n, size)``."""
        simple = self.simple(embeddings)
        hidden, cell = torch.zeros_like(simple), torch.zeros_like(simple)
        for _ in range(self.steps):
            read = F.softmax(hidden @ context.T, dim=1) @ context
            hidden, cell = self.process(torch.cat([simple, read], dim=1), (hidden, cell))
            hidden = hidden + simple
        return hidden


def canonical_order(embeddings: Tensor) -> Tensor:
    """Rows of ``(n, d)`` from the most to the least like their mean, by cosine; int64 ``(n,)``."""
    directions = F.normalize(embeddings.detach().double(), dim=1)
    likeness = F.cosine_similarity(directions, directions.mean(0, keepdim=True))
    return torch.argsort(likeness, descending=True, stable=True)


class MatchingHead(Head):
    """The embedded support.

    Args:
        keys: g of the support, ``(n, d)``.
        labels: int64 ``(n,)``.
        scale: s, ``()``.
        context: makes f; None for the embedding itself.
        balanced: see `MatchingOptions`.
    """

    def __init__(
        self, keys: Tensor, labels: Tensor, scale: Tensor, context: FullContext | None, balanced: bool
    ) -> None:
        self.keys, self.labels, self.scale = keys, labels, scale
        self.context, self.balanced = context, balanced
        self.way = int(labels.max()) + 1

    def logits(self, features: Tensor) -> Tensor:
        """Log-probabilities (equation 1)."""
        queries = features if self.context is None else self.context.query(features, self.keys)
        cosines = F.normalize(queries, dim=1) @ F.normalize(self.keys, dim=1).T
        return class_log_probabilities(self.scale * cosines, self.labels, self.way, self.balanced)

    def tensors(self) -> dict[str, Tensor]:
        """Support and scale; what makes f belongs to the learner."""
        return {"keys": self.keys.detach(), "labels": self.labels, "scale": self.scale.detach()}


class Matching(Learner):
    """See the module's description."""

    name: ClassVar[str] = "matching"
    citation: ClassVar[str] = "Vinyals et al. 2016, equation 1 and section 2.1"
    options_type: ClassVar[type] = MatchingOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: MatchingOptions | None = None,
    ) -> None:
        super().__init__(backbone, recipe, optimisation or Optimisation())
        self.options = chosen = options or MatchingOptions()
        log_scale = torch.tensor(chosen.scale).log()
        self.log_scale = nn.Parameter(log_scale, requires_grad=chosen.learn_scale)
        self.context = (
            FullContext(self.backbone.dim, chosen.width, chosen.processing_steps)
            if chosen.full_context
            else None
        )

    @property
    def settings(self) -> MatchingOptions:
        """See `Learner.settings`."""
        return self.options

    def fit(self, features: Tensor, labels: Tensor, way: int) -> MatchingHead:
        """g of the support; see `Learner.fit`."""
        keys = features if self.context is None else self.context.support(features)
        return self._head(keys, labels, self.log_scale.exp())

    def restore(self, tensors: Mapping[str, Tensor]) -> MatchingHead:
        """See `Learner.restore`."""
        return self._head(tensors["keys"], tensors["labels"], tensors["scale"])

    def _head(self, keys: Tensor, labels: Tensor, scale: Tensor) -> MatchingHead:
        return MatchingHead(keys, labels, scale, self.context, self.options.balanced)

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Mean negative log-probability of the queries (section 2.2), all episodes embedded at once."""
        assert isinstance(batch, MetaBatch)
        losses, hits = [], []
        for task in batch.with_images(full_precision(self.embed(batch.images))).tasks():
            logits = self.fit(task.support, task.support_labels, task.way).logits(task.query)
            losses.append(F.nll_loss(F.log_softmax(logits, dim=1), task.query_labels))
            hits.append((logits.argmax(1) == task.query_labels).float().mean())
        return Loss(torch.stack(losses).mean(), torch.stack(hits).mean())
