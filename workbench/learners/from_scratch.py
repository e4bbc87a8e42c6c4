"""From scratch: a small network trained on the support alone, the lower bound of every comparison.

It starts from random filters and sees no image but the labelled ones, so what it lacks against the other
methods is what learning from other conditions is worth. The encoder of the weights it is given takes no
part: images are averaged down to at most `side` pixels, and four small convolutions with scaled weight
standardisation (Brock et al. 2021, equation 2), which needs no statistics of a batch, are trained with a
linear layer on them:

``min over network, W, b of sum_i a_i CE(W f(x_i) + b, y_i)``, a_i making classes count the same,

by `test_steps` steps of Adam (Kingma and Ba 2015) on all images, the rate falling linearly to 0. With
`augment`, each image is mirrored at random and shifted by up to an eighth of its side in every step. The
start and the random numbers come from a fixed seed: adapting twice gives the same classifier.

There is nothing to meta-train.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones import Backbone, BackboneSpec
from workbench.data.pool import LabelledBatch, MetaBatch
from workbench.errors import PlanError
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Diet, Learner, Loss, Optimisation
from workbench.learners.gradient import AdaptedHead
from workbench.learners.options import options

_LAYERS = 4
_REACH = 8
"""Shifts go up to this part of the side."""


@options
class FromScratchOptions:
    """Settings of `FromScratch`.

    Attributes:
        width: filters of each block of the network.
        side: of the images it reads, in pixels; smaller images stay as they are.
        learning_rate: of Adam, at the first step.
        test_steps: steps when adapting to a new condition.
        augment: mirror and shift images.
        seed: of the start and of augmentation.
    """

    width: int = Field(default=16, ge=1)
    side: int = Field(default=32, ge=16)
    learning_rate: float = Field(default=0.03, gt=0)
    test_steps: int = Field(default=30, ge=1)
    augment: bool = False
    seed: int = 0


def moved(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right or not, and shifted; what leaves on one side enters on the other.

    Args:
        images: ``(n, channels, h, w)``, or volumes ``(n, channels, depth, h, w)``: slices move together.
        generator: of the random numbers.
    """
    if images.ndim == 5:
        flat = moved(images.flatten(1, 2), generator)
        return flat.reshape(images.shape)
    count, _, height, width = images.shape
    down = torch.randint(-(height // _REACH), height // _REACH + 1, (count, 1), generator=generator)
    right = torch.randint(-(width // _REACH), width // _REACH + 1, (count, 1), generator=generator)
    mirror = torch.rand(count, 1, generator=generator) < 0.5
    rows = (torch.arange(height) - down) % height
    columns = (torch.arange(width) - right) % width
    columns = torch.where(mirror, width - 1 - columns, columns)
    # Positions before channels: one gather of whole pixels, and the result is channels_last already.
    pixels = images.permute(0, 2, 3, 1)
    owner = torch.arange(count)[:, None, None]
    return pixels[owner, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


class SmallNetwork(Backbone):
    """Four 3x3 convolutions of stride 2 with standardised filters and ReLU; the last map is the embedding.

    Args:
        channels, side: of the input.
        width: filters of each convolution.
        dims: 2 for images, 3 for volumes, whose convolutions are 3x3x3.
    """

    def __init__(self, channels: int, side: int, width: int, dims: int = 2) -> None:
        super().__init__()
        self.dims = dims
        layers = [(channels, width), *[(width, width)] * (_LAYERS - 1)]
        self.weights = nn.ParameterList(torch.randn(n, m, *[3] * dims) for m, n in layers)
        self.gains = nn.ParameterList(torch.ones(n, *[1] * (dims + 1)) for _, n in layers)
        self.biases = nn.ParameterList(torch.zeros(n) for _, n in layers)
        for _ in layers:
            side = -(-side // 2)
        self.dim = width * side**dims

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)``."""
        maps = images
        convolve = F.conv2d if self.dims == 2 else F.conv3d
        for weight, gain, bias in zip(self.weights, self.gains, self.biases, strict=True):
            shape = weight.shape[1:]
            # Mean 0 and variance 1 over the fan-in, in one pass; 1.7139 makes up for the ReLU.
            filters = F.layer_norm(weight, shape) * (gain * (1.7139 / shape.numel() ** 0.5))
            maps = F.relu(convolve(maps, filters, bias, stride=2, padding=1))
        return maps.flatten(1)


class FromScratch(Learner):
    """See the module's description. Its `features` are small uint8 images."""

    name: ClassVar[str] = "from-scratch"
    citation: ClassVar[str] = "Brock et al. 2021, equation 2 (the network); no learning from other conditions"
    options_type: ClassVar[type] = FromScratchOptions
    diet: ClassVar[Diet] = Diet.NONE

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: FromScratchOptions | None = None,
    ) -> None:
        super().__init__(backbone, recipe, optimisation or Optimisation())
        self.options = options or FromScratchOptions()
        self.inner_steps = self.options.test_steps
        self.side = min(self.options.side, recipe.size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.options.seed)
            self.network = SmallNetwork(recipe.channels, self.side, self.options.width, recipe.dims)
        layout = torch.channels_last if recipe.dims == 2 else torch.channels_last_3d
        self.network.to(memory_format=layout).requires_grad_(False)  # type: ignore[call-overload]

    @property
    def settings(self) -> FromScratchOptions:
        """See `Learner.settings`."""
        return self.options

    @property
    def reads_encoder(self) -> bool:
        """Never: see `Learner.reads_encoder`."""
        return False

    def features(self, images: Tensor) -> Tensor:
        """Uint8 images averaged to ``(n, side, side, channels)``, volumes to a side in three directions."""
        dims = self.recipe.dims
        if images.shape[1 : 1 + dims] == (self.side,) * dims:
            return images
        average = F.adaptive_avg_pool2d if dims == 2 else F.adaptive_avg_pool3d
        parts = [
            average(chunk.movedim(-1, 1).float(), self.side).round_().to(torch.uint8)
            for chunk in torch.split(images, 64)
        ]
        return torch.cat(parts).movedim(1, -1).contiguous() if parts else images

    def fit(self, features: Tensor, labels: Tensor, way: int) -> AdaptedHead:
        """Train the small network; see `Learner.fit`."""
        given = self.options
        with torch.inference_mode(False), torch.enable_grad():
            network = copy.deepcopy(self.network).requires_grad_(True)
            # Zero rows give equal probabilities before the first step.
            weight = torch.zeros(way, network.dim, requires_grad=True)
            bias = torch.zeros(way, requires_grad=True)
            learned = [*network.parameters(), weight, bias]
            optimiser = torch.optim.Adam(learned, given.learning_rate, fused=True)
            generator = torch.Generator().manual_seed(given.seed)
            images = self.recipe.normalise(features)
            share = 1 / torch.bincount(labels, minlength=way).float()
            for step in range(given.test_steps):
                optimiser.param_groups[0]["lr"] = given.learning_rate * (1 - step / given.test_steps)
                seen = moved(images, generator) if given.augment else images
                loss = F.cross_entropy(F.linear(network(seen), weight, bias), labels, weight=share)
                gradients = torch.autograd.grad(loss, learned)
                for parameter, gradient in zip(learned, gradients, strict=True):
                    parameter.grad = gradient
                optimiser.step()
        named = {f"backbone.{n}": p.detach() for n, p in network.named_parameters()}
        return self.restore({**named, "head.weight": weight.detach(), "head.bias": bias.detach()})

    def restore(self, tensors: Mapping[str, Tensor]) -> AdaptedHead:
        """See `Learner.restore`."""
        return AdaptedHead(self.network, self.recipe, dict(tensors))

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """There is none.

        Raises:
            PlanError: always.
        """
        raise PlanError(f"{self.name} learns from the labelled scans alone; there is nothing to train.")
