"""The contract every method keeps.

`Learner.adapt(support) -> Classifier`, `Classifier.predict(scans) -> Reading`.

A method is one file in this package with a subclass of `Learner`. It says what it consumes (`features`),
how it fits a `Head` to a support set (`fit`, differentiable where the method is meta-trained through it)
and what it minimises in meta-training (`training_loss`). Lightning calls `training_step`; nothing in
`fit` or in a head knows about Lightning, files or the UI.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.backbones import BackboneSpec, build
from workbench.data.examples import Features, Support
from workbench.data.pool import LabelledBatch, MetaBatch
from workbench.errors import PlanError, TrainingError
from workbench.imaging.input_findings import recipe_findings
from workbench.imaging.recipe import Recipe
from workbench.imaging.scan import Finding, Scan
from workbench.learners.appraisal import Appraiser
from workbench.learners.reading import Neighbour, Reading

_CHUNK = 64
"""Images or slices embedded at once outside training; bounds memory, and readings do not depend on it."""


class Diet(Enum):
    """What a method is meta-trained on."""

    EPISODES = "episodes"
    LABELLED = "labelled"
    NONE = "none"
    """Nothing: the method learns from the support alone, and `training_loss` refuses every batch."""


@dataclass(frozen=True, slots=True)
class Optimisation:
    """How the outer loop steps.

    Attributes:
        learning_rate: peak of AdamW's rate.
        weight_decay: decoupled.
        steps: length of the cosine schedule; the rate ends at 1 % of its peak.
        warmup: steps of linear warm-up.
        clip: bound on the gradient's norm; 0 for none.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    steps: int = 1000
    warmup: int = 50
    clip: float = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Loss:
    """Outcome of one meta-training step: the loss to minimise and the accuracy it went with (0 to 1)."""

    value: Tensor
    accuracy: Tensor


class Head(ABC):
    """What adaptation leaves behind: a small set of tensors that turns features into logits."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """Scores ``(n, way)``; each row depends on its own features only."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Everything needed to restore the head."""

    def embed(self, features: Tensor) -> Tensor:
        """Embeddings ``(n, d)`` in which nearness of scans is judged; the features unless overridden."""
        return features


