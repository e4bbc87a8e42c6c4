"""Conv-4, the field's standard small encoder.

Vinyals et al. 2016 (Matching networks), section 4.1; Snell et al. 2017: four blocks of 3x3 convolution
with 64 filters, normaliser, ReLU and 2x2 max pooling. On inputs beyond 32 px the map left after four
poolings is averaged, so that the embedding has 64 numbers times at most 4 positions whatever the size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec


class WeightStandardisedConv2d(nn.Conv2d):
    """Convolution with scaled weight standardisation (Brock et al. 2021, equation 2).

    Each filter has zero mean and unit variance over its fan-in times a learned gain, so that activations
    keep their scale without any statistics of the batch.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(outputs, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the standardised filters."""
        mean = self.weight.mean(dim=(1, 2, 3), keepdim=True)
        variance = self.weight.var(dim=(1, 2, 3), keepdim=True, unbiased=False)
        fan_in = self.weight[0].numel()
        # 1.7139 restores unit variance after a ReLU (Brock et al. 2021, section 3).
        weight = (self.weight - mean) * torch.rsqrt(variance * fan_in + 1e-4) * self.gain * 1.7139
        return F.conv2d(x, weight, self.bias, padding=1)


def _block(inputs: int, outputs: int, normaliser: str) -> nn.Sequential:
    if normaliser == "weight-standardised":
        layers: list[nn.Module] = [WeightStandardisedConv2d(inputs, outputs)]
    elif normaliser == "group":
        layers = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.GroupNorm(8, outputs)]
    else:
        layers = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU(inplace=False), nn.MaxPool2d(2))


class Conv4(Backbone):
    """See the module's description.

    Args:
        channels: of the input.
        width: filters of each block.
        size: side of the input; decides the embedding's length.
        normaliser: see `BackboneSpec`.
    """

    def __init__(self, channels: int, width: int, size: int, normaliser: str) -> None:
        super().__init__()
        ins = (channels, width, width, width)
        self.blocks = nn.Sequential(*(_block(i, width, normaliser) for i in ins))
        self.grid = 1 if size < 48 else 2
        self.dim = width * self.grid**2

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)``."""
        maps: Tensor = self.blocks(images)
        if maps.shape[-1] != self.grid:
            maps = F.adaptive_avg_pool2d(maps, self.grid)
        return maps.flatten(1)


@register("conv4")
def _conv4(spec: BackboneSpec) -> Backbone:
    return Conv4(spec.channels, spec.width or 64, spec.size, spec.normaliser)
