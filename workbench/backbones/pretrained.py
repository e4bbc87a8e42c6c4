"""Public pre-trained encoders that MONAI's networks can hold: ResNet with bottlenecks, and timm's ViT.

`workbench import-encoder` (see `workbench.weights.public`) writes their tensors and `BackboneSpec.config`
into a weights file; the network is then built from that description alone. What all public encoders have
in common is here too: each was trained on images normalised in its own way, so the recipe's normalisation
is undone and the encoder's applied inside the backbone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from monai.networks.nets.resnet import ResNet
from monai.networks.nets.vit import ViT
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec
from workbench.errors import PlanError

PUBLIC = ("clip-vision", "dinov2", "resnet50", "timm-vit")
"""Names that need `BackboneSpec.config`."""

EMBEDDINGS = ("cls", "mean", "both", "projected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What `BackboneSpec.config` says of every public encoder.

    Attributes:
        mean, std: of the encoder's own normalisation of the 0..1 image, for each channel.
        arrives: mean and standard deviation of the recipe's, which is undone.
        embedding: of a transformer: ``cls`` (its class token), ``mean`` (of its patch tokens), ``both`` side
            by side, or ``projected`` (CLIP's class token in the space shared with text).
        unit: whether embeddings are brought to unit length, as the neck and distances expect.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    arrives: tuple[float, float] = (0.5, 0.25)
    embedding: str = "cls"
    unit: bool = True

    def __post_init__(self) -> None:
        if min(self.std) <= 0 or self.embedding not in EMBEDDINGS:
            raise ValueError("std must be positive, and embedding one of " + ", ".join(EMBEDDINGS))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetDescription(Description):
    """A ResNet of bottleneck blocks: He et al. 2016, table 1, with torchvision's strides.

    Attributes:
        layers: blocks of the four stages.
        width: channels of the stem.
    """

    layers: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ViTDescription(Description):
    """A vision transformer with timm's layers: Dosovitskiy et al. 2021, table 1.

    Attributes:
        patch: side of a patch in pixels.
        hidden, mlp: width of the tokens and of the layer between.
        layers, heads: their numbers.
        projection: length of CLIP's shared space; 0 where the class token is not projected.
    """

    patch: int = 16
    hidden: int = 768
    mlp: int = 3072
    layers: int = 12
    heads: int = 12
    projection: int = 0


D = TypeVar("D", bound=Description)


def described(kind: type[D], spec: BackboneSpec) -> D:
    """The description in a spec.

    Raises:
        PlanError: there is none, or it is wrong.
    """
    if not spec.config:
        raise PlanError(
            f"Backbone {spec.name!r} is a public encoder, which is not made from nothing. Make weights "
            "with `workbench import-encoder` and name it as the plan's `start`."
        )
    try:
        return TypeAdapter(kind).validate_json(spec.config)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise PlanError(f"Backbone {spec.name!r}: field {where!r} of its config is wrong.") from error


def to_config(description: Description) -> str:
    """Compact JSON for `BackboneSpec.config`; inverse of `described`."""
    return TypeAdapter(type(description)).dump_json(description).decode()


class PublicEncoder(Backbone):
    """Images in, embeddings out, with the encoder's own normalisation between.

    Args:
        description: see there.
        channels: of the input.
    """

    def __init__(self, description: Description, channels: int) -> None:
        super().__init__()
        self.description = description
        self.expects = description.arrives
        mean, std = (
            torch.tensor(v[:channels], dtype=torch.float64) for v in (description.mean, description.std)
        )
        middle, spread = description.arrives
        # u = x spread + middle is the 0..1 image, and (u - mean) / std what the encoder was trained on.
        # The description holds them already: no tensor of a weights file could contradict it.
        self.register_buffer("scale", (spread / std).float().view(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", ((middle - mean) / std).float().view(1, -1, 1, 1), persistent=False)

    def entered(self, images: Tensor) -> Tensor:
        """Images of the recipe's normalisation in the encoder's."""
        return images * cast(Tensor, self.scale) + cast(Tensor, self.shift)

    def left(self, embeddings: Tensor) -> Tensor:
        """Embeddings, of unit length where the description asks for it."""
        return F.normalize(embeddings, dim=1) if self.description.unit else embeddings

    def joined(self, tokens: Tensor) -> Tensor:
        """One vector from normalised tokens ``(n, 1 + patches, hidden)``, class token first."""
        own, patches = tokens[:, 0], tokens[:, 1:]
        if self.description.embedding == "mean":
            return patches.mean(1)
        return torch.cat([own, patches.mean(1)], 1) if self.description.embedding == "both" else own


class PublicResNet(PublicEncoder):
    """The mean of the last map; see `ResNetDescription`."""

    def __init__(self, description: ResNetDescription, channels: int) -> None:
        super().__init__(description, channels)
        width = description.width
        self.network = ResNet(
            "bottleneck",
            list(description.layers),
            [width, 2 * width, 4 * width, 8 * width],
            spatial_dims=2,
            n_input_channels=channels,
            conv1_t_size=7,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        self.dim = 32 * width

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, 32 width)``."""
        pooled: Tensor = self.network(self.entered(images))
        return self.left(pooled.flatten(1))


class PublicViT(PublicEncoder):
    """timm's ViT in MONAI's, which needs no further package; see `ViTDescription`."""

    def __init__(self, description: ViTDescription, channels: int, size: int) -> None:
        super().__init__(description, channels)
        hidden = description.hidden
        self.network = ViT(
            channels,
            size,
            description.patch,
            hidden,
            description.mlp,
            description.layers,
            description.heads,
            classification=True,
            spatial_dims=2,
            qkv_bias=True,
        )
        del self.network.classification_head
        for block in self.network.blocks:
            block.norm_cross_attn = nn.Identity()  # never used, and timm has none
        for module in self.network.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 1e-6  # timm's; MONAI takes PyTorch's 1e-5
        length = description.projection
        self.projection = nn.Linear(hidden, length, bias=False) if length else None
        self.dim = length or hidden * (2 if description.embedding == "both" else 1)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)``; the images must have the side the network was built for."""
        network = self.network
        x: Tensor = network.patch_embedding(self.entered(images))
        x = torch.cat([network.cls_token.expand(len(x), -1, -1), x], 1)
        for block in network.blocks:
            x = block(x)
        vector = self.joined(network.norm(x))
        return self.left(vector if self.projection is None else self.projection(vector))


@register("resnet50")
def _resnet50(spec: BackboneSpec) -> Backbone:
    return PublicResNet(described(ResNetDescription, spec), spec.channels)


@register("timm-vit")
def _timm_vit(spec: BackboneSpec) -> Backbone:
    description = described(ViTDescription, spec)
    whole_patches(spec, description.patch)
    return PublicViT(description, spec.channels, spec.size)


def whole_patches(spec: BackboneSpec, patch: int) -> None:
    """Refuse a size that leaves part of a patch.

    Raises:
        PlanError: naming the nearest size below.
    """
    if spec.size % patch:
        raise PlanError(
            f"{spec.name} needs a size that is a multiple of {patch}, not {spec.size}. "
            f"Take {max(1, spec.size // patch) * patch}."
        )
