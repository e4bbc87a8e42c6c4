"""Whether what surrounds a reading held on a labelled cohort: its probabilities, its sets, its warnings.

By patient, like every figure of a cohort: of a patient with several scans the first one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.adaptation.drift import Drift
from workbench.evaluation.statistics import Proportion, percent, proportion
from workbench.learners.appraisal import Promise
from workbench.learners.reading import CaseReading


@dataclass(frozen=True, slots=True)
class CohortTrust:
    """What surrounded the readings, and what came of it.

    Attributes:
        calibrated: whether the probabilities were calibrated.
        confidence: mean probability of the class each patient was read as.
        right: patients read right, which a calibrated confidence agrees with.
        promise: of the sets.
        held: patients whose set held the truth.
        size: mean number of classes in a set.
        none_of_these: patients read as none of the classes.
        drift: of the cohort from the labelled scans.
    """

    calibrated: bool
    confidence: float
    right: Proportion
    promise: Promise
    held: Proportion
    size: float
    none_of_these: int
    drift: Drift

    @property
    def statements(self) -> tuple[str, ...]:
        """A sentence for each."""
        kind = "Calibrated" if self.calibrated else "The model's own"
        promised = f"{100 * self.promise.given:.0f} %"
        return (
            f"{kind} confidence {percent(self.confidence)} % on average; right in {self.right}.",
            f"Sets made to hold the truth in {promised} held it in {self.held}, with {self.size:.1f} "
            "classes each.",
            f"Read as none of these: {self.none_of_these} of {self.held.n}.",
            self.drift.statement,
        )


def cohort_trust(
    readings: Sequence[CaseReading], truth: Sequence[int], patients: Sequence[str], drift: Drift
) -> CohortTrust | None:
    """Summarise the readings of a cohort; None where nothing surrounds them.

    Args:
        readings: of scans.
        truth: true class of each.
        patients: key of each.
        drift: of the cohort.
    """
    first: dict[str, int] = {}
    for row, patient in enumerate(patients):
        first.setdefault(patient, row)
    chosen = [(readings[row], readings[row].classes[truth[row]], readings[row].set) for row in first.values()]
    sets = [(around, label) for _, label, around in chosen if around is not None]
    if not sets:
        return None
    return CohortTrust(
        calibrated=all(reading.calibrated for reading, _, _ in chosen),
        confidence=float(np.mean([reading.confidence for reading, _, _ in chosen])),
        right=proportion(sum(reading.label == label for reading, label, _ in chosen), len(chosen)),
        promise=sets[0][0].promise,
        held=proportion(sum(label in around.classes for around, label in sets), len(sets)),
        size=float(np.mean([len(around.classes) for around, _ in sets])),
        none_of_these=sum(reading.none_of_these for reading, _, _ in chosen),
        drift=drift,
    )
