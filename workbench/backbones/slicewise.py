"""An encoder of images reads a volume slice by slice.

The embedding of the volume is the mean of its slices' embeddings, or a weighted mean whose weights are
learned from the embeddings: gated attention, Ilse, Tomczak and Welling, "Attention-based Deep Multiple
Instance Learning", ICML 2018, equations 7 and 9:

    z = sum_k a_k h_k        a_k = softmax_k( w^T (tanh(V h_k) * sigmoid(U h_k)) )

w starts at zero, so that before any training attention is the mean. The mean has nothing to learn: weights
that were trained on images read volumes as they are.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from workbench.backbones.spec import Backbone
from workbench.errors import PlanError

_UNITS = 64
POOLINGS = ("mean", "attention")


class Attention(nn.Module):
    """Weights of the slices; see the module's description.

    Args:
        dim: length of embeddings.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.value = nn.Linear(dim, _UNITS)
        self.gate = nn.Linear(dim, _UNITS)
        self.score = nn.Linear(_UNITS, 1, bias=False)
        nn.init.zeros_(self.score.weight)
        # Embeddings of unit length have numbers of about 1 / sqrt(dim); tanh should see them at about 1.
        self.stretch = dim**0.5

    def forward(self, embeddings: Tensor) -> Tensor:
        """``(n, slices, 1)``, adding up to 1 over the slices, from ``(n, slices, dim)``."""
        h = embeddings * self.stretch
        scores = self.score(torch.tanh(self.value(h)) * torch.sigmoid(self.gate(h)))
        weights: Tensor = torch.softmax(scores, dim=1)
        return weights


class Slicewise(Backbone):
    """See the module's description.

    Args:
        network: reads images.
        pooling: ``mean`` or ``attention``.

    Raises:
        PlanError: the network reads volumes itself, or there is no such pooling.
    """

    dims = 3

    def __init__(self, network: Backbone, pooling: str) -> None:
        super().__init__()
        if network.dims != 2:
            raise PlanError("backbone.slices is for encoders of images; this one reads volumes as they are.")
        if pooling not in POOLINGS:
            raise PlanError(f"backbone.slices must be one of {', '.join(POOLINGS)}, not {pooling!r}.")
        self.network = network
        self.attention = Attention(network.dim) if pooling == "attention" else None
        self.dim = network.dim
        self.parts, self.supervised, self.expects = network.parts, network.supervised, network.expects

    def forward(self, volumes: Tensor) -> Tensor:
        """Embeddings ``(n, dim)`` of ``(n, channels, slices, size, size)``."""
        count, channels, slices, rows, columns = volumes.shape
        # In the recipe's memory order the slices of a volume follow each other: this copies nothing.
        images = volumes.permute(0, 2, 1, 3, 4).reshape(count * slices, channels, rows, columns)
        embeddings = cast(Tensor, self.network(images)).reshape(count, slices, self.dim)
        if self.attention is None:
            return embeddings.mean(dim=1)
        weighted: Tensor = (self.attention(embeddings) * embeddings).sum(dim=1)
        return weighted
