"""Encoders that read whole volumes: MONAI's ResNet and DenseNet in three dimensions, and plain voxels.

Made as their two-dimensional kin in `monai_nets`: no classification layer, the mean of the last map as
embedding, and BatchNorm whose statistics `eval()` freezes, or GroupNorm. A volume has many more numbers than
an image, so the default widths are smaller.
"""

from __future__ import annotations

from monai.networks.nets.densenet import DenseNet
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones.monai_nets import last_width, norm_of, resnet
from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec

GRID = 8
"""Side of the grid that `raw-voxels` averages over."""


class PooledVolume(Backbone):
    """A network that ends in the mean over the positions of its last map."""

    dims = 3

    def __init__(self, network: nn.Module, dim: int) -> None:
        super().__init__()
        self.network = network
        self.dim = dim

    def forward(self, volumes: Tensor) -> Tensor:
        """Embeddings ``(n, dim)`` of ``(n, channels, depth, size, size)``."""
        embeddings: Tensor = self.network(volumes)
        return embeddings


class RawVoxels(Backbone):
    """The normalised volume averaged over an 8x8x8 grid: the baseline every encoder has to beat."""

    dims = 3

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dim = channels * GRID**3

    def forward(self, volumes: Tensor) -> Tensor:
        """Embeddings ``(n, channels * 512)``."""
        return F.adaptive_avg_pool3d(volumes, GRID).flatten(1)


def resnet3d(spec: BackboneSpec, layers: list[int]) -> tuple[ResNet, list[int]]:
    """`resnet` for volumes, narrower by default: a cube of 32 ends in a map of 2x2x2."""
    return resnet(spec, layers, spatial_dims=3, default_width=16)


def _pooled(spec: BackboneSpec, layers: list[int]) -> Backbone:
    network, planes = resnet3d(spec, layers)
    return PooledVolume(network, planes[-1])


@register("resnet10-3d")
def _resnet10(spec: BackboneSpec) -> Backbone:
    return _pooled(spec, [1, 1, 1, 1])


@register("resnet18-3d")
def _resnet18(spec: BackboneSpec) -> Backbone:
    return _pooled(spec, [2, 2, 2, 2])


@register("densenet121-3d")
def _densenet121(spec: BackboneSpec) -> Backbone:
    init = spec.width or 32
    network = DenseNet(3, spec.channels, 2, init, init // 2, (6, 12, 24, 16), norm=norm_of(spec))
    head = network.class_layers
    dim = last_width(head)
    head[-1] = nn.Identity()
    return PooledVolume(network, dim)


@register("raw-voxels")
def _raw_voxels(spec: BackboneSpec) -> Backbone:
    return RawVoxels(spec.channels)
