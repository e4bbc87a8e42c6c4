"""A small trainable layer on a frozen network.

Meta-learning a whole network is costly, and of a network trained on many conditions most is worth keeping.
Here the network stays as it is and what is meta-learned (and adapted by the inner loop) is a residual layer
on its embeddings, after adapters (Rebuffi et al. 2017, "Learning multiple visual domains with residual
adapters") and LEO, which meta-learns on the embeddings of a frozen network (Rusu et al. 2019, section 4.2).
The frozen part is computed once for each image, so that thousands of episodes cost little more than matrix
products.
"""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones.spec import Backbone


class Necked(Backbone):
    """``z + W2 gelu(W1 z + b1) + b2`` of the embeddings z of a frozen network.

    W2 and b2 start at zero: before any training the embeddings are those of the network.

    Args:
        trunk: the network; its parameters take no part in training and its normalisers stay frozen.
        hidden: units of the layer.
    """

    def __init__(self, trunk: Backbone, hidden: int) -> None:
        super().__init__()
        self.trunk = trunk.requires_grad_(False)
        self.dim = trunk.dim
        self.expects = trunk.expects
        self.dims = trunk.dims
        self.inner = nn.Linear(self.dim, hidden)
        self.outer = nn.Linear(hidden, self.dim)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)
        # Embeddings of unit length have numbers of about 1 / sqrt(dim); units that see them at that scale
        # would hardly bend.
        self.stretch = self.dim**0.5

    def prepare(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)`` of the frozen network, standing for the images from here on."""
        embeddings: Tensor = self.trunk(images)
        return embeddings.float().detach()

    def forward(self, prepared: Tensor) -> Tensor:
        """Embeddings ``(n, dim)`` of what `prepare` made."""
        added: Tensor = self.outer(F.gelu(self.inner(prepared * self.stretch)))
        embeddings: Tensor = prepared + added / self.stretch
        return embeddings

    def train(self, mode: bool = True) -> Self:
        """Training mode for the layer only."""
        super().train(mode)
        self.trunk.train(False)
        return self
