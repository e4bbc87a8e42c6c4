"""What a backbone is: a name, a few sizes, and a network that turns images into embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORMALISERS = ("batch", "group", "weight-standardised", "transductive")


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """Describes a backbone completely; stored with every checkpoint.

    Attributes:
        name: key of the registry, e.g. ``conv4``; see `workbench.backbones.names`.
        channels: of the input, 1 or 3.
        size: side of the input in pixels; most networks take any, ViT only this one.
        width: channels of the first stage; 0 for the network's own default.
        normaliser: ``batch`` (statistics frozen at adaptation and prediction), ``group``, or, in Conv-4 only,
            ``weight-standardised`` (no activation statistics at all) and ``transductive`` (statistics of
            whatever is read together, as in the published figures of MAML and its kin: for benchmarks,
            refused everywhere else).
        neck: units of a trainable residual layer on the network, which is then frozen; 0 for none.
        config: compact JSON with what a public encoder needs beside these (see `pretrained`); else empty.
        slices: how an encoder of images reads a volume: each slice, and then the ``mean`` of the slices'
            embeddings, or learned ``attention`` over them (see `slicewise`); empty for an encoder that is
            given what it was made for.
    """

    name: str = "conv4"
    channels: int = 3
    size: int = 64
    width: int = 0
    normaliser: str = "batch"
    neck: int = 0
    config: str = ""
    slices: Literal["", "mean", "attention"] = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint's metadata."""
        return asdict(self)


class Backbone(nn.Module, ABC):
    """A network from normalised images to embeddings.

    Attributes:
        dim: length of the embedding.
        parts: lengths of the pieces the embedding is made of, in order; one piece unless a network is read
            at several depths.
        supervised: indices of the parts that supervised meta-training teaches.
        expects: mean and standard deviation that the recipe must have normalised the 0..1 image with; None
            where any will do.
        dims: 2 for a network that reads images, 3 for one that reads volumes.
    """

    dim: int
    parts: tuple[int, ...] = ()
    supervised: tuple[int, ...] = ()
    expects: tuple[float, float] | None = None
    dims: int = 2

    def taught(self, embeddings: Tensor) -> tuple[Tensor, ...]:
        """The supervised parts of embeddings, each of unit scale per number."""
        if not self.parts:
            return (embeddings,)
        pieces = torch.split(embeddings, list(self.parts), dim=1)
        return tuple(F.normalize(pieces[i], dim=1) * self.parts[i] ** 0.5 for i in self.supervised)

    @property
    def taught_dims(self) -> tuple[int, ...]:
        """Lengths of what `taught` returns."""
        return tuple(self.parts[i] for i in self.supervised) if self.parts else (self.dim,)

    def prepare(self, images: Tensor) -> Tensor:
        """What no training or adaptation changes of the work; the images unless overridden.

        Args:
            images: normalised, ``(n, channels, size, size)``, or ``(n, channels, depth, size, size)`` where
                `dims` is 3.
        """
        return images

    @abstractmethod
    def forward(self, prepared: Tensor) -> Tensor:
        """Embeddings ``(n, dim)`` of what `prepare` made of images."""
