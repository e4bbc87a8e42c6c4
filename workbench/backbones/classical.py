"""Classical image features side by side: gradients, local patterns, wavelets and grey-level statistics.

With a linear probe this is what few-shot learning must beat: features that were designed, not learned, and
have seen no image. Each family has the same weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.backbones.hog import HOG
from workbench.backbones.lbp import LBP
from workbench.backbones.registry import register
from workbench.backbones.scattering import Scattering
from workbench.backbones.spec import Backbone, BackboneSpec
from workbench.backbones.texture import Texture


class Classical(Backbone):
    """See the module's description.

    Args:
        families: backbones whose embeddings have unit length.
    """

    def __init__(self, families: list[Backbone]) -> None:
        super().__init__()
        self.families = nn.ModuleList(families)
        self.dim = sum(family.dim for family in families)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)`` of unit length."""
        joined = torch.cat([family(images) for family in self.families], dim=1)
        embeddings: Tensor = joined / len(self.families) ** 0.5
        return embeddings


@register("classical")
def _classical(spec: BackboneSpec) -> Backbone:
    return Classical(
        [HOG(), LBP(spec.channels), Scattering(spec.channels, spec.size), Texture(spec.channels)]
    )
