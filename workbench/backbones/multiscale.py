"""A MONAI ResNet read at every depth.

Deep features carry what meta-training taught and shallow ones what survives any change of origin, so a
few labelled scans choose better among both than from the last layer alone (after Hariharan et al. 2015,
"Hypercolumns"; Triantafillou et al. 2021, "Learning a Universal Template", for few-shot transfer). The
embedding joins the pooled maps (mean and spread over positions) of the stem and the four stages with a
histogram of oriented edges (after Dalal and Triggs 2005) and a coarse thumbnail, so that what raw pixels say
is never lost. Each part is standardised with running statistics of meta-training images, brought to unit
length, and weighted; the weights were chosen on meta-validation conditions.
"""

from __future__ import annotations

import math

import torch
from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones.monai_nets import resnet
from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec

_THUMBNAIL = 8
_CELLS, _DIRECTIONS = 4, 4
_WEIGHTS = (0.5, 0.5, 1.0, 1.0, 1.0, 0.7, 0.5)
"""Of stem, stages 1 to 4, edges and thumbnail: the unit-length parts are multiplied by these."""


class MultiScale(Backbone):
    """See the module's description.

    Args:
        network: without its classification layer; stem stride 2.
        planes: channels of the four stages.
        channels: of the input.
    """

    def __init__(self, network: ResNet, planes: list[int], channels: int) -> None:
        super().__init__()
        self.network = network
        lengths = [2 * n for n in (planes[0], *planes)]
        self.parts = (*lengths, _DIRECTIONS * _CELLS**2, channels * _THUMBNAIL**2)
        self.supervised = (len(lengths) - 1,)
        self.dim = sum(self.parts)
        # affine=False: the parts are standardised, not rescaled by training.
        self.standardise = nn.ModuleList(nn.BatchNorm1d(n, affine=False, momentum=0.02) for n in self.parts)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)`` of length 1: weighted parts side by side."""
        plain = images.float()
        thumbnail = F.adaptive_avg_pool2d(plain, _THUMBNAIL).flatten(1)
        parts = [*self._pooled(images), edges(plain), thumbnail]
        total = sum(w * w for w in _WEIGHTS) ** 0.5
        scaled = [
            F.normalize(norm(part), dim=1) * (weight / total)
            for norm, part, weight in zip(self.standardise, parts, _WEIGHTS, strict=True)
        ]
        return torch.cat(scaled, dim=1)

    def _pooled(self, images: Tensor) -> list[Tensor]:
        net = self.network
        maps: Tensor = net.act(net.bn1(net.conv1(images)))
        found = [pooled(maps)]
        for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
            maps = stage(maps)
            found.append(pooled(maps))
        return found


def edges(images: Tensor) -> Tensor:
    """Root of the strength of edges in four directions (modulo 180 degrees) in 4x4 cells, ``(n, 64)``."""
    grey = images.mean(1, keepdim=True)
    dx = grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]
    dy = grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]
    strength, twice = torch.hypot(dx, dy), 2 * torch.atan2(dy, dx)
    shift = 2 * math.pi / _DIRECTIONS
    shares = [torch.cos(twice - k * shift).clamp_min(0).square() for k in range(_DIRECTIONS)]
    directed = torch.cat([strength * share for share in shares], dim=1)
    return F.adaptive_avg_pool2d(directed, _CELLS).flatten(1).add(1e-5).sqrt()


def pooled(maps: Tensor) -> Tensor:
    """Root of mean and of spread over positions, ``(n, 2 c)`` of ``(n, c, ...)``.

    The root draws in the long tail of pooled ReLU maps.
    """
    values = maps.float()
    variance, mean = torch.var_mean(values, dim=tuple(range(2, maps.ndim)), correction=0)
    # A channel that is silent in an image has no variance, where the root has no second derivative.
    spread = (variance + 1e-10).sqrt()
    return torch.cat([mean, spread], dim=1).clamp_min(0).add(1e-4).sqrt()


def _build(spec: BackboneSpec, layers: list[int]) -> Backbone:
    network, planes = resnet(spec, layers)
    return MultiScale(network, planes, spec.channels)


@register("multiscale-resnet10")
def _resnet10(spec: BackboneSpec) -> Backbone:
    return _build(spec, [1, 1, 1, 1])


@register("multiscale-resnet18")
def _resnet18(spec: BackboneSpec) -> Backbone:
    return _build(spec, [2, 2, 2, 2])
