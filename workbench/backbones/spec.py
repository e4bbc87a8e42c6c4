"""What a backbone is: a name, a few sizes, and a network that turns images into embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

NORMALISERS = ("batch", "group", "weight-standardised")


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """Describes a backbone completely; stored with every checkpoint.

    Attributes:
        name: key of the registry, e.g. ``conv4``; see `workbench.backbones.names`.
        channels: of the input, 1 or 3.
        size: side of the input in pixels; most networks take any, ViT only this one.
        width: channels of the first stage; 0 for the network's own default.
        normaliser: ``batch`` (statistics frozen at adaptation and prediction), ``group``, or
            ``weight-standardised`` (Conv-4 only: no activation statistics at all).
    """

    name: str = "conv4"
    channels: int = 3
    size: int = 64
    width: int = 0
    normaliser: str = "batch"

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's metadata."""
        return asdict(self)


class Backbone(nn.Module, ABC):
    """A network from normalised images to embeddings.

    Attributes:
        dim: length of the embedding.
    """

    dim: int

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)`` of normalised float images ``(n, channels, size, size)``."""
