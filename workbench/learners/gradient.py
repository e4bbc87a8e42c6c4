"""What learners with an inner loop share: a starting point, an update rule, steps on the support.

``theta_{j+1} = update(theta_j, gradient of the support loss at theta_j)``, from a meta-learned theta_0; the
outer objective is the query loss at the end (Finn et al. 2017, equations 1 and 2). A method is a subclass
that says which parameters the inner loop changes (`GradientLearner.adapts`) and how
(`GradientLearner.update`); what ``update`` needs beyond theta, such as learned rates, are parameters of the
learner, meta-learned with it.

The papers' output layer has one learned row per class, which fixes the number of classes and depends on
their order. Here any number of classes will do: all rows start from one learned vector (UNICORN-MAML: Ye and
Chao, "How to Train Your MAML to Excel in Few-Shot Classification", ICLR 2022, section 5), or from the
prototypes of the support (Proto-MAML: Triantafillou et al., "Meta-Dataset", ICLR 2020, section 3:
``w_k = 2 s c_k``, ``b_k = -s |c_k|^2``, the prototypical classifier written as a linear layer).

BatchNorm is never in training mode inside an episode: its running statistics are refreshed once per outer
step on meta-training images and frozen everywhere else, so that no reading depends on its neighbours. (The
normaliser ``transductive`` gives that up, for comparison with published figures.)
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from workbench.backbones import Backbone, BackboneSpec
from workbench.data.pool import LabelledBatch, MetaBatch, Task
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Head, Learner, Loss, Optimisation, frozen, full_precision
from workbench.learners.options import options
from workbench.learners.prototypical import prototypes

Parameters = dict[str, Tensor]
"""Tensors by name: those of the network as ``backbone.NAME``, and ``head.weight`` and ``head.bias``."""
Update = Callable[[int, Parameters, Parameters, Tensor], Parameters]
"""One inner step: (its number from 0, theta, gradients, support loss at theta) to the next theta."""


@options
class InnerLoopOptions:
    """Settings that every method with an inner loop has.

    Attributes:
        first_order: take the inner gradients as constants.
        prototypes: start the output layer from the support's prototypes instead of one learned vector.
        scale: s above, at the start of meta-training, which learns it.
        keep_statistics: leave the normaliser statistics of a pre-trained backbone as they are, instead of
            following them over the few conditions of each meta-batch.
        learning_rate: alpha, the size of an inner step; where a method learns its rates, their start.
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
    update: Update,
    steps: int,
    first_order: bool,
) -> tuple[Parameters, ...]:
    """Steps on the support loss (equation 1 of MAML, with any update).

    Args:
        loss: support loss as a function of the parameters.
        parameters: theta_0, by name; not changed.
        update: one step.
        steps: number of steps.
        first_order: cut the graph at each inner gradient, so that it is a constant for the outer one.

    Returns:
        theta_1 to theta_steps, connected to `parameters` in the graph.
    """
    return tuple(inner_steps(loss, parameters, update, steps, first_order))


def inner_steps(
    loss: Callable[[Parameters], Tensor],
    parameters: Parameters,
    update: Update,
    steps: int,
    first_order: bool,
    outer: bool = True,
) -> Iterator[Parameters]:
    """theta_1 to theta_steps of `inner_loop`, one by one.

    Args:
        loss, parameters, update, steps, first_order: see `inner_loop`.
        outer: whether an outer gradient will be taken. Without, every step starts from tensors that have no
            history, and nothing of the steps before it is kept.
    """
    names = list(parameters)
    adapted = dict(parameters) if outer else _leaves(parameters)
    for number in range(steps):
        value = loss(adapted)
        values = torch.autograd.grad(
            value, [adapted[n] for n in names], create_graph=outer and not first_order
        )
        gradients = dict(zip(names, values, strict=True))
        if outer:
            adapted = update(number, adapted, gradients, value)
        else:
            with torch.no_grad():
                adapted = _leaves(update(number, adapted, gradients, value.detach()))
        yield adapted


def descend(rates: Mapping[str, float | Tensor]) -> Update:
    """Plain gradient descent, with a rate for each tensor or each of its numbers."""

    def update(_: int, parameters: Parameters, gradients: Parameters, __: Tensor) -> Parameters:
        return {n: _moved(p, gradients[n], rates[n]) for n, p in parameters.items()}

    return update


def _moved(parameter: Tensor, gradient: Tensor, rate: float | Tensor) -> Tensor:
    # For a plain number, multiplication and subtraction are one pass over memory.
    if isinstance(rate, Tensor):
        return parameter - rate * gradient
    return torch.sub(parameter, gradient, alpha=rate)


