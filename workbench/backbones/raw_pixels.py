"""The pixels themselves as embedding: the baseline every encoder has to beat.

The normalised image averaged over a 16x16 grid, 256 numbers per channel. It has no parameters, so that any
method on it measures what the method alone does.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec

GRID = 16


def raw_backbone(dims: int) -> str:
    """Name of the backbone that is the numbers themselves: of images (2), or of volumes (3, `volumes`)."""
    return "raw-voxels" if dims == 3 else "raw-pixels"


class RawPixels(Backbone):
    """See the module's description.

    Args:
        channels: of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim = channels * GRID**2

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, channels * 256)``."""
        return F.adaptive_avg_pool2d(images, GRID).flatten(1)


@register("raw-pixels")
def _raw_pixels(spec: BackboneSpec) -> Backbone:
    return RawPixels(spec.channels)
