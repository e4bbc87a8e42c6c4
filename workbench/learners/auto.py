"""Automatic choice of the method, from the support alone.

The first choice is the committee (`workbench.learners.committee`): on meta-validation conditions it reads a
little better than the linear probe with 1 to 10 patients per class, and on none of them clearly worse. The
linear probe and two methods that are right in other circumstances (Simple CNAPS' Gaussian classes and
SimpleShot) are tried beside it, leaving out a fifth of the patients at a time, and one of them takes its
place only where it is clearly better; see `workbench.learners.choice`.

All read the embeddings of one frozen encoder, so that choosing costs little more than adapting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from workbench.backbones import BackboneSpec
from workbench.backbones.raw_pixels import raw_backbone
from workbench.data.examples import Features, Support
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Classifier, Head, Learner, Optimisation, frozen
from workbench.learners.choice import Choice, choose, patient_folds, untried
from workbench.learners.committee import CommitteeHead, Described, deep_columns, restore_members
from workbench.learners.linear_probe import LinearProbe, LinearProbeOptions
from workbench.learners.logistic import balanced, logistic_regressions
from workbench.learners.mahalanobis import Mahalanobis, MahalanobisOptions
from workbench.learners.options import options
from workbench.learners.simpleshot import SimpleShot, SimpleShotOptions
from workbench.learners.supervised import SupervisedLearner, SupervisedOptions

COMMITTEE, PROBE = "committee", "linear-probe"


@options
class AutoOptions(SupervisedOptions):
    """Settings of `Auto`.

    Attributes:
        strength: C of the linear probe and of the committee's members.
        folds: parts into which the patients are divided, at most.
        level: of the tests by which another method takes the first one's place; 0 for never.
        most: scans up to which methods are tried; with more, the linear probe is taken.
        contrast, temperature, classes: of meta-training; see `SupervisedOptions`.
    """

    strength: float = Field(default=10.0, gt=0)
    folds: int = Field(default=5, ge=2)
    level: float = Field(default=0.05, ge=0, le=0.5)
    most: int = Field(default=600, ge=2)


class AutoHead(Head):
    """The head of the method that was chosen.

    Args:
        method: its name.
        chosen: its head.
        choice: how it was chosen; None for a head read from a file, whose record has the sentence.
    """

    def __init__(self, method: str, chosen: Head, choice: Choice | None = None) -> None:
        self.method, self.chosen, self.choice = method, chosen, choice

    def logits(self, features: Tensor) -> Tensor:
        """Of the chosen method."""
        return self.chosen.logits(features)

    def embed(self, features: Tensor) -> Tensor:
        """Of the chosen method."""
        return self.chosen.embed(features)

    def tensors(self) -> dict[str, Tensor]:
        """The chosen head's tensors behind the method's name."""
        return {f"{self.method}/{name}": value for name, value in self.chosen.tensors().items()}


def choice_of(classifier: Classifier) -> Choice | None:
    """How the method of a classifier was chosen; None where there was nothing to choose."""
    return classifier.head.choice if isinstance(classifier.head, AutoHead) else None


class Auto(SupervisedLearner):
    """See the module's description."""

    name: ClassVar[str] = "auto"
    citation: ClassVar[str] = "chooses on the support, by cross-validation over patients"
    options_type: ClassVar[type] = AutoOptions

    def __init__(
        self,
        backbone: BackboneSpec,
        recipe: Recipe,
        optimisation: Optimisation | None = None,
        options: AutoOptions | None = None,
    ) -> None:
        self.options = options or AutoOptions()
        super().__init__(backbone, recipe, optimisation, self.options)
        # They are given embeddings, and so need a backbone in name only; a tuple keeps them out of this
        # module's parameters.
        bare = BackboneSpec(raw_backbone(recipe.dims), channels=backbone.channels, size=backbone.size)
        self._probe = (LinearProbe(bare, recipe, None, LinearProbeOptions(strength=self.options.strength)),)
        self._others: tuple[Learner, ...] = (
            # A covariance for each class: the one candidate whose boundaries are curved.
            Mahalanobis(bare, recipe, None, MahalanobisOptions(covariance="class", ridge=1.0, sharpness=1.0)),
            SimpleShot(bare, recipe, None, SimpleShotOptions(centre="support")),
        )

    @property
    def settings(self) -> AutoOptions:
        """See `Learner.settings`."""
        return self.options

    def adapt(self, support: Support) -> Classifier:
        """See `Learner.adapt`; folds are by the support's patients."""
        inputs = support.inputs
        features = inputs.values if isinstance(inputs, Features) else self.features(inputs)
        with frozen(self):
            head = self.select(features, support.labels, support.way, support.patients)
        return Classifier(self, head, support.classes, Features(features), support.labels)

    def fit(self, features: Tensor, labels: Tensor, way: int) -> AutoHead:
        """`select` with every scan a patient of its own; see `Learner.fit`."""
        return self.select(features, labels, way, [str(row) for row in range(len(labels))])

    def select(self, features: Tensor, labels: Tensor, way: int, patients: Sequence[str]) -> AutoHead:
        """Try the methods and fit the one chosen.

        Args:
            features: ``(n, dim)``.
            labels: int64 ``(n,)``; every class occurs.
            way: number of classes.
            patients: key of each row.
        """
        if len(labels) > self.options.most:
            many = f"with more than {self.options.most} labelled scans it is no longer a matter of few."
            return AutoHead(PROBE, self._probe[0].fit(features, labels, way), untried(PROBE, many))
        deep = deep_columns(self.backbone)
        described = Described.of(features, deep)
        fold = patient_folds(labels.numpy(), patients, self.options.folds)
        count = int(fold.max()) + 1
        taking_part = torch.from_numpy(np.stack([fold != number for number in range(-1, count)]))
        taking_part[0] = True  # the whole support: the heads that are kept
        weights, biases = logistic_regressions(
            described.z, labels, way, self.options.strength, balanced(labels, way, taking_part)
        )
        if count:
            readings = self._held_out(described, weights, biases, labels, way, fold)
            judged = fold >= 0
            choice = choose(
                {method: values[judged] for method, values in readings.items()},
                labels.numpy()[judged],
                [patient for patient, known in zip(patients, judged, strict=True) if known],
                count,
                self.options.level,
            )
        else:
            choice = untried(
                COMMITTEE, "no class has two patients to try methods on, and it did best on other conditions."
            )
        members = described.heads(weights[:, 0], biases[:, 0])
        if choice.method == COMMITTEE:
            return AutoHead(COMMITTEE, CommitteeHead(members, described.mean, deep), choice)
        learner = next(one for one in (*self._probe, *self._others) if one.name == choice.method)
        return AutoHead(choice.method, learner.fit(features, labels, way), choice)

    def _held_out(
        self,
        described: Described,
        weights: Tensor,
        biases: Tensor,
        labels: Tensor,
        way: int,
        fold: npt.NDArray[np.int64],
    ) -> dict[str, npt.NDArray[np.float64]]:
        """Probabilities ``(n, way)`` by method, each row read by what its fold took no part in.

        The centre and the scale of the descriptions are those of the whole support; labels of a left-out
        scan reach nothing.
        """
        # The same for every method that knows distances and directions only: coordinates in the span of the
        # support are as good as embeddings, and shorter.
        coordinates = described.z[0].float()
        readings = {
            name: np.zeros((len(labels), way))
            for name in (COMMITTEE, PROBE, *(one.name for one in self._others))
        }
        for number in range(int(fold.max()) + 1):
            out = torch.from_numpy(np.flatnonzero(fold == number))
            rest = torch.from_numpy(np.flatnonzero(fold != number))
            logits = (
                described.z[:, out] @ weights[:, number + 1].transpose(1, 2) + biases[:, number + 1, None]
            )
            members = logits.softmax(2)
            readings[COMMITTEE][out] = members.mean(0).numpy()
            readings[PROBE][out] = members[0].numpy()
            for one in self._others:
                head = one.fit(coordinates[rest], labels[rest], way)
                readings[one.name][out] = head.logits(coordinates[out]).double().softmax(1).numpy()
        return readings

    def restore(self, tensors: Mapping[str, Tensor]) -> AutoHead:
        """See `Learner.restore`."""
        method = next(iter(tensors)).partition("/")[0]
        own = {name.partition("/")[2]: value for name, value in tensors.items()}
        if method == COMMITTEE:
            return AutoHead(method, restore_members(own, deep_columns(self.backbone)))
        learner = next(one for one in (*self._probe, *self._others) if one.name == method)
        return AutoHead(method, learner.restore(own))
