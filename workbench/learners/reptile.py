"""Reptile: move the starting point towards where tasks lead from it.

Nichol, Achiam and Schulman, "On First-Order Meta-Learning Algorithms", 2018, algorithms 1 and 2.

For each task of a meta-batch, theta~ is what k inner steps on mini-batches of the task make of theta. The
outer step is ``theta <- theta + epsilon * mean over tasks of (theta~ - theta)``, epsilon falling linearly to
0. No gradient goes through the inner steps, and nothing sets queries apart: in meta-training the support and
the query of a task together are its data, as the paper trains on more shots than it tests on (section 6.1).
The accuracy reported in meta-training is therefore on images the inner loop has seen.

The outer step is written as a gradient, that of ``sum(theta * stop_gradient(theta - theta~))``, so that an
ordinary optimiser takes it: gradient descent of rate epsilon is the equation above. A bound on the gradient's
norm (`Optimisation.clip`) bounds ``|theta~ - theta|``: beyond it the step keeps its direction and is
shortened; 0 leaves it whole.

The inner optimiser is gradient descent, or Adam with beta_1 = 0 (section 6.1), without memory of other tasks.
All rows of the output layer start from one row, so what is learned of them is the mean of their directions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import ClassVar, Literal

import pytorch_lightning as pl
import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.data.pool import LabelledBatch, MetaBatch
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Loss, Optimisation, frozen, full_precision
from workbench.learners.gradient import (
    GradientLearner,
    InnerLoopOptions,
    Parameters,
    Update,
    descend,
    inner_steps,
)
from workbench.learners.options import options

_BETA_2, _EPSILON = 0.999, 1e-8
"""Adam's, as in Kingma and Ba 2015."""


@options
class ReptileOptions(InnerLoopOptions):
    """Settings of `Reptile`; see `InnerLoopOptions`.

    Attributes:
        first_order: cannot be switched off.
        learning_rate: of the inner optimiser.
        inner_optimiser: ``adam`` or ``sgd``.
        inner_batch: images of each inner step, taken in turn from a shuffled task; 0 for all of them.
        outer_optimiser: ``sgd``: the outer step above. ``adam``: the workbench's AdamW and its schedule
            (`Optimisation.learning_rate`), fed with the same direction.
        epsilon: of the first outer step with ``sgd``.
        steps, test_steps: inner steps in meta-training, and when adapting to a new condition.
    """

    first_order: bool = True
    learning_rate: float = Field(default=1e-3, gt=0)
    inner_optimiser: Literal["sgd", "adam"] = "adam"
    inner_batch: int = Field(default=10, ge=0)
    outer_optimiser: Literal["sgd", "adam"] = "sgd"
    epsilon: float = Field(default=1.0, gt=0, le=1)
    steps: int = Field(default=8, ge=1)
    test_steps: int = Field(default=50, ge=1)

    @field_validator("first_order")
    @classmethod
    def _no_second_order(cls, value: bool) -> bool:
        if not value:
            raise ValueError("Reptile takes no gradient through its inner steps; leave first_order at true")
        return value


def adam(rates: dict[str, float]) -> Update:
    """Adam with beta_1 = 0, from a fresh state: ``theta - rate * g / (sqrt(v_hat) + 1e-8)``.

    For use where no gradient is taken through the steps.
    """
    second: Parameters = {}

    def update(number: int, parameters: Parameters, gradients: Parameters, _: Tensor) -> Parameters:
        moved = {}
        for name, parameter in parameters.items():
            gradient = gradients[name]
            # v = beta_2 v + (1 - beta_2) g^2; v_hat = v / (1 - beta_2^t) has no bias towards the zero start.
            v = second.setdefault(name, torch.zeros_like(gradient))
            v.mul_(_BETA_2).addcmul_(gradient, gradient, value=1 - _BETA_2)
            size = (v / (1 - _BETA_2 ** (number + 1))).sqrt_().add_(_EPSILON)
            moved[name] = torch.addcdiv(parameter, gradient, size, value=-rates[name])
        return moved

    return update


def mini_batches(count: int, size: int, seed: int) -> Iterator[Tensor]:
    """Rows of one mini-batch after the other, without end: each pass over the images is shuffled anew.

    Args:
        count: images of the task.
        size: of a mini-batch; 0, or `count` and more, for all images in their order.
        seed: of the shuffling.
    """
    if not 0 < size < count:
        while True:
            yield torch.arange(count)
    generator = torch.Generator().manual_seed(seed)
    waiting = torch.empty(0, dtype=torch.int64)
    while True:
        while len(waiting) < size:
            waiting = torch.cat([waiting, torch.randperm(count, generator=generator)])
        yield waiting[:size]
        waiting = waiting[size:]


