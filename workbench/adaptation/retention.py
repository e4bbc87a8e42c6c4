"""What a change of a memory does to what was there before.

For every condition, and within it for every population (site or scanner), the performance before and after:
leaving out one patient after the other where the population was adapted to, and the reading of its scans by
the model adapted to the others where it was not. Called by `workbench continual add`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from workbench.adaptation.estimate import leave_one_patient_out
from workbench.adaptation.memory import ConditionMemory
from workbench.data.examples import Support
from workbench.evaluation.performance import Performance, performance
from workbench.learners.base import Learner

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Retained:
    """How one population of one condition is read before and after a change.

    Attributes:
        condition, population: their names.
        before: None where the condition was not there, or its classes were others.
        after: performance by patient.
        was_new: whether the model before had seen nothing of the population.
        is_identical: whether every probability is the same bit for bit.
    """

    condition: str
    population: str
    before: Performance | None
    after: Performance
    was_new: bool
    is_identical: bool


def retention_report(
    learner: Learner,
    before: ConditionMemory,
    after: ConditionMemory,
    progress: Callable[[str], None] = lambda condition: None,
) -> tuple[Retained, ...]:
    """Every population of every condition, in the order in which they were added.

    Args:
        learner: that adapts.
        before, after: the change.
        progress: called with the name of each condition.
    """
    rows = []
    for condition in after.conditions:
        progress(condition)
        new = after.support(condition)
        populations = np.array(after.population_of(condition))
        read_after = _left_out(learner, new)
        is_known = condition in before.conditions and before.classes(condition) == new.classes
        read_before = _before(learner, before, condition, new) if is_known else None
        for population in after.populations(condition):
            mine = populations == population
            was_new = not (is_known and population in before.populations(condition))
            same = read_before is not None and np.array_equal(
                read_before[mine], read_after[mine], equal_nan=True
            )
            rows.append(
                Retained(
                    condition,
                    population,
                    None if read_before is None else _performance(new, read_before, mine),
                    _performance(new, read_after, mine),
                    was_new,
                    same,
                )
            )
    return tuple(rows)


def _left_out(learner: Learner, support: Support) -> Probabilities:
    return leave_one_patient_out(learner, support).probabilities


def _before(learner: Learner, memory: ConditionMemory, condition: str, new: Support) -> Probabilities:
    """Readings of the scans of today by the model of before; no scan by one that has seen its patient."""
    old = memory.support(condition)
    found = np.full((len(new), new.way), np.nan)
    found[: len(old)] = _left_out(learner, old)  # blocks are only ever added at the end
    added = torch.arange(len(old), len(new))
    if len(added):
        seen = set(old.patients)
        others = [row for row in added.tolist() if new.patients[row] not in seen]
        if others:
            rows = torch.tensor(others)
            found[others] = learner.adapt(old).predict(new.inputs[rows]).probabilities
    return found


def _performance(support: Support, probabilities: Probabilities, mine: npt.NDArray[np.bool_]) -> Performance:
    chosen = mine & ~np.isnan(probabilities).any(axis=1)
    patients = tuple(p for p, taken in zip(support.patients, chosen, strict=True) if taken)
    return performance(support.classes, probabilities[chosen], support.labels.numpy()[chosen], patients)
