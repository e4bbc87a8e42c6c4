"""What a classifier says about scans: the one object the UI, command line and evaluators show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.imaging.scan import Finding
from workbench.learners.appraisal import Appraisal, Familiarity, PredictionSet


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A labelled scan of the support that resembles the scan read.

    Attributes:
        index: row in the support.
        label: its class name.
        distance: Euclidean distance between L2-normalised embeddings, 0 (same) to 2.
    """

    index: int
    label: str
    distance: float


@dataclass(frozen=True, slots=True)
class CaseReading:
    """The reading of one scan.

    Attributes:
        classes: class names.
        probabilities: one for each class, summing to 1; calibrated where `calibrated`, and then following a
            stated `prevalence`; else the model's softmax.
        neighbours: nearest labelled scans, nearest first.
        findings: of the scan and its way through the recipe.
        calibrated: whether the probabilities are calibrated.
        prevalence: share of each class among the patients to be read, where it was stated.
        set: the classes the scan may plausibly be of; None where the model has nothing to make one from.
        familiarity: how like the labelled scans it is; None likewise.
    """

    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    neighbours: tuple[Neighbour, ...] = ()
    findings: tuple[Finding, ...] = ()
    calibrated: bool = False
    prevalence: tuple[float, ...] | None = None
    set: PredictionSet | None = None
    familiarity: Familiarity | None = None

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.classes[int(np.argmax(self.probabilities))]

    @property
    def confidence(self) -> float:
        """Probability of the most probable class."""
        return max(self.probabilities)

    @property
    def none_of_these(self) -> bool:
        """Whether the scan reads like no class (an empty set), or is unlike every labelled scan."""
        empty = self.set is not None and self.set.promise.given > 0 and not self.set.classes
        return empty or (self.familiarity is not None and self.familiarity.unlike)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Readings of n scans, each independent of the others.

    Attributes:
        classes: class names, length k.
        probabilities: float64 ``(n, k)``, rows summing to 1.
        neighbours: for each scan, its nearest labelled scans.
        findings: for each scan.
        appraisal: what surrounds the model's own probabilities; None where nothing is attached to the
            classifier.
    """

    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]
    neighbours: tuple[tuple[Neighbour, ...], ...]
    findings: tuple[tuple[Finding, ...], ...]
    appraisal: Appraisal | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, row: int) -> CaseReading:
        own = (
            self.classes,
            tuple(float(p) for p in self.probabilities[row]),
            self.neighbours[row],
            self.findings[row],
        )
        around = self.appraisal
        if around is None:
            return CaseReading(*own)
        return CaseReading(
            *own, around.calibrated, around.prevalence, around.sets[row], around.familiarity[row]
        )

    def __iter__(self) -> Iterator[CaseReading]:
        return (self[row] for row in range(len(self)))

    @property
    def labels(self) -> tuple[str, ...]:
        """The most probable class of each scan."""
        return tuple(self.classes[i] for i in self.probabilities.argmax(axis=1))
