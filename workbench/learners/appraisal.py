"""What surrounds a classifier's own probabilities: the protocol, and what it says about each scan.

`Classifier.predict` is the one way to a `Reading`. Something that was fitted when the model was adapted (see
`workbench.adaptation.appraiser`) may be attached to a classifier; it then turns the model's softmax into
calibrated probabilities, a prediction set and a statement on how like the labelled scans the new one is. Each
row of what it says depends on that scan alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

Values = npt.NDArray[np.float64]


class Scope(StrEnum):
    """Over whom the coverage of a prediction set holds."""

    PER_CLASS = "per-class"
    """Over the patients of each class on its own."""
    OVERALL = "overall"
    """Over patients of all classes together, in the shares of the labelled ones."""
    NONE = "none"
    """Nothing could be promised: no patient could be left out."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What the prediction sets of a model promise.

    Attributes:
        asked: coverage that was asked for, above 0 and below 1.
        given: coverage the sets are made for: as asked, or the largest that so few patients allow, 0 for
            none.
        scope: over whom it holds.
        patients: left-out patients it rests on; the smallest class's where it holds for each class.
        needed: patients per class with which the coverage asked for could be promised for each class.
    """

    asked: float
    given: float
    scope: Scope
    patients: int
    needed: int

    @property
    def kept(self) -> bool:
        """Whether the coverage asked for is promised, at least over all classes together."""
        return self.scope is not Scope.NONE and self.given >= self.asked - 1e-12

    @property
    def statement(self) -> str:
        """The promise, or why it is declined, in one sentence."""
        if self.scope is Scope.NONE:
            return "No set can be promised: no class has two patients to leave one out."
        over = "each class" if self.scope is Scope.PER_CLASS else "all classes together"
        if self.kept:
            return f"The set holds the truth in at least {100 * self.asked:.0f} % of new patients of {over}."
        return (
            f"{100 * self.asked:.0f} % cannot be promised with {self.patients} patients; the set holds "
            f"the truth in "
            f"at least {100 * self.given:.0f} % of new patients of {over}. {self.needed} patients per "
            f"class are "
            "needed."
        )


@dataclass(frozen=True, slots=True)
class PredictionSet:
    """The classes that a scan may plausibly be of.

    Attributes:
        classes: names, most probable first; empty where the scan reads like no class.
        promise: how often such sets hold the truth.
    """

    classes: tuple[str, ...]
    promise: Promise


@dataclass(frozen=True, slots=True)
class Familiarity:
    """How like the labelled scans a scan is.

    Attributes:
        distance: of the scan to the nearest class, in the units of `measure`.
        usual: distance up to which labelled scans of left-out patients lie, but for one in twenty; NaN where
            there are too few to say.
        p_value: share of labelled scans, left out one patient at a time, at least as far from the others (the
            scan itself counted among them), above 0 to 1.
        measure: name of the distance.
    """

    distance: float
    usual: float
    p_value: float
    measure: str

    @property
    def unlike(self) -> bool:
        """Whether the scan lies farther from the labelled ones than they usually lie from one another."""
        return self.distance > self.usual


@dataclass(frozen=True, slots=True, eq=False)
class Appraisal:
    """What surrounds the model's own probabilities of n scans over k classes.

    Attributes:
        probabilities: float64 ``(n, k)``, rows summing to 1.
        calibrated: whether they are calibrated; otherwise they are the model's own, but for a stated
            prevalence.
        prevalence: share of each class that was stated and that they follow, or None.
        sets: for each scan.
        familiarity: for each scan.
        embeddings: L2-normalised, ``(n, d)``; what a cohort is compared by.
    """

    probabilities: Values
    calibrated: bool
    prevalence: tuple[float, ...] | None
    sets: tuple[PredictionSet, ...]
    familiarity: tuple[Familiarity, ...]
    embeddings: Values


class Appraiser(Protocol):
    """Attached to a `Classifier`; frozen."""

    def appraise(self, probabilities: Values, embeddings: Tensor) -> Appraisal:
        """Surround the model's own probabilities.

        Args:
            probabilities: softmax of the head's logits, float64 ``(n, k)``.
            embeddings: L2-normalised embeddings of the scans, ``(n, d)``.
        """
        ...

    def tensors(self) -> Mapping[str, Tensor]:
        """The arrays to keep in the model's file."""
        ...
