"""Almost no inner loop: MAML whose inner loop changes the output layer only.

Raghu, Raghu, Bengio and Vinyals, "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of
MAML", ICLR 2020, section 4.

With embeddings z of a body f that the inner loop leaves alone, and an output layer h = (W, b):
``h_{j+1} = h_j - alpha * grad_h L_support(W z + b)``. The outer objective is MAML's, ``L_query`` at the last
h, and its gradient reaches the body through z: that of the query and, by way of the inner gradients, that of
the support.

The body embeds each image once, so that an adaptation costs a few small matrix products and a model file
holds an output layer only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Learner, Optimisation, full_precision
from workbench.learners.gradient import GradientLearner, InnerLoopOptions, Parameters, Update, descend
from workbench.learners.options import options


@options
class ANILOptions(InnerLoopOptions):
    """Settings of `ANIL`; see `InnerLoopOptions`.

    The inner loop changes the output layer only, at `head_learning_rate` or, where 0, `learning_rate`.
    """


class LinearHead(Head):
    """An output layer on embeddings.

    Args:
        parameters: ``head.weight`` ``(way, d)`` and ``head.bias`` ``(way,)``.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def logits(self, features: Tensor) -> Tensor:
        """``W z + b``."""
        return F.linear(features, self.parameters["head.weight"], self.parameters["head.bias"])

    def tensors(self) -> dict[str, Tensor]:
        """Weight and bias."""
        return {name: value.detach() for name, value in self.parameters.items()}


class ANIL(GradientLearner):
    """See the module's description. Its `features` are embeddings."""

    name: ClassVar[str] = "anil"
    citation: ClassVar[str] = "Raghu et al. 2020, section 4"
    options_type: ClassVar[type] = ANILOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: ANILOptions | None = None,
    ) -> None:
        chosen = options or ANILOptions()
        super().__init__(backbone, recipe, optimisation or Optimisation(), chosen)
        self.options = chosen

    @property
    def settings(self) -> ANILOptions:
        """See `Learner.settings`."""
        return self.options

    def features(self, images: Tensor) -> Tensor:
        """Embeddings, without gradient; see `Learner.features`."""
        return Learner.features(self, images)

    def inputs(self, prepared: Tensor) -> Tensor:
        """Embeddings with gradient; support and query are embedded apart from each other."""
        return full_precision(self.embed(prepared))

    def adapts(self, name: str) -> bool:
        """The output layer only."""
        return name.startswith("head.")

    def initial(self, images: Tensor, labels: Tensor, way: int) -> Parameters:
        """theta_0 of the output layer; `images` are embeddings ``(n, d)``."""
        start = self.prototype_head(images, labels, way) if self.inner.prototypes else self.row_head(way)
        return {n: p if p.requires_grad else p.requires_grad_() for n, p in start.items()}

    def update(self, start: Parameters, support: Tensor, labels: Tensor, way: int) -> Update:
        """Gradient descent."""
        return descend({name: self.rate(name) for name in start})

    def head(self, parameters: Parameters) -> LinearHead:
        """An output layer that reads embeddings."""
        return LinearHead(parameters)

    def restore(self, tensors: Mapping[str, Tensor]) -> LinearHead:
        """See `Learner.restore`."""
        return LinearHead(dict(tensors))
