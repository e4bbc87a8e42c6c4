"""A MONAI ResNet for volumes read at every depth, as `multiscale` reads one for images.

The embedding joins the pooled maps (mean and spread over positions) of the stem and the four stages with the
volume on a coarse grid, so that what raw voxels say is never lost. Each part is standardised with running
statistics of meta-training volumes and brought to unit length; all count the same.
"""

from __future__ import annotations

import torch
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones.multiscale import pooled
from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec
from workbench.backbones.volumes import GRID, resnet3d


class MultiScaleVolume(Backbone):
    """See the module's description.

    Args:
        network: without its classification layer; stem stride 2.
        planes: channels of the four stages.
        channels: of the input.
    """

    dims = 3

    def __init__(self, network: ResNet, planes: list[int], channels: int) -> None:
        super().__init__()
        self.network = network
        lengths = [2 * n for n in (planes[0], *planes)]
        self.parts = (*lengths, channels * GRID**3)
        self.supervised = (len(lengths) - 1,)
        self.dim = sum(self.parts)
        # affine=False: the parts are standardised, not rescaled by training.
        self.standardise = nn.ModuleList(nn.BatchNorm1d(n, affine=False, momentum=0.02) for n in self.parts)

    def forward(self, volumes: Tensor) -> Tensor:
        """Embeddings ``(n, dim)`` of length 1: the parts side by side."""
        net = self.network
        maps: Tensor = net.act(net.bn1(net.conv1(volumes)))
        found = [pooled(maps)]
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            maps = stage(maps)
            found.append(pooled(maps))
        found.append(F.adaptive_avg_pool3d(volumes.float(), GRID).flatten(1))
        scaled = [F.normalize(norm(part), dim=1) for norm, part in zip(self.standardise, found, strict=True)]
        embeddings: Tensor = torch.cat(scaled, dim=1) / len(scaled) ** 0.5
        return embeddings


@register("multiscale-resnet10-3d")
def _resnet10(spec: BackboneSpec) -> Backbone:
    return MultiScaleVolume(*resnet3d(spec, [1, 1, 1, 1]), spec.channels)
