"""Labelling simulated: a condition whose labels are known plays the person who labels.

A `QueryTask` is a start, a pool and a held-out set of one condition, apart by patient; a `Labelling` walks
through it label by label. A strategy sees `Labelling.state` only, which is made without any label of the
pool or the held-out set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from workbench.data.examples import Features, Support
from workbench.errors import CohortError
from workbench.evaluation.episodic import classification_scores
from workbench.learners.base import Classifier, Learner
from workbench.querying.state import QueryState, query_state
from workbench.querying.strategy import QueryStrategy

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Condition:
    """A condition whose images were embedded once.

    Attributes:
        name: of its cohort.
        features: of every image, ``(n, dim)``.
        labels: int64 ``(n,)`` in ``[0, way)``.
        patients: int64 ``(n,)``.
    """

    name: str
    features: Features
    labels: Rows
    patients: Rows

    @property
    def way(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """How tasks are drawn.

    Attributes:
        start: labelled patients per class at the beginning, one scan of each.
        pool: scans in the pool, at most; they come in the proportions of the condition.
        held_out: held-out patients per class, at most, one scan of each.
        share: of a class's patients that may be held out, at most.
        seed: of the stream.
    """

    start: int = 1
    pool: int = 200
    held_out: int = 40
    share: float = 0.4
    seed: int = 0


@dataclass(frozen=True, eq=False)
class QueryTask:
    """Rows of a condition; no patient is in two of the three parts.

    Attributes:
        condition: see there.
        start, pool, held_out: row numbers.
    """

    condition: Condition
    start: Rows
    pool: Rows
    held_out: Rows


def draw_task(condition: Condition, spec: TaskSpec, number: int) -> QueryTask:
    """Task number `number` of a stream: the same for the same condition and specification.

    Raises:
        CohortError: if a class has too few patients for a start and a held-out patient.
    """
    rng = np.random.default_rng([spec.seed, number])
    labels, patients = condition.labels, condition.patients
    held_out: list[int] = []
    start: list[int] = []
    away: set[int] = set()
    for label in range(condition.way):
        order = rng.permutation(np.unique(patients[labels == label]))
        most = max(1, min(spec.held_out, int(spec.share * len(order))))
        for patient in [p for p in order if int(p) not in away][:most]:
            away.add(int(patient))
            held_out.append(int(rng.choice(np.flatnonzero((patients == patient) & (labels == label)))))
    taken = set(away)
    for label in range(condition.way):
        order = rng.permutation(np.unique(patients[labels == label]))
        free = [p for p in order if int(p) not in taken][: spec.start]
        if len(free) < spec.start:
            raise CohortError(
                f"Condition {condition.name!r}: class {label} has too few patients for {spec.start} labelled "
                "and one held out. Leave it out."
            )
        for patient in free:
            taken.add(int(patient))
            start.append(int(rng.choice(np.flatnonzero((patients == patient) & (labels == label)))))
    rest = np.flatnonzero(~np.isin(patients, list(taken)))
    return QueryTask(
        condition,
        np.array(start, dtype=np.int64),
        np.sort(rng.permutation(rest)[: spec.pool]),
        np.array(held_out, dtype=np.int64),
    )


class Labelling:
    """One walk through a task.

    Args:
        learner: adapts anew after every batch of labels.
        task: see there.
    """

    def __init__(self, learner: Learner, task: QueryTask) -> None:
        self._learner, self._task = learner, task
        self._labelled: list[int] = task.start.tolist()
        self._open: list[int] = task.pool.tolist()
        self.classifier = self._adapted()

    @property
    def state(self) -> QueryState:
        """What a strategy sees now."""
        condition = self._task.condition
        return query_state(
            self.classifier,
            condition.features[torch.tensor(self._open, dtype=torch.int64)],
            [str(p) for p in condition.patients[self._open]],
            frozenset(str(p) for p in condition.patients[self._labelled]),
        )

    @property
    def remaining(self) -> int:
        """Scans left in the pool."""
        return len(self._open)

    def label(self, picked: Sequence[int]) -> None:
        """Reveal the labels of some rows of the state, and adapt to all labels known."""
        chosen = [self._open[row] for row in picked]
        self._labelled += chosen
        self._open = [row for row in self._open if row not in set(chosen)]
        self.classifier = self._adapted()

    def balanced_accuracy(self) -> float:
        """Of the classifier on the held-out set, 0 to 1."""
        condition, rows = self._task.condition, self._task.held_out
        reading = self.classifier.predict(condition.features[torch.from_numpy(rows)])
        return classification_scores(reading.probabilities, condition.labels[rows])[1]

    def _adapted(self) -> Classifier:
        condition = self._task.condition
        rows = np.array(self._labelled)
        return self._learner.adapt(
            Support(
                condition.features[torch.from_numpy(rows)],
                torch.from_numpy(condition.labels[rows]),
                tuple(str(k) for k in range(condition.way)),
                tuple(str(p) for p in condition.patients[rows]),
            )
        )


def walk(
    labelling: Labelling, strategy: QueryStrategy, budget: int, batch: int, rng: np.random.Generator
) -> Iterator[float]:
    """Balanced accuracy at the start, then after every batch until the budget or the pool is used up."""
    yield labelling.balanced_accuracy()
    asked = 0
    while asked < budget and labelling.remaining:
        picked = strategy.choose(labelling.state, min(batch, budget - asked), rng)
        labelling.label(picked)
        asked += len(picked)
        yield labelling.balanced_accuracy()
