"""2x2 max pooling whose second derivative keeps the channels_last layout.

PyTorch's own second derivative of max pooling returns the default layout; every later operation of MAML's
outer gradient then mixes two layouts and takes several times as long. Values and gradients are the same.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_WINDOW = [2, 2]


class Halve(nn.MaxPool2d):
    """`halve` as a module."""

    def forward(self, input: Tensor) -> Tensor:
        """See `halve`."""
        return halve(input)


def halve(maps: Tensor) -> Tensor:
    """Maximum over 2x2 windows: ``(n, c, h, w)`` to ``(n, c, h // 2, w // 2)``; differentiable twice."""
    return cast(Tensor, _MaxPool.apply(maps))  # type: ignore[no-untyped-call]


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        pooled, indices = torch.ops.aten.max_pool2d_with_indices(maps, _WINDOW, _WINDOW)
        ctx.save_for_backward(maps, indices)
        return cast(Tensor, pooled)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        maps, indices = ctx.saved_tensors
        return cast(Tensor, _Scatter.apply(gradients[0], maps.detach(), indices))  # type: ignore[no-untyped-call]


class _Scatter(torch.autograd.Function):
    """Gradient of the pooling, linear in the gradient that arrives; its own gradient gathers."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, maps: Tensor, indices: Tensor) -> Tensor:
        ctx.save_for_backward(indices)
        scattered = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, maps, _WINDOW, _WINDOW, [0, 0], [1, 1], False, indices
        )
        return cast(Tensor, scattered)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (indices,) = ctx.saved_tensors
        # Rows of positions by channel: the memory order of channels_last, so nothing is copied.
        values = gradients[0].permute(0, 2, 3, 1).flatten(1, 2)
        where = indices.permute(0, 2, 3, 1)
        gathered = values.gather(1, where.flatten(1, 2))
        return gathered.view(where.shape).permute(0, 3, 1, 2), None, None