def _leaves(parameters: Parameters) -> Parameters:
    return {n: p.detach().requires_grad_() for n, p in parameters.items()}


class AdaptedHead(Head):
    """The whole network after the inner loop.

    Args:
        backbone: whose architecture (and frozen normaliser statistics) are used.
        recipe: normalises images.
        parameters: what the inner loop left; parameters of the backbone that are not among them are the
            backbone's own. ``head.weight`` is ``(way, d)`` and ``head.bias`` ``(way,)``.
    """

    def __init__(self, backbone: Backbone, recipe: Recipe, parameters: Parameters) -> None:
        self.backbone = backbone
        self.recipe = recipe
        self.parameters = parameters

    def logits(self, features: Tensor) -> Tensor:
        """Output of the adapted network for what `Learner.prepare` made of images."""
        return F.linear(self.embed(features), self.parameters["head.weight"], self.parameters["head.bias"])

    def embed(self, features: Tensor) -> Tensor:
        """Embeddings by the adapted backbone."""
        prepared = features if features.is_floating_point() else self.recipe.normalise(features)
        # No backbone shares a tensor between layers, and looking for such takes longer than a neck's step.
        embeddings: Tensor = functional_call(
            self.backbone, _of_backbone(self.parameters), (prepared,), tie_weights=False
        )
        return embeddings

    def tensors(self) -> dict[str, Tensor]:
        """All adapted parameters."""
        return {name: value.detach() for name, value in self.parameters.items()}


