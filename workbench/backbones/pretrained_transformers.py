"""Public encoders built by Hugging Face's transformers: DINOv2 (and RAD-DINO), and CLIP's vision tower.

The package is an extra (``pretrained``) and imported only when such a network is built. Only the fields
below enter its configuration: nothing else that a public config.json may hold is acted upon.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import Tensor

from workbench.backbones.pretrained import Description, PublicEncoder, described, whole_patches
from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec
from workbench.errors import PlanError


@dataclass(frozen=True, slots=True, kw_only=True)
class Dinov2Description(Description):
    """DINOv2: Oquab et al. 2024. Names and meanings are those of its config.json."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    mlp_ratio: int = 4
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    image_size: int = 224
    patch_size: int = 14
    qkv_bias: bool = True
    use_swiglu_ffn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipDescription(Description):
    """The vision tower of CLIP: Radford et al. 2021. Names and meanings are those of its config.json."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    projection_dim: int = 512
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    image_size: int = 224
    patch_size: int = 32
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5


def library(name: str) -> ModuleType:
    """The transformers package.

    Raises:
        PlanError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise PlanError(
            f"Backbone {name!r} needs the package transformers. Install it: "
            "pip install 'fewshot-workbench[pretrained]'."
        ) from error
    found: ModuleType = transformers
    return found


def dinov2_config(description: Dinov2Description) -> Any:
    """`transformers.Dinov2Config`; without the mask token, which only pre-training uses."""
    d = description
    return library("dinov2").Dinov2Config(
        hidden_size=d.hidden_size,
        num_hidden_layers=d.num_hidden_layers,
        num_attention_heads=d.num_attention_heads,
        mlp_ratio=d.mlp_ratio,
        hidden_act=d.hidden_act,
        layer_norm_eps=d.layer_norm_eps,
        image_size=d.image_size,
        patch_size=d.patch_size,
        qkv_bias=d.qkv_bias,
        use_swiglu_ffn=d.use_swiglu_ffn,
        use_mask_token=False,
    )


def clip_config(description: ClipDescription) -> Any:
    """`transformers.CLIPVisionConfig`."""
    d = description
    return library("clip-vision").CLIPVisionConfig(
        hidden_size=d.hidden_size,
        intermediate_size=d.intermediate_size,
        projection_dim=d.projection_dim,
        num_hidden_layers=d.num_hidden_layers,
        num_attention_heads=d.num_attention_heads,
        image_size=d.image_size,
        patch_size=d.patch_size,
        hidden_act=d.hidden_act,
        layer_norm_eps=d.layer_norm_eps,
    )


class Dinov2(PublicEncoder):
    """Positions are interpolated (bicubic) where the input has another size than in pre-training."""

    def __init__(self, description: Dinov2Description, channels: int) -> None:
        super().__init__(description, channels)
        self.network = library("dinov2").Dinov2Model(dinov2_config(description))
        self.dim = description.hidden_size * (2 if description.embedding == "both" else 1)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)``."""
        tokens: Tensor = self.network(self.entered(images)).last_hidden_state
        return self.left(self.joined(tokens))


class ClipVision(PublicEncoder):
    """Tokens pass the final normaliser that CLIP gives its class token."""

    def __init__(self, description: ClipDescription, channels: int) -> None:
        super().__init__(description, channels)
        whole = library("clip-vision").CLIPVisionModelWithProjection(clip_config(description))
        self.network = whole.vision_model
        projected = description.embedding == "projected"
        self.projection = whole.visual_projection if projected else None
        length = description.hidden_size * (2 if description.embedding == "both" else 1)
        self.dim = description.projection_dim if projected else length

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)``."""
        found = self.network(self.entered(images), interpolate_pos_encoding=True)
        vector = self.joined(self.network.post_layernorm(found.last_hidden_state))
        return self.left(vector if self.projection is None else self.projection(vector))


@register("dinov2")
def _dinov2(spec: BackboneSpec) -> Backbone:
    description = described(Dinov2Description, spec)
    whole_patches(spec, description.patch_size)
    if description.embedding == "projected":
        raise PlanError(f"{spec.name} has no projection. Choose the embedding cls, mean or both.")
    return Dinov2(description, spec.channels)


@register("clip-vision")
def _clip_vision(spec: BackboneSpec) -> Backbone:
    description = described(ClipDescription, spec)
    whole_patches(spec, description.patch_size)
    return ClipVision(description, spec.channels)
