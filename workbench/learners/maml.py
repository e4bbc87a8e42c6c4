"""Model-agnostic meta-learning, second and first order.

Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017.

Inner loop (equation 1, repeated): ``theta' = theta - alpha * grad_theta L_support(theta)``.
Outer loop (equation 2): minimise the sum over tasks of ``L_query(theta')`` with respect to theta, through
the inner gradients (second order) or taking them as constants (first order, section 5.2).

The paper's output layer has one learned row per class, which fixes the number of classes and depends on
their order. Here any number of classes will do: all rows start from one learned vector (UNICORN-MAML: Ye and
Chao, "How to Train Your MAML to Excel in Few-Shot Classification", ICLR 2022, section 5), or from the
prototypes of the support (Proto-MAML: Triantafillou et al., "Meta-Dataset", ICLR 2020, section 3:
``w_k = 2 s c_k``, ``b_k = -s |c_k|^2``, the prototypical classifier written as a linear layer).

BatchNorm is never in training mode inside an episode: its running statistics are refreshed once per outer
step on meta-training images and frozen everywhere else, so that no reading depends on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from workbench.backbones import Backbone, BackboneSpec
from workbench.data.pool import LabelledBatch, MetaBatch
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Learner, Loss, Optimisation, frozen, full_precision
from workbench.learners.options import options
from workbench.learners.prototypical import prototypes

Parameters = dict[str, Tensor]


@options
class MAMLOptions:
    """Settings of `MAML`.

    Attributes:
        first_order: take the inner gradients as constants.
        prototypes: start the output layer from the support's prototypes instead of one learned vector.
        scale: s above, at the start of meta-training, which learns it.
        keep_statistics: leave the normaliser statistics of a pre-trained backbone as they are, instead of
            following them over the few conditions of each meta-batch.
        learning_rate: alpha above.
        head_learning_rate: alpha of the output layer; 0 for the same. Embeddings of unit length need a larger
            one there, since its gradient grows with their length.
        steps: inner steps in meta-training.
        test_steps: inner steps when adapting to a new condition.
    """

    first_order: bool = False
    prototypes: bool = False
    scale: float = Field(default=1.0, gt=0)
    keep_statistics: bool = False
    learning_rate: float = Field(default=0.05, gt=0)
    head_learning_rate: float = Field(default=0.0, ge=0)
    steps: int = Field(default=5, ge=1)
    test_steps: int = Field(default=10, ge=1)


def inner_loop(
    loss: Callable[[Parameters], Tensor],
    parameters: Parameters,
    learning_rates: Mapping[str, float],
    steps: int,
    first_order: bool,
) -> Parameters:
    """Gradient descent on the support loss (equation 1).

    Args:
        loss: support loss as a function of the parameters.
        parameters: theta, by name; not changed.
        learning_rates: alpha of each parameter, by name.
        steps: number of steps.
        first_order: cut the graph at each inner gradient, so that d theta' / d theta is the identity.

    Returns:
        theta', connected to `parameters` in the graph.
    """
    names = list(parameters)
    adapted = dict(parameters)
    for _ in range(steps):
        gradients = torch.autograd.grad(
            loss(adapted), [adapted[n] for n in names], create_graph=not first_order
        )
        adapted = {n: adapted[n] - learning_rates[n] * g for n, g in zip(names, gradients, strict=True)}
    return adapted


class MAMLHead(Head):
    """The whole network after the inner loop.

    Args:
        backbone: whose architecture (and frozen normaliser statistics) are used.
        recipe: normalises images.
        parameters: theta'; backbone parameters and the output layer's ``head.weight`` ``(way, d)`` and
            ``head.bias`` ``(way,)``.
    """

    def __init__(self, backbone: Backbone, recipe: Recipe, parameters: Parameters) -> None:
        self.backbone = backbone
        self.recipe = recipe
        self.parameters = parameters

    def logits(self, features: Tensor) -> Tensor:
        """Output of the adapted network for uint8 images."""
        return F.linear(self.embed(features), self.parameters["head.weight"], self.parameters["head.bias"])

    def embed(self, features: Tensor) -> Tensor:
        """Embeddings by the adapted backbone."""
        images = self.recipe.normalise(features)
        embeddings: Tensor = functional_call(self.backbone, _of_backbone(self.parameters), (images,))
        return embeddings

    def tensors(self) -> dict[str, Tensor]:
        """All adapted parameters."""
        return {name: value.detach() for name, value in self.parameters.items()}


class MAML(Learner):
    """See the module's description. Its `features` are the images themselves."""

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
        super().__init__(backbone, recipe, optimisation or Optimisation())
        self.options = options or MAMLOptions()
        self.inner_steps = self.options.test_steps
        # Zero rows give equal probabilities before the first step, whatever the backbone.
        learned = not self.options.prototypes
        self.head_row = torch.nn.Parameter(torch.zeros(1, self.backbone.dim), requires_grad=learned)
        log_scale = torch.tensor(self.options.scale).log()
        self.log_scale = torch.nn.Parameter(log_scale, requires_grad=not learned)

    def features(self, images: Tensor) -> Tensor:
        """The uint8 images: the inner loop changes the backbone, so nothing can be embedded beforehand."""
        return images

    def initial(self, images: Tensor, labels: Tensor, way: int) -> Parameters:
        """theta for a task of `way` classes; its support decides nothing but prototypes."""
        start: Parameters = {f"backbone.{n}": p for n, p in self.backbone.named_parameters()}
        # clone() gives each task its own node, so that gradients of the rows add up in `head_row`.
        start["head.weight"] = self.head_row.expand(way, -1).clone()
        start["head.bias"] = self.head_row.new_zeros(way)
        if self.options.prototypes:
            centres = prototypes(full_precision(self.embed(images)), labels, way)
            scale = self.log_scale.exp()
            start["head.weight"] = 2 * scale * centres
            start["head.bias"] = -scale * centres.square().sum(1)
        # The inner loop differentiates by every entry, also by those that nothing was learned for.
        return {n: p if p.requires_grad else p.requires_grad_() for n, p in start.items()}

    @property
    def settings(self) -> MAMLOptions:
        """See `Learner.settings`."""
        return self.options

    def fit(self, features: Tensor, labels: Tensor, way: int) -> MAMLHead:
        """The inner loop with the steps meant for a new condition; see `Learner.fit`."""
        # No outer gradient is taken here, so the inner ones need no graph of their own.
        with torch.inference_mode(False), torch.enable_grad():
            head = self._descend(features, labels, way, self.options.test_steps, first_order=True)
        return MAMLHead(head.backbone, head.recipe, {n: p.detach() for n, p in head.parameters.items()})

    def restore(self, tensors: Mapping[str, Tensor]) -> MAMLHead:
        """See `Learner.restore`."""
        return MAMLHead(self.backbone, self.recipe, dict(tensors))

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Mean query loss after adaptation (equation 2); tasks one after the other.

        A vmapped loop turns per-task filters into grouped convolutions and is no faster on a CPU.
        """
        assert isinstance(batch, MetaBatch)
        if not self.options.keep_statistics:
            self._refresh_statistics(batch.images)
        losses, hits = [], []
        with frozen(self):
            for task in batch.tasks():
                head = self._descend(
                    task.support, task.support_labels, task.way, self.options.steps, self.options.first_order
                )
                logits = full_precision(head.logits(task.query))
                losses.append(F.cross_entropy(logits, task.query_labels))
                hits.append((logits.argmax(1) == task.query_labels).float().mean())
        return Loss(torch.stack(losses).mean(), torch.stack(hits).mean())

    def _descend(self, images: Tensor, labels: Tensor, way: int, steps: int, first_order: bool) -> MAMLHead:
        def support_loss(parameters: Parameters) -> Tensor:
            logits = MAMLHead(self.backbone, self.recipe, parameters).logits(images)
            return F.cross_entropy(full_precision(logits), labels)

        start = self.initial(images, labels, way)
        rates = {name: self._rate(name) for name in start}
        adapted = inner_loop(support_loss, start, rates, steps, first_order)
        return MAMLHead(self.backbone, self.recipe, adapted)

    def _rate(self, name: str) -> float:
        head = self.options.head_learning_rate
        return head if head and name.startswith("head.") else self.options.learning_rate

    def _refresh_statistics(self, images: Tensor) -> None:
        if any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in self.backbone.modules()):
            with torch.no_grad():
                self.backbone.train()
                self.embed(images)


def _of_backbone(parameters: Parameters) -> Parameters:
    prefix = "backbone."
    return {n.removeprefix(prefix): p for n, p in parameters.items() if n.startswith(prefix)}
