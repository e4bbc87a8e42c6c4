"""Meta-LSTM: the inner loop is a recurrent cell whose memory is theta.

Ravi and Larochelle, "Optimization as a Model for Few-Shot Learning", ICLR 2017, section 3.2 and appendix C.
Each coordinate of theta is the memory of a cell, and all share the cell's weights:

``theta_t = f_t theta_{t-1} - i_t grad_t`` (equation 2 with the candidate set to the negative gradient)

``i_t = sigmoid(W_I [h_t, theta_{t-1}, i_{t-1}] + b_I)``, ``f_t = sigmoid(W_F [h_t, theta_{t-1}, f_{t-1}] +
b_F)``, where h_t is the state of an ordinary LSTM, the first of two layers, that reads the coordinate's
gradient and the support loss, each as two numbers (`preprocessed`). Gradients and losses count as constants
in the outer gradient, which reaches the cell through f and i and theta_0 through f (section 3.3).

At the start ``f = forget`` (near 1) and ``i = learning_rate``, by b_F and b_I, all other weights being small:
gradient descent with a little decay. Beyond the paper, a `head_learning_rate` multiplies i_t of the output
layer by its ratio to `learning_rate`, since i_t stays below 1.

The cell has seen `steps` steps in meta-training. Its gates depend on its state, so other numbers of steps
when adapting are extrapolation: fewer stop half-way, more go on with gates that nothing taught.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from workbench.backbones import BackboneSpec
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Optimisation
from workbench.learners.gradient import GradientLearner, InnerLoopOptions, Parameters, Update
from workbench.learners.options import options

_CHUNK = 8192
"""Coordinates that go through the cell at once. Where there are more, the outer gradient computes the cell
again instead of keeping its insides: 160 numbers for each coordinate, step and task."""

CellState = tuple[Tensor, Tensor, Tensor, Tensor]
"""h and its LSTM's memory, ``(hidden, n)`` each, and i and f, ``(n,)`` each, of the step before."""


@options
class MetaLSTMOptions(InnerLoopOptions):
    """Settings of `MetaLSTM`; see `InnerLoopOptions`.

    Attributes:
        first_order: cannot be switched off.
        learning_rate: i at the start; below 1.
        forget: f at the start, between 0 and 1.
        hidden: length of h.
        test_steps: best the same as `steps`.
    """

    first_order: bool = True
    learning_rate: float = Field(default=0.05, gt=0, lt=1)
    forget: float = Field(default=0.999, gt=0, lt=1)
    hidden: int = Field(default=20, ge=1)
    test_steps: int = Field(default=5, ge=1)

    @field_validator("first_order")
    @classmethod
    def _no_second_order(cls, value: bool) -> bool:
        if not value:
            raise ValueError("Meta-LSTM takes inner gradients as constants; leave first_order at true")
        return value


def preprocessed(values: Tensor, p: float = 10.0) -> Tensor:
    """Size and sign of numbers of any magnitude, as two numbers of magnitude 1 (appendix C, p as there).

    ``(log|x| / p, sign x)`` where ``|x| >= e^-p``, else ``(-1, e^p x)``.

    Returns:
        ``(..., 2)``.
    """
    size = values.abs()
    large = size >= math.exp(-p)
    # log of the bound, not of zero, where the other branch is taken.
    first = torch.where(large, size.clamp_min(math.exp(-p)).log() / p, -1.0)
    return torch.stack([first, torch.where(large, values.sign(), values * math.exp(p))], dim=-1)


