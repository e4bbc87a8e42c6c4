"""Model-agnostic meta-learning, second and first order, and the additions of MAML++.

Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017.

Inner loop (equation 1, repeated): ``theta' = theta - alpha * grad_theta L_support(theta)``.
Outer loop (equation 2): minimise the sum over tasks of ``L_query(theta')`` with respect to theta, through
the inner gradients (second order) or taking them as constants (first order, section 5.2).

Antoniou, Edwards and Storkey, "How to Train Your MAML", ICLR 2019, section 4, each on its own:

Multi-step loss: ``sum_j v_j L_query(theta_j)`` over the inner steps j = 1..N, with v moving linearly from
1 / N each to the last step only (`step_weights`).
Per-layer per-step rates: ``theta_{j+1} = theta_j - alpha_{l,j} * grad``, one learned rate for each tensor l
and step j, here ``alpha exp(r_{l,j})``, r starting at 0, so that rates stay positive. Steps beyond those of
meta-training take the last step's.
Derivative-order annealing: first order at the beginning of meta-training, second order after it.

The rest of that section holds here for every method (cosine annealing of the outer rate) or for none:
BatchNorm statistics and biases for each step presuppose normalising by the batch at hand, and here
statistics are frozen whenever a model adapts or reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.data.pool import Task
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Optimisation, full_precision
from workbench.learners.gradient import GradientLearner, InnerLoopOptions, Parameters, Update, descend
from workbench.learners.options import options


@options
class MAMLOptions(InnerLoopOptions):
    """Settings of `MAML`; see `InnerLoopOptions`.

    Attributes:
        multi_step_loss: share of meta-training (0 to 1) over which the queries are read after every inner
            step, with weights that move to the last; 0 reads them after the last step only.
        per_step_rates: learn a rate for each tensor and inner step, from `learning_rate` and
            `head_learning_rate`.
        annealed_order: share of meta-training (0 to 1) that is first order before the rest is second order.
    """

    multi_step_loss: float = Field(default=0.0, ge=0, le=1)
    per_step_rates: bool = False
    annealed_order: float = Field(default=0.0, ge=0, le=1)


def step_weights(steps: int, progress: float, share: float) -> tuple[float, ...]:
    """Weights v of the query losses after each inner step; they sum to 1.

    ``v_j = (1 - t) / N`` for j < N and the rest for j = N, with ``t = min(1, progress / share)``.

    Args:
        steps: N.
        progress: share of meta-training that is done, 0 to 1.
        share: of meta-training at which only the last step is left; 0 for from the beginning.
    """
    left = max(0.0, 1 - progress / share) if share else 0.0
    return (left / steps,) * (steps - 1) + (1 - left * (steps - 1) / steps,)


class MAML(GradientLearner):
    """See the module's description."""

    name: ClassVar[str] = "maml"
    citation: ClassVar[str] = (
        "Finn et al. 2017, equations 1 and 2; Ye and Chao 2022, section 5; Antoniou et al. 2019, section 4"
    )
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
        if chosen.per_step_rates:
            # One tensor, in the order of `adapted_names`: names with dots cannot name parameters. Decay of
            # the outer optimiser pulls r to 0, which is the rate of the options.
            self.log_rates = torch.nn.Parameter(torch.zeros(len(self.adapted_names()), chosen.steps))

    @property
    def settings(self) -> MAMLOptions:
        """See `Learner.settings`."""
        return self.options

    @property
    def title(self) -> str:
        """What the literature calls these options, for tables: ``maml``, ``fomaml``, ``proto-maml++``, ..."""
        chosen = self.options
        plus = chosen.multi_step_loss or chosen.per_step_rates or chosen.annealed_order
        start, order = "proto-" * chosen.prototypes, "fo" * chosen.first_order
        return f"{start}{order}maml{'++' if plus else ''}"

    def first_order(self) -> bool:
        """Always, never, or at the beginning of meta-training."""
        return self.options.first_order or self.progress < self.options.annealed_order

    def update(self, start: Parameters, support: Tensor, labels: Tensor, way: int) -> Update:
        """Equation 1, with one rate or with learned rates."""
        fixed = {name: self.rate(name) for name in start}
        if not self.options.per_step_rates:
            return descend(fixed)
        factors = dict(zip(self.adapted_names(), self.log_rates.exp().unbind(), strict=True))
        last = self.options.steps - 1

        def step(number: int, parameters: Parameters, gradients: Parameters, loss: Tensor) -> Parameters:
            rates = {n: fixed[n] * factors[n][min(number, last)] for n in parameters}
            return descend(rates)(number, parameters, gradients, loss)

        return step

    def outer_loss(self, path: Sequence[Parameters], task: Task) -> tuple[Tensor, Tensor]:
        """Query loss after the last step, or the weighted sum over steps."""
        last, logits = super().outer_loss(path, task)
        *weights, final = step_weights(len(path), self.progress, self.options.multi_step_loss)
        if final == 1:
            return last, logits
        losses = [
            weight * F.cross_entropy(full_precision(self.head(theta).logits(task.query)), task.query_labels)
            for weight, theta in zip(weights, path[:-1], strict=True)
        ]
        return torch.stack([*losses, final * last]).sum(), logits
