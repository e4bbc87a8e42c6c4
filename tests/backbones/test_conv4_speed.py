"""The shortcuts of Conv-4 change nothing but its speed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from workbench.backbones.conv4 import Conv4
from workbench.backbones.pooling import halve


@pytest.mark.parametrize("side", [4, 7])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pooling_has_the_first_and_second_derivatives_of_max_pooling(
    side: int, layout: torch.memory_format
) -> None:
    maps = torch.randn(2, 3, side, side, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    assert torch.equal(halve(maps), F.max_pool2d(maps, 2))
    assert torch.autograd.gradcheck(halve, maps)
    # The square makes the second derivative depend on the values.
    assert torch.autograd.gradgradcheck(lambda x: halve(x).square(), maps)


def test_second_derivative_of_pooling_keeps_channels_last() -> None:
    maps = torch.randn(2, 8, 6, 6).to(memory_format=torch.channels_last).requires_grad_()
    arriving = torch.randn(2, 8, 3, 3).to(memory_format=torch.channels_last).requires_grad_()
    (first,) = torch.autograd.grad(halve(maps), maps, arriving, create_graph=True)
    (second,) = torch.autograd.grad(first, arriving, torch.ones_like(first))
    assert second.is_contiguous(memory_format=torch.channels_last)


def test_folded_normaliser_equals_frozen_batch_norm_in_value_and_second_derivative() -> None:
    torch.manual_seed(0)
    network = Conv4(3, 8, 28, "batch").double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            for values in (module.running_mean, module.weight.data, module.bias.data):
                values.copy_(torch.randn(8))
            module.running_var.uniform_(0.5, 2)
    images = torch.randn(4, 3, 28, 28, dtype=torch.float64)

    def unfolded(x: torch.Tensor) -> torch.Tensor:
        for block in network.blocks:
            assert isinstance(block, nn.Sequential)
            x = F.max_pool2d(F.relu(block[1](block[0](x))), 2)
        return x.flatten(1)

    parameters = list(network.parameters())

    def second(y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        first = torch.autograd.grad(y.square().sum(), parameters, create_graph=True)
        return torch.autograd.grad(torch.stack([g.square().sum() for g in first]).sum(), parameters)

    torch.testing.assert_close(network(images), unfolded(images))
    for ours, plain in zip(second(network(images)), second(unfolded(images)), strict=True):
        torch.testing.assert_close(ours, plain)