class Cell(nn.Module):
    """The two layers above for any number of coordinates.

    Args:
        hidden: length of h.
        forget: f at the start.
        rate: i at the start.
    """

    def __init__(self, hidden: int, forget: float, rate: float) -> None:
        super().__init__()
        self.first = nn.LSTMCell(4, hidden)
        self.keep = nn.Linear(hidden + 2, 1)
        self.take = nn.Linear(hidden + 2, 1)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.01, 0.01)
        nn.init.constant_(self.keep.bias, math.log(forget / (1 - forget)))
        nn.init.constant_(self.take.bias, math.log(rate / (1 - rate)))

    def fresh(self, theta: Tensor) -> CellState:
        """The state before the first step, of coordinates ``(n,)``: zeros."""
        zeros = theta.new_zeros(self.first.hidden_size, len(theta))
        return zeros, zeros, theta.new_zeros(len(theta)), theta.new_zeros(len(theta))

    def forward(self, theta: Tensor, gradient: Tensor, loss: Tensor, state: CellState) -> CellState:
        """The state after a step; its last two tensors are i and f of this step.

        Args:
            theta: ``(n,)``.
            gradient: ``(n,)``.
            loss: one number.
            state: after the step before.
        """
        hidden, memory, taken, kept = state
        # In half precision there is nothing between f = 0.996 and 1.
        with torch.autocast(theta.device.type, enabled=False):
            hidden, memory = self._read(gradient, loss, hidden, memory)
            take = self._gate(self.take, hidden, theta, taken)
            return hidden, memory, take, self._gate(self.keep, hidden, theta, kept)

    def _read(self, gradient: Tensor, loss: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """What ``first`` does, with a row for each unit instead of one for each coordinate.

        Each gate is then one piece of memory, which takes half the time.
        """
        lstm = self.first
        of_gradient, of_loss = torch.split(lstm.weight_ih, 2, dim=1)
        # The loss is the same for all coordinates, so what it adds is part of the bias.
        bias = lstm.bias_ih + lstm.bias_hh + of_loss @ preprocessed(loss)
        weights = torch.cat([of_gradient, lstm.weight_hh], dim=1)
        given = torch.cat([preprocessed(gradient).T, hidden])
        take, keep, candidate, show = torch.split(
            torch.addmm(bias[:, None], weights, given), lstm.hidden_size
        )
        memory = keep.sigmoid() * memory + take.sigmoid() * candidate.tanh()
        return show.sigmoid() * memory.tanh(), memory

    @staticmethod
    def _gate(layer: nn.Linear, hidden: Tensor, theta: Tensor, before: Tensor) -> Tensor:
        """Sigmoid of ``layer`` on [h, theta, the gate of the step before], ``(n,)``."""
        of_hidden, of_theta, of_before = torch.split(layer.weight[0], [len(hidden), 1, 1])
        logits: Tensor = of_hidden @ hidden + of_theta * theta + of_before * before + layer.bias
        return logits.sigmoid()


class MetaLSTM(GradientLearner):
    """See the module's description.

    Attributes:
        cell: shared by all coordinates of theta.
    """

    name: ClassVar[str] = "meta-lstm"
    citation: ClassVar[str] = "Ravi and Larochelle 2017, section 3.2 and appendix C"
    options_type: ClassVar[type] = MetaLSTMOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: MetaLSTMOptions | None = None,
    ) -> None:
        chosen = options or MetaLSTMOptions()
        super().__init__(backbone, recipe, optimisation or Optimisation(), chosen)
        self.options = chosen
        self.cell = Cell(chosen.hidden, chosen.forget, chosen.learning_rate)

    @property
    def settings(self) -> MetaLSTMOptions:
        """See `Learner.settings`."""
        return self.options

    def update(self, start: Parameters, support: Tensor, labels: Tensor, way: int) -> Update:
        """One step of the cell; its state is the task's own."""
        ratios = {name: self.rate(name) / self.options.learning_rate for name in start}
        sizes = [p.numel() for p in start.values()]
        states = [self.cell.fresh(part) for part in torch.split(_flat(start), _CHUNK)]

        def step(_: int, parameters: Parameters, gradients: Parameters, loss: Tensor) -> Parameters:
            thetas = torch.split(_flat(parameters), _CHUNK)
            slopes = torch.split(_flat(gradients).detach(), _CHUNK)
            told = loss.detach().to(slopes[0].dtype)
            for number, (theta, slope) in enumerate(zip(thetas, slopes, strict=True)):
                states[number] = self._stepped(theta, slope, told, states[number])
            taken = torch.split(torch.cat([state[2] for state in states]), sizes)
            kept = torch.split(torch.cat([state[3] for state in states]), sizes)
            return {
                n: f.view_as(p) * p - ratios[n] * i.view_as(p) * gradients[n].detach()
                for (n, p), i, f in zip(parameters.items(), taken, kept, strict=True)
            }

        return step

    def _stepped(self, theta: Tensor, gradient: Tensor, loss: Tensor, state: CellState) -> CellState:
        if len(theta) < _CHUNK or not torch.is_grad_enabled():
            after: CellState = self.cell(theta, gradient, loss, state)
        else:
            after = checkpoint(
                self.cell, theta, gradient, loss, state, use_reentrant=False, preserve_rng_state=False
            )
        return after


def _flat(tensors: Parameters) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors.values()])
