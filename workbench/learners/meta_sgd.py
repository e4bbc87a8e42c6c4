"""Meta-SGD: the rate and the direction of every inner step are learned.

Li, Zhou, Chen and Li, "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", 2017, equation 2 and
algorithm 1: ``theta' = theta - alpha ∘ grad_theta L_support(theta)``, with alpha of the shape of theta,
learned with it by the outer loop ``min over (theta, alpha) of the sum over tasks of L_query(theta')``. A
number of alpha may become negative, so that its coordinate moves against the gradient.

Here alpha is ``learning_rate * (1 + 10 r)``, r learned from 0 (see `deviations` for why). The paper takes
one inner step; with several, all share alpha. Of the output layer, which has one learned row for any number
of classes, alpha has one row ``(1, d)`` and one number for the biases.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Optimisation
from workbench.learners.deviations import STRETCH, shapes, slot, stretched
from workbench.learners.gradient import GradientLearner, InnerLoopOptions, Parameters, Update, descend
from workbench.learners.options import options


@options
class MetaSGDOptions(InnerLoopOptions):
    """Settings of `MetaSGD`; see `InnerLoopOptions`.

    Attributes:
        spread: each number of alpha starts somewhere in ``learning_rate * [1 - spread, 1 + spread]``, drawn
            uniformly; 0 for all at `learning_rate`. The paper draws alpha from a range too.
    """

    spread: float = Field(default=0.0, ge=0, le=1)


class MetaSGD(GradientLearner):
    """See the module's description.

    Attributes:
        deviations: r, of the shape of theta, by names whose dots are slashes.
    """

    name: ClassVar[str] = "meta-sgd"
    citation: ClassVar[str] = "Li et al. 2017, equation 2 and algorithm 1"
    options_type: ClassVar[type] = MetaSGDOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: MetaSGDOptions | None = None,
    ) -> None:
        chosen = options or MetaSGDOptions()
        super().__init__(backbone, recipe, optimisation or Optimisation(), chosen)
        self.options = chosen
        self.deviations = nn.ParameterDict({slot(n): torch.zeros(s) for n, s in shapes(self).items()})
        if chosen.spread:
            for deviation in self.deviations.values():
                nn.init.uniform_(deviation, -chosen.spread / STRETCH, chosen.spread / STRETCH)

    @property
    def settings(self) -> MetaSGDOptions:
        """See `Learner.settings`."""
        return self.options

    def rates(self) -> dict[str, Tensor]:
        """alpha by name, of the shapes of theta; ``head.weight`` ``(1, d)``, ``head.bias`` ``(1,)``."""
        return {n: stretched(self.rate(n), self.deviations[slot(n)]) for n in self.adapted_names()}

    def update(self, start: Parameters, support: Tensor, labels: Tensor, way: int) -> Update:
        """Equation 2."""
        return descend(self.rates())
