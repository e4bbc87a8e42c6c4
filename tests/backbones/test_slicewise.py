"""An encoder of images reads a volume by its slices."""

from __future__ import annotations

import pytest
import torch

from workbench.backbones import BackboneSpec, build
from workbench.backbones.slicewise import Attention, Slicewise
from workbench.errors import PlanError


def _spec(slices: str) -> BackboneSpec:
    return BackboneSpec("conv4", size=32, width=8, slices=slices)  # type: ignore[arg-type]


def test_mean_pooling_is_the_mean_of_a_loop_over_slices() -> None:
    torch.manual_seed(0)
    backbone = build(_spec("mean")).eval()
    assert isinstance(backbone, Slicewise)
    volumes = torch.randn(3, 3, 5, 32, 32)
    with torch.no_grad():
        expected = torch.stack([backbone.network(volumes[:, :, k]) for k in range(5)]).mean(0)
        torch.testing.assert_close(backbone(volumes), expected, rtol=1e-4, atol=1e-5)


def test_attention_starts_as_the_mean_and_then_follows_equations_7_and_9() -> None:
    torch.manual_seed(0)
    attention = Attention(6)
    h = torch.randn(2, 4, 6)
    torch.testing.assert_close(attention(h), torch.full((2, 4, 1), 0.25))
    torch.nn.init.normal_(attention.score.weight)
    weights = attention(h)
    for n in range(2):
        scores = []
        for k in range(4):
            x = h[n, k] * 6**0.5
            v = torch.tanh(attention.value.weight @ x + attention.value.bias)
            u = torch.sigmoid(attention.gate.weight @ x + attention.gate.bias)
            scores.append(attention.score.weight[0] @ (v * u))
        torch.testing.assert_close(weights[n, :, 0], torch.softmax(torch.stack(scores), 0))


def test_attention_is_learned_and_the_mean_has_nothing_to_learn() -> None:
    mean, attention = build(_spec("mean")), build(_spec("attention"))
    extra = {n for n, _ in attention.named_parameters()} - {n for n, _ in mean.named_parameters()}
    assert extra
    assert all(name.startswith("attention.") for name in extra)
    attention(torch.randn(2, 3, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None for p in attention.parameters())


def test_an_encoder_of_volumes_cannot_be_read_by_slices() -> None:
    with pytest.raises(PlanError, match="encoders of images"):
        build(BackboneSpec("resnet10-3d", channels=1, size=32, width=8, slices="mean"))
    with pytest.raises(PlanError, match="mean, attention"):
        build(_spec("median"))
