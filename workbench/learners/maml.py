"""Model-agnostic meta-learning, second and first order.

Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017.

Inner loop (equation 1, repeated): ``theta' = theta - alpha * grad_theta L_support(theta)``.
Outer loop (equation 2): minimise the sum over tasks of ``L_query(theta')`` with respect to theta, through
the inner gradients (second order) or taking them as constants (first order, section 5.2).
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Optimisation
from workbench.learners.gradient import GradientLearner, InnerLoopOptions, Parameters, Update, descend
from workbench.learners.options import options


@options
class MAMLOptions(InnerLoopOptions):
    """Settings of `MAML`; see `InnerLoopOptions`."""


class MAML(GradientLearner):
    """See the module's description."""

    name: ClassVar[str] = "maml"
    citation: ClassVar[str] = "Finn et al. 2017, equations 1 and 2; Ye and Chao 2022, section 5"
    options_type: ClassVar[type] = MAMLOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: MAMLOptions | None = None,
    ) -> None:
        chosen = options or MAMLOptions()
        super().__init__(backbone, recipe, optimisation or Optimisation(), chosen)
        self.options = chosen

    @property
    def settings(self) -> MAMLOptions:
        """See `Learner.settings`."""
        return self.options

    def update(self, start: Parameters, support: Tensor, labels: Tensor, way: int) -> Update:
        """Equation 1."""
        return descend({name: self.rate(name) for name in start})
