"""Every backbone embeds images one by one, whatever its name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.helpers import small_batch, tiny_learner
from workbench.backbones import BackboneSpec, build, names
from workbench.backbones.conv4 import WeightStandardisedConv2d
from workbench.backbones.multiscale import edges
from workbench.backbones.pretrained import PUBLIC
from workbench.errors import PlanError

FRESH = [name for name in names() if name not in PUBLIC]
SMALL = {"conv4": 8, "densenet121": 16, "resnet10": 8, "resnet18": 8, "resnet34": 8, "vit-tiny": 48}


def _images(count: int, channels: int, dims: int) -> torch.Tensor:
    return torch.randn(count, channels, *[32] * dims)


def _spec(name: str, channels: int = 3, size: int = 32) -> BackboneSpec:
    return BackboneSpec(name, channels=channels, size=size, width=SMALL.get(name, 8))


@pytest.mark.parametrize("name", FRESH)
@pytest.mark.parametrize("channels", [1, 3])
def test_embeddings_have_the_promised_length(name: str, channels: int) -> None:
    backbone = build(_spec(name, channels)).eval()
    with torch.no_grad():
        out = backbone(_images(2, channels, backbone.dims))
    assert out.shape == (2, backbone.dim)
    assert torch.isfinite(out).all()
    assert sum(backbone.parts) in (0, backbone.dim)
    assert tuple(x.shape[1] for x in backbone.taught(out)) == backbone.taught_dims


@pytest.mark.parametrize("name", FRESH)
def test_an_embedding_does_not_depend_on_the_batch(name: str) -> None:
    torch.manual_seed(0)
    backbone = build(_spec(name))
    images = _images(4, 3, backbone.dims)
    with torch.no_grad():
        backbone.train()(images)  # running statistics away from their start
        backbone.eval()
        together = backbone(images)
        alone = torch.cat([backbone(images[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [28, 64, 96])
@pytest.mark.parametrize("name", ["conv4", "resnet10", "multiscale-resnet10"])
def test_any_input_size(name: str, size: int) -> None:
    backbone = build(_spec(name, size=size)).eval()
    assert backbone(torch.randn(1, 3, size, size)).shape == (1, backbone.dim)


@pytest.mark.parametrize("normaliser", ["group", "weight-standardised"])
def test_normalisers_without_batch_statistics_have_none(normaliser: str) -> None:
    backbone = build(replace(_spec("conv4"), normaliser=normaliser))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in backbone.modules())
    images = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(backbone.train()(images), backbone.eval()(images))


def test_standardised_filters_have_zero_mean_and_unit_gain() -> None:
    """Brock et al. 2021, equation 2: mean 0 and variance 1 / fan-in, times the gain of a ReLU."""
    torch.manual_seed(0)
    layer = WeightStandardisedConv2d(16, 4)
    with torch.no_grad():
        layer.weight.mul_(5).add_(3)
    seen = []
    layer.register_forward_hook(lambda m, i, o: seen.append(o))
    layer(torch.ones(1, 16, 5, 5))
    # A constant image away from the border meets filters of zero mean: only the bias is left.
    torch.testing.assert_close(seen[0][0, :, 2, 2], layer.bias, atol=1e-4, rtol=1e-4)


def test_edges_tell_directions_apart() -> None:
    ramp = torch.linspace(0, 1, 32)
    across, down = ramp.expand(1, 3, 32, 32), ramp[:, None].expand(1, 3, 32, 32)
    strengths = [edges(x).reshape(4, 16).mean(1) for x in (across, down)]
    assert strengths[0].argmax() != strengths[1].argmax()


def test_the_meta_gradient_is_finite_where_a_channel_has_no_spread() -> None:
    """The last map of a 28 px image is 2x2 and often constant; MAML differentiates its spread twice."""
    torch.manual_seed(0)
    learner = tiny_learner("maml", backbone="multiscale-resnet10", options={"prototypes": True, "steps": 1})
    learner.training_loss(small_batch(way=2, shot=2, query=2)).value.backward()
    assert all(torch.isfinite(p.grad).all() for p in learner.parameters() if p.grad is not None)


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(PlanError, match="conv4"):
        build(BackboneSpec("conv5"))
    with pytest.raises(PlanError, match="group"):
        build(BackboneSpec("conv4", normaliser="layer"))
    with pytest.raises(PlanError, match="divisible"):
        build(BackboneSpec("vit-tiny", size=28))
