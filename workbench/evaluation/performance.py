"""How well readings agree with the truth, counted by patient.

A patient with several scans counts once: the probabilities of the scans that share a patient and a true
class are averaged. Used by the leave-one-patient-out estimate and by the evaluation of a cohort.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.evaluation.episodic import macro_auroc
from workbench.evaluation.statistics import (
    Interval,
    Proportion,
    balanced_accuracy,
    bootstrap_interval,
    delong,
    percent,
    proportion,
)

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
TOO_FEW = "too few to say"
MIN_PATIENTS = 2
"""Patients a class needs before anything is said about it."""


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """One row for each patient (and true class, should a patient have scans of several).

    Attributes:
        probabilities: float64 ``(n, k)``, means over the patient's scans.
        labels: int64 ``(n,)``, true classes.
    """

    probabilities: Values
    labels: Labels

    @property
    def predicted(self) -> Labels:
        """The most probable class of each case."""
        best: Labels = self.probabilities.argmax(axis=1)
        return best


@dataclass(frozen=True, slots=True, eq=False)
class Performance:
    """Agreement of readings with the truth, by patient.

    Attributes:
        classes: class names.
        scans: number of scans read.
        confusion: int64 ``(k, k)``, patients of the row's true class read as the column's.
        accuracy: None where there are too few patients (see `performance`).
        balanced_accuracy: mean of the sensitivities; None where any class has fewer than two patients.
        sensitivities: of each class; None where it has fewer than two patients.
        auroc: for two classes DeLong's; for more the mean of one class against the rest with a bootstrap
            interval; None where any class has fewer than two patients.
    """

    classes: tuple[str, ...]
    scans: int
    confusion: Labels
    accuracy: Proportion | None
    balanced_accuracy: Interval | None
    sensitivities: tuple[Proportion | None, ...]
    auroc: Interval | None

    @property
    def patients(self) -> int:
        """Number of patients counted."""
        return int(self.confusion.sum())


def by_patient(probabilities: Values, labels: Labels, patients: Sequence[str]) -> Cases:
    """Average the scans of each patient.

    Args:
        probabilities: ``(scans, k)``.
        labels: true class of each scan.
        patients: key of each scan.
    """
    rows: dict[tuple[str, int], list[int]] = {}
    for row, key in enumerate(zip(patients, labels.tolist(), strict=True)):
        rows.setdefault(key, []).append(row)
    k = probabilities.shape[1]
    means = [probabilities[chosen].mean(axis=0) for chosen in rows.values()]
    return Cases(
        np.array(means, dtype=np.float64).reshape(len(rows), k),
        np.array([label for _, label in rows], dtype=np.int64),
    )


def performance(
    classes: tuple[str, ...],
    probabilities: Values,
    labels: Labels,
    patients: Sequence[str],
    every_class: bool = True,
) -> Performance:
    """Summarise readings of scans.

    Args:
        classes: names of the k classes.
        probabilities: ``(scans, k)``.
        labels: true class of each scan, in ``[0, k)``.
        patients: key of each scan.
        every_class: say nothing about accuracy unless every class has two patients; otherwise two patients
            of any class will do.
    """
    cases = by_patient(probabilities, labels, patients)
    truth, said = cases.labels, cases.predicted
    k = len(classes)
    confusion = np.zeros((k, k), dtype=np.int64)
    np.add.at(confusion, (truth, said), 1)
    counts = confusion.sum(axis=1)
    right = confusion.diagonal()
    enough = bool((counts >= MIN_PATIENTS).all())
    return Performance(
        classes=classes,
        scans=len(labels),
        confusion=confusion,
        accuracy=proportion(int(right.sum()), int(counts.sum()))
        if enough or (not every_class and counts.sum() >= MIN_PATIENTS)
        else None,
        balanced_accuracy=balanced_accuracy(truth, said) if enough else None,
        sensitivities=tuple(
            proportion(int(r), int(c)) if c >= MIN_PATIENTS else None
            for r, c in zip(right, counts, strict=True)
        ),
        auroc=_auroc(cases) if enough else None,
    )


def said(value: Proportion | Interval | None) -> str:
    """A figure with its interval and n, or why there is none."""
    if value is None or (isinstance(value, Interval) and math.isnan(value.low)):
        return TOO_FEW
    return str(value)


def said_in_percent(value: Interval | None) -> str:
    """The same for a mean of proportions."""
    if value is None or math.isnan(value.low):
        return TOO_FEW
    return f"{percent(value.value)} % ({percent(value.low)}-{percent(value.high)} %, n = {value.n})"


def _auroc(cases: Cases) -> Interval:
    if cases.probabilities.shape[1] == 2:
        score, sick = cases.probabilities[:, 1], cases.labels == 1
        return delong(score[sick], score[~sick])
    interval = bootstrap_interval(
        lambda rows: macro_auroc(cases.probabilities[rows], cases.labels[rows]), cases.labels
    )
    if interval.low < interval.high:
        return interval
    # Complete separation: the bootstrap has nothing to vary. The smallest class bounds what can be said.
    smallest = int(np.bincount(cases.labels).min())
    exact = proportion(smallest if interval.value == 1.0 else 0, smallest)
    return Interval(interval.value, exact.low, exact.high, interval.n)