class Reptile(GradientLearner):
    """See the module's description."""

    name: ClassVar[str] = "reptile"
    citation: ClassVar[str] = "Nichol et al. 2018, algorithms 1 and 2"
    options_type: ClassVar[type] = ReptileOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: ReptileOptions | None = None,
    ) -> None:
        chosen = options or ReptileOptions()
        super().__init__(backbone, recipe, optimisation or Optimisation(), chosen)
        self.options = chosen
        # No inner step changes the scale of prototypes, so no direction for it comes out of them.
        self.log_scale.requires_grad_(False)

    @property
    def settings(self) -> ReptileOptions:
        """See `Learner.settings`."""
        return self.options

    def update(self, start: Parameters, support: Tensor, labels: Tensor, way: int) -> Update:
        """Gradient descent, or Adam from a fresh state."""
        rates = {name: self.rate(name) for name in start}
        return adam(rates) if self.options.inner_optimiser == "adam" else descend(rates)

    def fit(self, features: Tensor, labels: Tensor, way: int) -> Head:
        """The inner loop with the steps meant for a new condition; mini-batches are the same every time."""
        with torch.inference_mode(False):
            _, end = self.learn(features, labels, way, self.options.test_steps, seed=0)
        return self.head(end)

    def learn(
        self, images: Tensor, labels: Tensor, way: int, steps: int, seed: int
    ) -> tuple[Parameters, Parameters]:
        """theta and theta~ of one task, all parameters of the head, without gradient.

        Args:
            images: what `prepare` made of the task's images.
            labels: int64 ``(n,)`` in ``[0, way)``.
            way: number of classes.
            steps: k.
            seed: of the mini-batches.
        """
        with torch.no_grad():
            start = {n: p.detach() for n, p in self.initial(images, labels, way).items()}
        batches = mini_batches(len(labels), self.options.inner_batch, seed)

        def loss(parameters: Parameters) -> Tensor:
            rows = next(batches)
            logits = self.head(parameters).logits(images[rows])
            return F.cross_entropy(full_precision(logits), labels[rows])

        with torch.enable_grad():
            update = self.update(start, images, labels, way)
            path = inner_steps(loss, start, update, steps, first_order=True, outer=False)
            (end,) = deque(path, maxlen=1)
        return start, {n: p.detach() for n, p in end.items()}

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Its gradient is ``theta - mean of theta~``; its value is the mean query loss at theta~."""
        assert isinstance(batch, MetaBatch)
        batch = batch.with_images(self.prepare(batch.images))
        if not self.inner.keep_statistics:
            self._refresh_statistics(batch.images)
        tasks = batch.tasks()
        learned = {f"backbone.{n}": p for n, p in self.backbone.named_parameters() if p.requires_grad}
        if not self.inner.prototypes:
            learned["head.weight"] = self.head_row
        direction = {n: torch.zeros_like(p) for n, p in learned.items()}
        losses, hits = [], []
        with frozen(self):
            for task in tasks:
                images = torch.cat([task.support, task.query])
                labels = torch.cat([task.support_labels, task.query_labels])
                start, end = self.learn(images, labels, task.way, self.options.steps, self.global_step)
                for n, total in direction.items():
                    step = start[n] - end[n]
                    # All classes start from one row, whose direction is the mean of theirs.
                    total += (step.mean(0, keepdim=True) if n == "head.weight" else step) / len(tasks)
                with torch.no_grad():
                    logits = full_precision(self.head(end).logits(task.query))
                losses.append(F.cross_entropy(logits, task.query_labels))
                hits.append((logits.argmax(1) == task.query_labels).float().mean())
        surrogate = torch.stack([(p * direction[n]).sum() for n, p in learned.items()]).sum()
        value = surrogate - surrogate.detach() + torch.stack(losses).mean()
        return Loss(value, torch.stack(hits).mean())

    def configure_optimizers(self) -> pl.utilities.types.OptimizerLRScheduler:
        """Gradient descent with epsilon falling linearly to 0 over `Optimisation.steps`, or AdamW."""
        if self.options.outer_optimiser == "adam":
            return super().configure_optimizers()
        optimizer = torch.optim.SGD([p for p in self.parameters() if p.requires_grad], self.options.epsilon)
        steps = max(1, self.optimisation.steps)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
