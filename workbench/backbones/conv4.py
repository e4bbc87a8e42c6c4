"""Conv-4, the field's standard small encoder.

Vinyals et al. 2016 (Matching networks), section 4.1; Snell et al. 2017: four blocks of 3x3 convolution
with 64 filters, normaliser, ReLU and 2x2 max pooling. On inputs beyond 32 px the map left after four
poolings is averaged, so that the embedding has 64 numbers times at most 4 positions whatever the size.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones.pooling import Halve
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


class BatchNormBlock(nn.Sequential):
    """With frozen statistics, one convolution stands for convolution and BatchNorm.

    A frozen normaliser multiplies and shifts each channel, so it is folded into the (much smaller) filters:
    ``g (w * x - m) / s + b = (w g / s) * x + (b - g m / s)``. Gradients of any order reach w, g and b
    through the folding, which is what makes MAML's inner loop affordable.
    """

    def __init__(
        self, convolution: nn.Conv2d, norm: nn.BatchNorm2d, pooling: nn.MaxPool2d, rectifier: nn.ReLU
    ) -> None:
        super().__init__(convolution, norm, pooling, rectifier)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps of half the side."""
        convolution, norm, pooling, rectifier = self
        if self.training or not norm.track_running_stats:
            return cast(Tensor, rectifier(pooling(norm(convolution(x)))))
        mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
        scale = cast(Tensor, norm.weight) * torch.rsqrt(variance + cast(float, norm.eps))
        weight = cast(Tensor, convolution.weight) * scale[:, None, None, None]
        maps = F.conv2d(x, weight, cast(Tensor, norm.bias) - mean * scale, padding=1)
        return cast(Tensor, rectifier(pooling(maps)))


def _block(inputs: int, outputs: int, normaliser: str) -> nn.Sequential:
    # ReLU and maximum commute; after pooling there is a quarter to rectify.
    end = (Halve(2), nn.ReLU())
    if normaliser == "weight-standardised":
        return nn.Sequential(WeightStandardisedConv2d(inputs, outputs), *end)
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    if normaliser == "group":
        return nn.Sequential(convolution, nn.GroupNorm(8, outputs), *end)
    norm = nn.BatchNorm2d(outputs, track_running_stats=normaliser != "transductive")
    return BatchNormBlock(convolution, norm, *end)


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