class GradientLearner(Learner):
    """See the module's description. Its `features` are what `prepare` returns.

    A subclass has an ``__init__`` with its own options and defines `update`; it may narrow `adapts` and
    replace `inputs`, `head` or `outer_loss`.
    """

    options_type: ClassVar[type] = InnerLoopOptions

    def __init__(
        self, backbone: BackboneSpec, recipe: Recipe, optimisation: Optimisation, options: InnerLoopOptions
    ) -> None:
        super().__init__(backbone, recipe, optimisation)
        self.inner = options
        self.inner_steps = options.test_steps
        # Zero rows give equal probabilities before the first step, whatever the backbone.
        learned = not options.prototypes
        self.head_row = torch.nn.Parameter(torch.zeros(1, self.backbone.dim), requires_grad=learned)
        log_scale = torch.tensor(options.scale).log()
        self.log_scale = torch.nn.Parameter(log_scale, requires_grad=not learned)

    def features(self, images: Tensor) -> Tensor:
        """What `prepare` returns: the inner loop changes the rest."""
        return self.prepare(images)

    def adapts(self, name: str) -> bool:
        """Whether the inner loop changes the parameter of this name; all of them unless overridden."""
        return True

    @abstractmethod
    def update(self, start: Parameters, support: Tensor, labels: Tensor, way: int) -> Update:
        """The update rule for one task, made anew for each; it may keep state between its steps.

        Args:
            start: theta_0, the adapted parameters only.
            support: what `prepare` made of the support's images.
            labels: int64 ``(n,)`` in ``[0, way)``.
            way: number of classes.
        """

    def rate(self, name: str) -> float:
        """The inner step size that the options give to a parameter."""
        head = self.inner.head_learning_rate
        return head if head and name.startswith("head.") else self.inner.learning_rate

    def first_order(self) -> bool:
        """Whether this outer step takes inner gradients as constants."""
        return self.inner.first_order

    @property
    def progress(self) -> float:
        """Share of meta-training that is done, 0 to 1; 0 where no trainer is attached."""
        return min(1.0, self.global_step / max(1, self.optimisation.steps))

    def adapted_names(self) -> tuple[str, ...]:
        """Names of the parameters that the inner loop changes, in the order of the network."""
        network = [f"backbone.{n}" for n, p in self.backbone.named_parameters() if p.requires_grad]
        return tuple(n for n in (*network, "head.weight", "head.bias") if self.adapts(n))

    def initial(self, images: Tensor, labels: Tensor, way: int) -> Parameters:
        """theta_0 of a task of `way` classes, adapted or not; its support decides nothing but prototypes."""
        start: Parameters = {
            f"backbone.{n}": p for n, p in self.backbone.named_parameters() if p.requires_grad
        }
        if self.inner.prototypes:
            start |= self.prototype_head(full_precision(self.embed(images)), labels, way)
            # The prototypes are a function of the network. theta_0 has both as coordinates of their own, or
            # the first inner gradient would pass from one to the other.
            start = {n: p.view_as(p) for n, p in start.items()}
        else:
            start |= self.row_head(way)
        # The inner loop differentiates by every entry, also by those that nothing was learned for.
        return {n: p if p.requires_grad else p.requires_grad_() for n, p in start.items()}

    def row_head(self, way: int) -> Parameters:
        """An output layer whose rows are the learned one."""
        # clone() gives each task its own node, so that gradients of the rows add up in `head_row`.
        return {
            "head.weight": self.head_row.expand(way, -1).clone(),
            "head.bias": self.head_row.new_zeros(way),
        }

    def prototype_head(self, embeddings: Tensor, labels: Tensor, way: int) -> Parameters:
        """The prototypical classifier of a support as an output layer."""
        centres = prototypes(embeddings, labels, way)
        scale = self.log_scale.exp()
        return {"head.weight": 2 * scale * centres, "head.bias": -scale * centres.square().sum(1)}

    def fit(self, features: Tensor, labels: Tensor, way: int) -> Head:
        """The inner loop with the steps meant for a new condition; see `Learner.fit`."""
        with torch.inference_mode(False), torch.enable_grad():
            with torch.no_grad():
                start = {n: p.detach() for n, p in self.initial(features, labels, way).items()}
                update = self.update(self._adapted(start), features, labels, way)
            loss = self._support_loss(start, features, labels)
            steps = inner_steps(loss, self._adapted(start), update, self.inner.test_steps, True, outer=False)
            (last,) = deque(steps, maxlen=1)
        return self.head({n: p.detach() for n, p in (start | last).items()})

    def restore(self, tensors: Mapping[str, Tensor]) -> Head:
        """See `Learner.restore`."""
        return self.head(dict(tensors))

    def head(self, parameters: Parameters) -> Head:
        """The network with these parameters; it reads what `features` and `inputs` return."""
        return AdaptedHead(self.backbone, self.recipe, parameters)

    def inputs(self, prepared: Tensor) -> Tensor:
        """What meta-training reads of a task's images, differentiable, from what `prepare` made of them."""
        return prepared

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Mean over tasks of `outer_loss`; tasks one after the other.

        A vmapped loop turns per-task filters into grouped convolutions and is no faster on a CPU.
        """
        assert isinstance(batch, MetaBatch)
        batch = batch.with_images(self.prepare(batch.images))
        if not self.inner.keep_statistics:
            self._refresh_statistics(batch.images)
        losses, hits = [], []
        with frozen(self):
            for given in batch.tasks():
                task = replace(given, support=self.inputs(given.support), query=self.inputs(given.query))
                path = self.trajectory(
                    task.support, task.support_labels, task.way, self.inner.steps, self.first_order()
                )
                loss, logits = self.outer_loss(path, task)
                losses.append(loss)
                hits.append((logits.argmax(1) == task.query_labels).float().mean())
        return Loss(torch.stack(losses).mean(), torch.stack(hits).mean())

    def outer_loss(self, path: Sequence[Parameters], task: Task) -> tuple[Tensor, Tensor]:
        """What one task adds to the outer objective, and the query's logits after the last step.

        Args:
            path: parameters after each inner step.
            task: whose query is read.
        """
        logits = full_precision(self.head(path[-1]).logits(task.query))
        return F.cross_entropy(logits, task.query_labels), logits

    def trajectory(
        self, images: Tensor, labels: Tensor, way: int, steps: int, first_order: bool
    ) -> tuple[Parameters, ...]:
        """All parameters of the head after each inner step."""
        start = self.initial(images, labels, way)
        adapted = self._adapted(start)
        update = self.update(adapted, images, labels, way)
        path = inner_loop(self._support_loss(start, images, labels), adapted, update, steps, first_order)
        return tuple(start | parameters for parameters in path)

    def _adapted(self, start: Parameters) -> Parameters:
        return {n: p for n, p in start.items() if self.adapts(n)}

    def _support_loss(
        self, start: Parameters, images: Tensor, labels: Tensor
    ) -> Callable[[Parameters], Tensor]:
        def loss(parameters: Parameters) -> Tensor:
            logits = self.head(start | parameters).logits(images)
            return F.cross_entropy(full_precision(logits), labels)

        return loss

    def _refresh_statistics(self, images: Tensor) -> None:
        """Follow the running statistics of BatchNorm; the ``transductive`` normaliser keeps none."""
        layers = (m for m in self.backbone.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm))
        if any(layer.track_running_stats for layer in layers) and not self.spec.neck:
            with torch.no_grad():
                self.backbone.train()
                self.embed(images)


def _of_backbone(parameters: Parameters) -> Parameters:
    prefix = "backbone."
    return {n.removeprefix(prefix): p for n, p in parameters.items() if n.startswith(prefix)}
