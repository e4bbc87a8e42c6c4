"""Fine-tuning: the network itself takes gradient steps on augmented copies of the support.

Hu et al., "Pushing the Limits of Simple Pipelines for Few-Shot Learning: External Data and Fine-Tuning Make
a Difference", CVPR 2022 (P>M>F: pre-train, meta-train, fine-tune). The classifier is prototypical with
cosines:

``c_k = mean of f(x) / |f(x)| over the support of class k`` and ``logit_k = s cos(f(x), c_k)``.

Fine-tuning makes a pseudo-query of the support by augmentation and minimises its
cross-entropy, with the prototypes computed anew from the unchanged support in every step; the gradient goes
through both. With ``head: linear`` a linear layer that starts as that classifier (``w_k = s c_k / |c_k|``,
no bias; after Proto-MAML, Triantafillou et al. 2020) takes the steps beside the network instead. Classes
count the same.

The paper chooses the learning rate for each new domain on labelled data that a user with a handful of scans
does not have; here it is one number. Where the backbone has a neck, only the neck is fine-tuned, and as its
inputs are embeddings computed once, there is nothing to augment: the support is its own pseudo-query.
Normaliser statistics are frozen. Augmentation draws from a generator with a fixed seed, so that adapting
twice gives the same classifier.

Tuned from one condition to the next, a network forgets. `FineTune.after` goes on from a tuned head and
remembers what came before; the options `l2_sp`, `ewc`, `lwf` and `replay` hold the forgetting back (see
`workbench.learners.retain`). The learner it was called on is never changed.

Meta-training (M) is episodic, by the loss of prototypical networks with this classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.data.augment import Augmentation, augment
from workbench.data.pool import LabelledBatch, MetaBatch, Task
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Learner, Loss, Optimisation, full_precision
from workbench.learners.gradient import AdaptedHead, Parameters
from workbench.learners.options import options
from workbench.learners.prototypical import episodic_loss, prototypes
from workbench.learners.retain import (
    EarlierCondition,
    balanced_cross_entropy,
    diagonal_fisher,
    distillation,
    squared_distance,
    weighted_distance,
)


@options
class FineTuneOptions:
    """Settings of `FineTune`.

    Attributes:
        head: ``prototypes`` computes them anew in every step; ``linear`` starts from them.
        scale: s above, at the start of meta-training.
        learn_scale: whether meta-training changes it.
        optimiser: ``adam``, or ``sgd`` with momentum 0.9.
        learning_rate: of the network.
        head_learning_rate: of a linear head; 0 for the same.
        test_steps: steps when adapting to a new condition.
        augment: whether pseudo-queries are augmented; never with a neck.
        share: of the support that is in each step's pseudo-query; at least one image.
        seed: of augmentation and of that choice.
        l2_sp: strength of the pull to the starting point.
        ewc, lwf, replay: strengths for the conditions the learner remembers; without any they do nothing.
        temperature: of `lwf`.
    """

    head: Literal["prototypes", "linear"] = "prototypes"
    scale: float = Field(default=10.0, gt=0)
    learn_scale: bool = False
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    head_learning_rate: float = Field(default=0.0, ge=0)
    test_steps: int = Field(default=50, ge=1)
    augment: bool = True
    share: float = Field(default=1.0, gt=0, le=1)
    seed: int = 0
    l2_sp: float = Field(default=0.0, ge=0)
    ewc: float = Field(default=0.0, ge=0)
    lwf: float = Field(default=0.0, ge=0)
    replay: float = Field(default=0.0, ge=0)
    temperature: float = Field(default=2.0, gt=0)


class TunedHead(AdaptedHead):
    """The fine-tuned network and its output layer, which reads embeddings of unit length."""

    def embed(self, features: Tensor) -> Tensor:
        """Unit-length embeddings by the fine-tuned network."""
        return F.normalize(full_precision(super().embed(features)), dim=1)


def cosine_layer(embeddings: Tensor, labels: Tensor, way: int, scale: Tensor) -> Parameters:
    """The cosine classifier of a support as an output layer ``(way, d)`` for embeddings of unit length.

    Args:
        embeddings: of the support, of unit length, ``(n, d)``.
        labels: int64 ``(n,)`` in ``[0, way)``.
        way: number of classes.
        scale: s.
    """
    centres = prototypes(embeddings, labels, way)
    return {"head.weight": scale * F.normalize(centres, dim=1), "head.bias": embeddings.new_zeros(way)}


class FineTune(Learner):
    """See the module's description. Its `features` are what `prepare` returns."""

    name: ClassVar[str] = "fine-tune"
    citation: ClassVar[str] = "Hu et al. 2022 (P>M>F)"
    options_type: ClassVar[type] = FineTuneOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: FineTuneOptions | None = None,
    ) -> None:
        super().__init__(backbone, recipe, optimisation or Optimisation())
        self.options = options or FineTuneOptions()
        self.inner_steps = self.options.test_steps
        log_scale = torch.tensor(self.options.scale).log()
        self.log_scale = torch.nn.Parameter(log_scale, requires_grad=self.options.learn_scale)
        self.earlier: tuple[EarlierCondition, ...] = ()

    def after(self, head: TunedHead, features: Tensor, labels: Tensor, way: int) -> FineTune:
        """A learner that goes on from a tuned network and remembers the condition it was tuned to.

        Args:
            head: made by this learner's `fit`.
            features, labels, way: of the support it was fitted to; see `Learner.fit`. They are kept.
        """
        later = FineTune(self.spec, self.recipe, self.optimisation, self.options)
        later.load_state_dict(self.state_dict())
        tuned = {n.removeprefix("backbone."): p for n, p in head.parameters.items() if n[:9] == "backbone."}
        later.backbone.load_state_dict(tuned, strict=False)
        layer = head.parameters["head.weight"]
        network = later.network()
        fisher: Parameters = {}
        if self.options.ewc:
            fisher = diagonal_fisher(
                lambda given, x: F.linear(self.restore(dict(given)).embed(x), layer), network, features
            )
        anchor = {n: p.detach() for n, p in network.items()}
        later.earlier = (*self.earlier, EarlierCondition(features, labels, way, layer, anchor, fisher))
        later.eval()
        return later

    def network(self) -> Parameters:
        """Copies of the network's trainable parameters, leaves."""
        return {
            f"backbone.{n}": p.detach().clone().requires_grad_()
            for n, p in self.backbone.named_parameters()
            if p.requires_grad
        }

    @property
    def settings(self) -> FineTuneOptions:
        """See `Learner.settings`."""
        return self.options

    def features(self, images: Tensor) -> Tensor:
        """What `prepare` returns: fine-tuning changes the rest."""
        return self.prepare(images)

    def fit(self, features: Tensor, labels: Tensor, way: int) -> TunedHead:
        """Steps on pseudo-queries made of the support; see `Learner.fit`."""
        with torch.inference_mode(False), torch.enable_grad():
            network = self.network()
            layer: Parameters = {}
            if self.options.head == "linear":
                with torch.no_grad():
                    layer = self.prototype_layer(network, features, labels, way)
                layer = {n: p.requires_grad_() for n, p in layer.items()}
            self.tune(network, layer, features, labels, way)
            with torch.no_grad():
                layer = layer or self.prototype_layer(network, features, labels, way)
        return self.restore({n: p.detach() for n, p in (network | layer).items()})

    def tune(
        self, network: Parameters, layer: Parameters, features: Tensor, labels: Tensor, way: int
    ) -> None:
        """Take the steps, changing these parameters in place.

        Args:
            network: of the backbone, leaves.
            layer: of the output layer, leaves; empty where prototypes stand for it.
            features, labels, way: see `Learner.fit`.
        """
        given = self.options
        groups = [
            {"params": list(network.values()), "lr": given.learning_rate},
            {"params": list(layer.values()), "lr": given.head_learning_rate or given.learning_rate},
        ]
        groups = [group for group in groups if group["params"]]
        if not groups:
            return  # a backbone without parameters under prototypes
        optimiser = (
            torch.optim.Adam(groups) if given.optimiser == "adam" else torch.optim.SGD(groups, momentum=0.9)
        )
        generator = torch.Generator().manual_seed(given.seed)
        weight = 1 / torch.bincount(labels, minlength=way).float()
        start = {n: p.detach().clone() for n, p in network.items()}
        for _ in range(given.test_steps):
            rows = self.chosen(len(labels), generator)
            query = self.pseudo_query(features[rows], generator)
            if layer:
                logits = self.restore(network | layer).logits(query)
            else:
                # One pass for support and pseudo-query: no normaliser lets them see each other.
                both = self.restore(network).embed(torch.cat([features, query]))
                support, unit = torch.split(both, [len(features), len(query)])
                made = cosine_layer(support, labels, way, self.log_scale.detach().exp())
                logits = F.linear(unit, made["head.weight"])
            loss = F.cross_entropy(logits, labels[rows], weight=weight) + self.holding(network, start, query)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def holding(self, network: Parameters, start: Parameters, query: Tensor) -> Tensor:
        """What holds back forgetting, added to the loss of the new condition; 0 without any such option.

        Args:
            network: the parameters of the moment.
            start: before the first step.
            query: this step's scans of the new condition.
        """
        given, held = self.options, torch.zeros(())
        if given.l2_sp:
            held = held + given.l2_sp * squared_distance(network, start)
        if given.ewc:
            for one in self.earlier:
                held = held + given.ewc * weighted_distance(network, one.anchor, one.fisher)
        if given.lwf and self.earlier:
            new = self.restore(network).embed(query)
            with torch.no_grad():
                old = self.restore(start).embed(query)
            for one in self.earlier:
                kept = distillation(new @ one.layer.T, old @ one.layer.T, given.temperature)
                held = held + given.lwf * kept
        if given.replay:
            for one in self.earlier:
                unit = self.restore(network).embed(one.features)
                layer = cosine_layer(unit, one.labels, one.way, self.log_scale.detach().exp())["head.weight"]
                held = held + given.replay * balanced_cross_entropy(unit @ layer.T, one.labels, one.way)
        return held

    def chosen(self, count: int, generator: torch.Generator) -> Tensor:
        """Rows of the support in one step's pseudo-query."""
        if self.options.share == 1:
            return torch.arange(count)
        return torch.randperm(count, generator=generator)[: max(1, round(self.options.share * count))]

    def pseudo_query(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Augmented copies of images; embeddings as they are."""
        if features.is_floating_point() or not self.options.augment:
            return features
        return augment(features, Augmentation(), generator)

    def prototype_layer(self, network: Parameters, features: Tensor, labels: Tensor, way: int) -> Parameters:
        """The output layer that the support's prototypes make under these parameters of the network."""
        chunks = [self.restore(network).embed(chunk) for chunk in torch.split(features, 64)]
        return cosine_layer(torch.cat(chunks), labels, way, self.log_scale.detach().exp())

    def restore(self, tensors: Mapping[str, Tensor]) -> TunedHead:
        """See `Learner.restore`."""
        return TunedHead(self.backbone, self.recipe, dict(tensors))

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Mean negative log-probability of the queries, without fine-tuning."""
        assert isinstance(batch, MetaBatch)
        unit = F.normalize(full_precision(self.embed(batch.images)), dim=1)

        def read(task: Task) -> Tensor:
            layer = cosine_layer(task.support, task.support_labels, task.way, self.log_scale.exp())
            return F.linear(task.query, layer["head.weight"])

        return episodic_loss(batch.with_images(unit), read)
