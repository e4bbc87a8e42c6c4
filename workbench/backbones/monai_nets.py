"""MONAI's two-dimensional networks as backbones: ResNet, DenseNet, EfficientNet and ViT.

Their classification heads are taken off; the embedding is the pooled last feature map (ViT: the mean of
its tokens). BatchNorm statistics are frozen at adaptation and prediction by `eval()`.
"""

from __future__ import annotations

from monai.networks.nets.densenet import DenseNet
from monai.networks.nets.efficientnet import EfficientNetBN
from monai.networks.nets.resnet import ResNet
from monai.networks.nets.vit import ViT
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones.registry import register
from workbench.backbones.spec import Backbone, BackboneSpec
from workbench.errors import PlanError

_GROUPS = 8


def norm_of(spec: BackboneSpec) -> str | tuple[str, dict[str, int]]:
    """The normaliser of a MONAI network; raises `PlanError` for those it has not."""
    if spec.normaliser in ("weight-standardised", "transductive"):
        raise PlanError(f"Normaliser {spec.normaliser!r} is for conv4 only. Choose batch or group.")
    return "batch" if spec.normaliser == "batch" else ("group", {"num_groups": _GROUPS})


class Pooled(Backbone):
    """A network that returns a feature map or a vector, with the mean over positions taken."""

    def __init__(self, network: nn.Module, dim: int) -> None:
        super().__init__()
        self.network = network
        self.dim = dim

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)``."""
        out = self.network(images)
        return F.adaptive_avg_pool2d(out, 1).flatten(1) if out.ndim == 4 else out


class ViTTokens(Backbone):
    """MONAI's ViT with the mean of its output tokens as embedding."""

    def __init__(self, network: ViT, dim: int) -> None:
        super().__init__()
        self.network = network
        self.dim = dim

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)``; the images must have the side the network was built for."""
        tokens: Tensor = self.network(images)[0]
        return tokens.mean(dim=1)


def resnet(
    spec: BackboneSpec, layers: list[int], spatial_dims: int = 2, default_width: int = 64
) -> tuple[ResNet, list[int]]:
    """MONAI's ResNet without its classification layer, and the channels of its four stages.

    A stride-2 stem without max pooling leaves a map of a 16th of the input's side after the last stage.

    Args:
        spec: channels and normaliser; a width of 0 stands for the default.
        layers: blocks of each stage.
        spatial_dims: 2 for images, 3 for volumes.
        default_width: channels of the first stage where the spec names none.
    """
    width = spec.width or default_width
    planes = [width, 2 * width, 4 * width, 8 * width]
    network = ResNet(
        "basic",
        layers,
        planes,
        spatial_dims=spatial_dims,
        n_input_channels=spec.channels,
        conv1_t_size=5,
        conv1_t_stride=2,
        no_max_pool=True,
        feed_forward=False,
        bias_downsample=False,
        norm=norm_of(spec),
    )
    return network, planes


def _pooled_resnet(spec: BackboneSpec, layers: list[int]) -> Backbone:
    network, planes = resnet(spec, layers)
    return Pooled(network, planes[-1])


@register("resnet10")
def _resnet10(spec: BackboneSpec) -> Backbone:
    return _pooled_resnet(spec, [1, 1, 1, 1])


@register("resnet18")
def _resnet18(spec: BackboneSpec) -> Backbone:
    return _pooled_resnet(spec, [2, 2, 2, 2])


@register("resnet34")
def _resnet34(spec: BackboneSpec) -> Backbone:
    return _pooled_resnet(spec, [3, 4, 6, 3])


@register("densenet121")
def _densenet121(spec: BackboneSpec) -> Backbone:
    init = spec.width or 64
    growth, blocks = init // 2, (6, 12, 24, 16)
    network = DenseNet(2, spec.channels, 2, init, growth, blocks, norm=norm_of(spec))
    # MONAI's head is relu, pool, flatten and the linear layer; all but the last are the embedding.
    head = network.class_layers
    dim = last_width(head)
    head[-1] = nn.Identity()
    return Pooled(network, dim)


@register("efficientnet-b0")
def _efficientnet_b0(spec: BackboneSpec) -> Backbone:
    if spec.normaliser != "batch":
        raise PlanError("EfficientNet's widths fit no fixed number of groups: use normaliser batch.")
    network = EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=spec.channels)
    # Drop-connect and dropout would make adaptation random; the episodes regularise enough.
    network.add_module("_dropout", nn.Identity())
    dim = int(network._fc.in_features)
    network.add_module("_fc", nn.Identity())
    return Pooled(network, dim)


@register("vit-tiny")
def _vit_tiny(spec: BackboneSpec) -> Backbone:
    hidden = spec.width or 192
    if spec.size % 8 or hidden % 3:
        raise PlanError("vit-tiny needs an input size divisible by 8 and a width divisible by 3.")
    network = ViT(
        spec.channels,
        spec.size,
        spec.size // 8,
        hidden,
        4 * hidden,
        num_layers=6,
        num_heads=3,
        spatial_dims=2,
    )
    return ViTTokens(network, hidden)


def last_width(head: nn.Sequential) -> int:
    """Length of what the last layer of a classification head is given."""
    last = head[-1]
    assert isinstance(last, nn.Linear)
    return last.in_features
