"""Body only update in the inner loop.

Oh, Yoo, Kim and Yun, "BOIL: Towards Representation Change for Few-shot Learning", ICLR 2021, section 3.

``theta'_body = theta_body - alpha * grad_{theta_body} L_support(theta_body, theta_head)`` (repeated) with
``theta'_head = theta_head``; the outer loop is MAML's and learns both. The body must come to give embeddings
that a fixed output layer tells apart, where MAML mostly refits the output layer to embeddings that hardly
change.

A fixed output layer has to differ by class, and the paper's has one learned row for each of a fixed number
of classes. Here any number will do, so the rows are the prototypes of the support as the body embeds it at
the start of the inner loop (w_k = 2 s c_k, b_k = -s |c_k|^2), and they stay where they are during the inner
loop. The outer loop learns s, and the body through the prototypes as well.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator
from torch import Tensor

from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Optimisation
from workbench.learners.gradient import GradientLearner, InnerLoopOptions, Parameters, Update, descend
from workbench.learners.options import options


@options
class BOILOptions(InnerLoopOptions):
    """Settings of `BOIL`; see `InnerLoopOptions`.

    Attributes:
        prototypes: cannot be switched off.
        head_learning_rate: cannot be set.
    """

    prototypes: bool = True
    head_learning_rate: float = Field(default=0.0, ge=0)

    @field_validator("prototypes")
    @classmethod
    def _rows_differ(cls, value: bool) -> bool:
        if not value:
            raise ValueError(
                "BOIL keeps the output layer as it starts, and one learned vector for all classes would give "
                "every class the same logit for good; leave prototypes at true"
            )
        return value

    @field_validator("head_learning_rate")
    @classmethod
    def _head_rests(cls, value: float) -> float:
        if value:
            raise ValueError("BOIL's inner loop does not change the output layer; use maml to change both")
        return value


class BOIL(GradientLearner):
    """See the module's description."""

    name: ClassVar[str] = "boil"
    citation: ClassVar[str] = "Oh et al. 2021, section 3"
    options_type: ClassVar[type] = BOILOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: BOILOptions | None = None,
    ) -> None:
        chosen = options or BOILOptions()
        super().__init__(backbone, recipe, optimisation or Optimisation(), chosen)
        self.options = chosen

    @property
    def settings(self) -> BOILOptions:
        """See `Learner.settings`."""
        return self.options

    def adapts(self, name: str) -> bool:
        """The body only."""
        return not name.startswith("head.")

    def update(self, start: Parameters, support: Tensor, labels: Tensor, way: int) -> Update:
        """Gradient descent."""
        return descend({name: self.rate(name) for name in start})