class Learner(pl.LightningModule, ABC):
    """A meta-trained model that adapts to a support set.

    Args:
        backbone: which network embeds images.
        recipe: how scans become its input; sizes and channels must agree with the backbone.
        optimisation: of the outer loop; unused at adaptation.

    Attributes:
        name: as used in plans and on the command line.
        citation: paper and equation.
        options_type: the method's settings, a frozen dataclass made by `options`; the fourth argument of
            every method's constructor.
        diet: what meta-training feeds it.
        inner_steps: gradient steps per adaptation, 0 where there are none; stated with every figure.
        views: augmented views of each image that `training_loss` expects of labelled batches.
    """

    name: ClassVar[str]
    citation: ClassVar[str]
    options_type: ClassVar[type]
    diet: ClassVar[Diet] = Diet.EPISODES
    inner_steps: int = 0
    views: int = 1

    def __init__(self, backbone: BackboneSpec, recipe: Recipe, optimisation: Optimisation) -> None:
        super().__init__()
        if backbone.size != recipe.size or backbone.channels != recipe.channels:
            raise ValueError("backbone and recipe must agree in size and channels")
        self.spec = backbone
        self.recipe = recipe
        self.optimisation = optimisation
        self.backbone = build(backbone)
        if self.backbone.expects not in (None, (recipe.mean, recipe.std)):
            raise PlanError(
                f"Backbone {backbone.name!r} expects images normalised with mean and std "
                f"{self.backbone.expects}; the recipe says {(recipe.mean, recipe.std)}. Change the recipe."
            )
        if self.backbone.dims != recipe.dims:
            reads, fix = (
                ("images", "Set backbone.slices to mean or attention, or recipe.volume to middle")
                if self.backbone.dims == 2
                else ("volumes", "Set recipe.volume to slices or cube")
            )
            raise PlanError(
                f"Backbone {backbone.name!r} reads {reads}; recipe.volume is {recipe.volume!r}. {fix}."
            )

    @property
    @abstractmethod
    def settings(self) -> object:
        """The method's options, an instance of `options_type`."""

    @abstractmethod
    def fit(self, features: Tensor, labels: Tensor, way: int) -> Head:
        """Fit a head to the support.

        Args:
            features: of the support, as `features` returns them, ``(n, ...)``.
            labels: int64 ``(n,)`` in ``[0, way)``; every class occurs.
            way: number of classes.
        """

    @abstractmethod
    def restore(self, tensors: Mapping[str, Tensor]) -> Head:
        """Inverse of `Head.tensors`."""

    @abstractmethod
    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """The outer objective of one batch of the learner's `diet`."""

    @property
    def is_transductive(self) -> bool:
        """Whether a reading depends on the other scans of the call; never so but in benchmarks."""
        return self.spec.normaliser == "transductive"

    @property
    def reads_encoder(self) -> bool:
        """Whether the backbone takes part; of methods that do without it, nothing is prepared or cached."""
        return True

    def prepare(self, images: Tensor) -> Tensor:
        """The part of the work on images that no training of this learner changes.

        Args:
            images: uint8 ``(n, *Recipe.shape)``, or what this returned before.

        Returns:
            The images; where the backbone has a neck, float32 embeddings ``(n, dim)`` by its frozen network.
        """
        if not self.spec.neck or not self.reads_encoder or images.is_floating_point():
            return images
        with frozen(self), torch.no_grad():
            parts = [
                self.backbone.prepare(self.recipe.normalise(c)) for c in torch.split(images, self._at_once)
            ]
        return torch.cat(parts) if parts else torch.empty((0, self.backbone.dim))

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings ``(n, dim)`` of uint8 images, or of what `prepare` made of them; differentiable."""
        prepared = self.prepare(images)
        given = prepared if prepared.is_floating_point() else self.recipe.normalise(prepared)
        embeddings: Tensor = self.backbone(given)
        return embeddings

    def features(self, images: Tensor) -> Tensor:
        """What `fit` and heads consume, from uint8 images or what `prepare` made of them.

        Embeddings unless a method overrides it. Computed without gradient, in evaluation mode (frozen
        normaliser statistics) and in chunks.
        """
        if len(images) == 0:
            return torch.empty((0, self.backbone.dim))
        with frozen(self), torch.no_grad():
            return torch.cat([self.embed(chunk).float() for chunk in torch.split(images, self._at_once)])

    @property
    def _at_once(self) -> int:
        return max(1, _CHUNK // self.recipe.depth)

    def adapt(self, support: Support) -> Classifier:
        """Fit a classifier to labelled images. The learner itself is left unchanged."""
        inputs = support.inputs
        features = inputs.values if isinstance(inputs, Features) else self.features(inputs)
        with frozen(self):
            head = self.fit(features, support.labels, support.way)
        return Classifier(self, head, support.classes, Features(features), support.labels)

    def training_step(self, batch: MetaBatch | LabelledBatch, batch_idx: int) -> Tensor:
        """One outer step (called by Lightning).

        Raises:
            TrainingError: if the loss is no longer a number; the checkpoint before it is still good.
        """
        loss = self.training_loss(batch)
        if not torch.isfinite(loss.value):
            raise TrainingError(
                f"The loss is {float(loss.value.detach())} at step {self.global_step}. Lower "
                "optimisation.learning_rate (for MAML, also the options' learning rates) and start again."
            )
        self.log("loss", loss.value.detach(), prog_bar=True)
        self.log("accuracy", loss.accuracy.detach(), prog_bar=True)
        return loss.value

    def configure_optimizers(self) -> pl.utilities.types.OptimizerLRScheduler:
        """AdamW with linear warm-up and a cosine to 1 %; no decay on biases and normalisers."""
        plan = self.optimisation
        decay = [p for p in self.parameters() if p.requires_grad and p.ndim > 1]
        rest = [p for p in self.parameters() if p.requires_grad and p.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [{"params": decay, "weight_decay": plan.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=plan.learning_rate,
        )

        def rate(step: int) -> float:
            if step < plan.warmup:
                return (step + 1) / plan.warmup
            done = min(1.0, (step - plan.warmup) / max(1, plan.steps - plan.warmup))
            return float(0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * done)))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


@dataclass(frozen=True, slots=True, eq=False)
class SupportEmbeddings:
    """L2-normalised embeddings ``(n, d)`` of a support whose features are no longer at hand."""

    values: Tensor


class Classifier:
    """A learner adapted to one condition.

    Args:
        learner: whose features and recipe are used; shared, never changed.
        head: fitted to the support.
        classes: class names in label order.
        support: features or stored embeddings of the support, for the nearest labelled scans.
        support_labels: int64 ``(n,)``.
        appraiser: surrounds the head's probabilities; None leaves them as they are.
    """

    def __init__(
        self,
        learner: Learner,
        head: Head,
        classes: tuple[str, ...],
        support: Features | SupportEmbeddings,
        support_labels: Tensor,
        appraiser: Appraiser | None = None,
    ) -> None:
        self.learner = learner
        self.head = head
        self.classes = classes
        self._support = support
        self.support_labels = support_labels
        self.appraiser = appraiser

    def with_appraiser(self, appraiser: Appraiser | None) -> Classifier:
        """The same classifier with something else, or nothing, around its probabilities."""
        return Classifier(
            self.learner, self.head, self.classes, self._support, self.support_labels, appraiser
        )

    @cached_property
    def support_embeddings(self) -> Tensor:
        """L2-normalised embeddings ``(n, d)`` of the support, made when first asked for."""
        given = self._support
        return given.values if isinstance(given, SupportEmbeddings) else self._embed(given.values)

    def predict(self, scans: Sequence[Scan] | Tensor | Features, neighbours: int = 0) -> Reading:
        """Read scans, each on its own: a reading does not depend on the other scans of the call.

        Args:
            scans: scans; or uint8 images made by the learner's recipe; or their cached features.
            neighbours: how many nearest labelled scans to list for each.
        """
        findings, features = self._features(scans)
        with frozen(self.learner), torch.no_grad():
            size = len(features) if self.learner.is_transductive else _CHUNK
            logits = [self.head.logits(chunk) for chunk in torch.split(features, max(1, size))]
        stacked = torch.cat(logits) if logits else torch.empty((0, len(self.classes)))
        own = F.softmax(stacked.double(), dim=1).numpy()
        if self.appraiser is None:
            near = self._nearest(self._embed(features), neighbours) if neighbours > 0 else ((),) * len(own)
            return Reading(self.classes, own, near, findings)
        embeddings = self._embed(features)
        around = self.appraiser.appraise(own, embeddings)
        return Reading(
            self.classes, around.probabilities, self._nearest(embeddings, neighbours), findings, around
        )

    def _features(
        self, scans: Sequence[Scan] | Tensor | Features
    ) -> tuple[tuple[tuple[Finding, ...], ...], Tensor]:
        if isinstance(scans, Features):
            return ((),) * len(scans), scans.values
        if isinstance(scans, Tensor):
            return ((),) * len(scans), self.learner.features(scans)
        recipe = self.learner.recipe
        findings = tuple(scan.findings + recipe_findings(scan, recipe) for scan in scans)
        return findings, self.learner.features(recipe.batch(scans))

    def _embed(self, features: Tensor) -> Tensor:
        if not len(features):
            return torch.empty((0, self.support_embeddings.shape[1]))
        with frozen(self.learner), torch.no_grad():
            chunks = [self.head.embed(chunk) for chunk in torch.split(features, _CHUNK)]
        return F.normalize(torch.cat(chunks).flatten(1), dim=1)

    def _nearest(self, embeddings: Tensor, count: int) -> tuple[tuple[Neighbour, ...], ...]:
        if count <= 0 or len(embeddings) == 0:
            return ((),) * len(embeddings)
        # cos = u.v and |u - v|^2 = 2 - 2 cos for unit vectors.
        cosine = embeddings @ self.support_embeddings.T
        distance = (2 - 2 * cosine).clamp_min(0).sqrt()
        values, indices = distance.topk(min(count, distance.shape[1]), largest=False)
        return tuple(
            tuple(
                Neighbour(i, self.classes[int(self.support_labels[i])], d)
                for i, d in zip(row.tolist(), value.tolist(), strict=True)
            )
            for row, value in zip(indices, values, strict=True)
        )


@contextmanager
def frozen(learner: Learner) -> Iterator[None]:
    """Evaluation mode for the duration: normaliser statistics and dropout fixed, mode restored after."""
    if not any(module.training for module in learner.modules()):
        yield  # nested, as in evaluation: setting every module twice an episode costs more than reading it
        return
    was_training = learner.training
    learner.eval()
    try:
        yield
    finally:
        learner.train(was_training)


def full_precision(values: Tensor) -> Tensor:
    """float32 of autocast's bfloat16 or float16; wider types stay as they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
