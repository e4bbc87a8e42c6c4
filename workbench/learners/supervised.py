"""Supervised meta-training over many conditions, shared by the methods that ask no more of an encoder.

Each image is classified among the classes of its own condition (telling conditions apart is easy and
teaches little); a condition of k classes is divided by log k, so that two classes weigh as much as nine
hundred. Where the backbone is read at several depths, each depth has its own softmax (deep supervision: Lee
et al. 2015). To this is added instance discrimination, which needs no labels (NT-Xent, Chen et al. 2020,
"SimCLR", equation 1): two views of an image must find each other among the images of the same condition.
The softmax and projection layers are thrown away afterwards.

That a softmax over all training classes gives a good embedding for few-shot classification: Chen et al., "A
Closer Look at Few-shot Classification", ICLR 2019; Tian et al., ECCV 2020; Wang et al. 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from workbench.backbones import BackboneSpec
from workbench.data.pool import LabelledBatch, MetaBatch
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Diet, Learner, Loss, Optimisation, full_precision
from workbench.learners.options import options


@options
class SupervisedOptions:
    """Settings of supervised meta-training; a method's own settings are added by a subclass.

    Attributes:
        contrast: weight of instance discrimination in meta-training; 0 for none.
        temperature: of instance discrimination.
        classes: number of classes of the meta-training softmax; 0 outside meta-training.
    """

    contrast: float = Field(default=0.5, ge=0)
    temperature: float = Field(default=0.2, gt=0)
    classes: int = Field(default=0, ge=0)


class TrainingHead(nn.Module):
    """Layers that meta-training needs and adaptation does not.

    Args:
        dims: lengths of the parts that are taught.
        classes: of all conditions together.
        layer: makes the layer from embeddings of a length to logits of a number of classes.
        projection: length of the vectors compared by instance discrimination.
    """

    def __init__(
        self,
        dims: tuple[int, ...],
        classes: int,
        layer: Callable[[int, int], nn.Module] = nn.Linear,
        projection: int = 128,
    ) -> None:
        super().__init__()
        self.softmax = nn.ModuleList(layer(d, classes) for d in dims)
        self.project = nn.Sequential(
            nn.Linear(dims[-1], 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, projection)
        )


def within_condition(logits: Tensor, batch: LabelledBatch) -> Tensor:
    """Logits ``(n, classes)`` with the classes of other conditions ruled out."""
    index = torch.arange(logits.shape[1], device=logits.device)
    outside = (index < batch.first[:, None]) | (index >= batch.last[:, None])
    return logits.masked_fill(outside, -1e4)


def instance_discrimination(vectors: Tensor, batch: LabelledBatch, temperature: float) -> Tensor:
    """NT-Xent over two views, among images of the same condition.

    Args:
        vectors: ``(2 n, d)``; rows i and n + i are views of one image.
        batch: tells which condition each row is of.
        temperature: of the softmax.
    """
    z = F.normalize(vectors, dim=1)
    rows = len(z)
    similarity = z @ z.T / temperature
    same = batch.first[:, None] == batch.first[None]
    allowed = same & ~torch.eye(rows, dtype=torch.bool, device=z.device)
    partner = torch.arange(rows, device=z.device).roll(rows // 2)
    return F.cross_entropy(similarity.masked_fill(~allowed, -1e4), partner)


class SupervisedLearner(Learner):
    """A method whose encoder is meta-trained on labelled images; how it adapts is up to the subclass.

    Args:
        backbone: which network embeds images.
        recipe: how scans become its input.
        optimisation: of meta-training.
        options: of the method; its `classes` decide whether there are layers for meta-training.

    Attributes:
        training_head: layers thrown away after meta-training; None outside it. Files leave them out.
    """

    diet: ClassVar[Diet] = Diet.LABELLED

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None,
        options: SupervisedOptions,
    ) -> None:
        super().__init__(backbone, recipe, optimisation or Optimisation())
        self.supervision = options
        self.views = 2 if options.contrast else 1
        self.training_head = (
            TrainingHead(self.backbone.taught_dims, options.classes, self.classification_layer)
            if options.classes
            else None
        )

    @staticmethod
    def classification_layer(dim: int, classes: int) -> nn.Module:
        """The meta-training layer from embeddings ``(n, dim)`` to logits ``(n, classes)``."""
        return nn.Linear(dim, classes)

    def training_loss(self, batch: MetaBatch | LabelledBatch) -> Loss:
        """Classification within each condition, and instance discrimination."""
        assert isinstance(batch, LabelledBatch)
        return self.supervised_loss(full_precision(self.embed(batch.images)), batch)

    def supervised_loss(self, embeddings: Tensor, batch: LabelledBatch) -> Loss:
        """The loss of `training_loss` from the batch's embeddings ``(n, dim)``."""
        head = self.training_head
        assert isinstance(head, TrainingHead)
        parts = self.backbone.taught(embeddings)
        loss = torch.zeros(())
        weight = 2.0 / (batch.last - batch.first).float().log()
        for number, (part, layer) in enumerate(zip(parts, head.softmax, strict=True)):
            logits = within_condition(full_precision(layer(part)), batch)
            each = F.cross_entropy(logits, batch.labels, reduction="none")
            share = 1.0 if number == len(parts) - 1 else 0.3
            loss = loss + share * (each * weight).mean()
        if self.supervision.contrast:
            vectors = full_precision(head.project(parts[-1]))
            loss = loss + self.supervision.contrast * instance_discrimination(
                vectors, batch, self.supervision.temperature
            )
        return Loss(loss, (logits.argmax(1) == batch.labels).float().mean())
