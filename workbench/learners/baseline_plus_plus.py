"""Baseline++: a cosine classifier on a frozen encoder, trained by gradient descent on the support.

Chen et al., "A Closer Look at Few-shot Classification", ICLR 2019 (Baseline++).

Each class has a weight vector, and an image's score is the scaled cosine between them: ``logit_k = s cos(z,
w_k)``. Adaptation takes `test_steps` steps of gradient descent with momentum on ``L = sum_i a_i
CE(logits_i, y_i)``, where a_i makes the classes count the same and sums to 1. As the cosine does not see
the length of w_k, the gradient is at right angles to it: with ``G = dL / d(w_k / |w_k|)``, ``dL / dw_k = (G
- (G . w_k / |w_k|) w_k / |w_k|) / |w_k|``.

The paper takes 100 iterations on batches of four from a random start. Here all images are in each step and
w_k starts from the class mean of the unit-length embeddings, so that nothing is random and any number of
classes will do. All steps stay in the span of the support, where they are computed: n numbers per class
instead of d.

Meta-training is supervised (`workbench.learners.supervised`) with a cosine softmax, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Optimisation
from workbench.learners.options import options
from workbench.learners.prototypical import prototypes
from workbench.learners.supervised import SupervisedLearner, SupervisedOptions

_TRAINING_SCALE = 10.0
"""s of the meta-training softmax."""


@options
class BaselinePlusPlusOptions(SupervisedOptions):
    """Settings of `BaselinePlusPlus`.

    Attributes:
        scale: s above.
        learning_rate, momentum: of gradient descent on the support.
        test_steps: its steps.
        contrast: as in `SupervisedOptions`; the paper has none.
        temperature, classes: of meta-training; see `SupervisedOptions`.
    """

    scale: float = Field(default=10.0, gt=0)
    learning_rate: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    test_steps: int = Field(default=100, ge=1)
    contrast: float = Field(default=0.0, ge=0)


class CosineHead(Head):
    """``s cos(z, w_k)``.

    Args:
        weight: of unit length, ``(way, d)``.
        scale: scalar.
    """

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        self.weight, self.scale = weight, scale

    def logits(self, features: Tensor) -> Tensor:
        """Scaled cosines."""
        return self.scale * F.linear(F.normalize(features, dim=1), self.weight)

    def tensors(self) -> dict[str, Tensor]:
        """Weights and scale."""
        return {"weight": self.weight, "scale": self.scale}


class CosineLayer(nn.Module):
    """The meta-training softmax: scaled cosines with one learned vector per class.

    Args:
        dim: length of embeddings.
        classes: of all conditions together.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, dim) / dim**0.5)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of embeddings ``(n, dim)``."""
        return _TRAINING_SCALE * F.linear(F.normalize(embeddings, dim=1), F.normalize(self.weight, dim=1))


def cosine_gradient(weight: Tensor, z: Tensor, labels: Tensor, scale: float) -> Tensor:
    """``dL / dw`` of the module's description.

    Args:
        weight: ``(way, d)``, of any length.
        z: unit-length embeddings ``(n, d)``.
        labels: int64 ``(n,)``; every class occurs.
        scale: s.
    """
    way = len(weight)
    length = weight.norm(dim=1, keepdim=True).clamp_min(1e-12)
    unit = weight / length
    share = 1 / (way * torch.bincount(labels, minlength=way).to(z.dtype))[labels]
    wrong = F.softmax(scale * z @ unit.T, dim=1) - F.one_hot(labels, way)
    outward = scale * (wrong * share[:, None]).T @ z
    gradient: Tensor = (outward - (outward * unit).sum(1, keepdim=True) * unit) / length
    return gradient


class BaselinePlusPlus(SupervisedLearner):
    """See the module's description."""

    name: ClassVar[str] = "baseline-plus-plus"
    citation: ClassVar[str] = "Chen et al. 2019 (Baseline++)"
    options_type: ClassVar[type] = BaselinePlusPlusOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: BaselinePlusPlusOptions | None = None,
    ) -> None:
        self.options = options or BaselinePlusPlusOptions()
        super().__init__(backbone, recipe, optimisation, self.options)
        self.inner_steps = self.options.test_steps

    @property
    def settings(self) -> BaselinePlusPlusOptions:
        """See `Learner.settings`."""
        return self.options

    @staticmethod
    def classification_layer(dim: int, classes: int) -> nn.Module:
        """See `SupervisedLearner.classification_layer`."""
        return CosineLayer(dim, classes)

    def fit(self, features: Tensor, labels: Tensor, way: int) -> CosineHead:
        """Gradient descent on the support; see `Learner.fit`."""
        given = self.options
        z = F.normalize(features.detach().double(), dim=1)
        q, r = torch.linalg.qr(z.T)  # z.T = q r: the columns of q span the support
        z = r.T
        weight = F.normalize(prototypes(z, labels, way), dim=1)
        velocity = torch.zeros_like(weight)
        for _ in range(given.test_steps):
            velocity = given.momentum * velocity + cosine_gradient(weight, z, labels, given.scale)
            weight = weight - given.learning_rate * velocity
        unit = F.normalize(weight, dim=1) @ q.T
        return CosineHead(unit.float(), torch.tensor(given.scale))

    def restore(self, tensors: Mapping[str, Tensor]) -> CosineHead:
        """See `Learner.restore`."""
        return CosineHead(tensors["weight"], tensors["scale"])
