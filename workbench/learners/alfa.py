"""ALFA: rates and decay of every inner step are made for the task at hand.

Baik, Choi, Choi, Kim and Lee, "Meta-Learning with Adaptive Hyperparameters", NeurIPS 2020, section 3.2. For
tensor l of theta at inner step j (equation 5, with what the paper calls layers being tensors here):

``theta_{j+1,l} = beta_{j,l} theta_{j,l} - alpha_{j,l} grad_l L_support(theta_j)``

``(a_j, b_j) = g_phi(tau_j)``, ``alpha_j = alpha0_j ∘ a_j``, ``beta_j = beta0_j ∘ b_j`` (equation 6)

tau_j holds the mean of each tensor's gradient and the mean of each tensor, 2 L numbers; g_phi is a perceptron
with 2 L hidden units and 2 L outputs; alpha0 and beta0 are learned for each tensor and step. The outer loop
learns theta, phi, alpha0 and beta0.

Here ``alpha0 = learning_rate * (1 + r)`` and ``beta0 = 1 + s``, r and s learned from 0 (see `deviations` for
why, but without its stretch: g_phi moves the rates as well, and both at once were restless early in
meta-training). g_phi is 1 plus a perceptron whose last layer starts at zero, so that a fresh ALFA takes the
steps of MAML. Steps beyond those of meta-training take the last step's alpha0 and beta0.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Optimisation, full_precision
from workbench.learners.gradient import GradientLearner, InnerLoopOptions, Parameters, Update
from workbench.learners.options import options


@options
class ALFAOptions(InnerLoopOptions):
    """Settings of `ALFA`; see `InnerLoopOptions`.

    Attributes:
        test_steps: best the same as `steps`. Decay learned for that many goes on beyond them and takes theta
            with it: meta-trained with 5, ALFA was behind random filters after 10.
    """

    test_steps: int = Field(default=5, ge=1)


class ALFA(GradientLearner):
    """See the module's description. L is the number of tensors in `adapted_names`.

    Attributes:
        generator: g_phi - 1, from ``(2 L,)`` to ``(2 L,)``.
        rate_deviations, decay_deviations: r and s, ``(steps, L)``.
    """

    name: ClassVar[str] = "alfa"
    citation: ClassVar[str] = "Baik et al. 2020, section 3.2"
    options_type: ClassVar[type] = ALFAOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: ALFAOptions | None = None,
    ) -> None:
        chosen = options or ALFAOptions()
        super().__init__(backbone, recipe, optimisation or Optimisation(), chosen)
        self.options = chosen
        tensors = len(self.adapted_names())
        first, last = nn.Linear(2 * tensors, 2 * tensors), nn.Linear(2 * tensors, 2 * tensors)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.generator = nn.Sequential(first, nn.ReLU(), last)
        self.rate_deviations = nn.Parameter(torch.zeros(chosen.steps, tensors))
        self.decay_deviations = nn.Parameter(torch.zeros(chosen.steps, tensors))

    @property
    def settings(self) -> ALFAOptions:
        """See `Learner.settings`."""
        return self.options

    def update(self, start: Parameters, support: Tensor, labels: Tensor, way: int) -> Update:
        """Equation 5 with what equation 6 makes of the task's state."""
        rates = self.rate_deviations.new_tensor([self.rate(name) for name in start])
        last = self.options.steps - 1

        def step(number: int, parameters: Parameters, gradients: Parameters, _: Tensor) -> Parameters:
            made_rates, made_decays = self.generate(parameters, gradients).chunk(2)
            row = min(number, last)
            alpha = rates * (1 + self.rate_deviations[row]) * made_rates
            beta = (1 + self.decay_deviations[row]) * made_decays
            return {
                n: b * p - a * gradients[n]
                for (n, p), a, b in zip(parameters.items(), alpha.unbind(), beta.unbind(), strict=True)
            }

        return step

    def generate(self, parameters: Parameters, gradients: Parameters) -> Tensor:
        """g_phi of the state tau: ``(2 L,)``, factors of the rates and then of the decays."""
        means = [gradients[n].mean() for n in parameters] + [p.mean() for p in parameters.values()]
        return 1 + full_precision(self.generator(torch.stack(means)))
