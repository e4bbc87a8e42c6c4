"""Drawing episodes: small classification tasks, each with a support and a query set.

An episode is a pure function of (specification, index), so that the stream is the same in any number of
worker processes and continues after a resume without any stored generator state. Episodes hold row
numbers of a `Pool`; nothing here touches pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.data.cohort import Cohort
from workbench.errors import CohortError

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EpisodeSpec:
    """How episodes are drawn.

    Attributes:
        ways: number of classes, or an inclusive range; a condition with fewer classes uses all it has.
        shots: support patients per class, or an inclusive range. A shot is a patient: each contributes
            one scan.
        queries: query scans per class, at most; patients of the support never appear.
        imbalanced: draw shots for each class on its own instead of once per episode.
        conditions: names of the cohorts allowed; empty for all.
        classes: names of the classes allowed; empty for all.
        seed: of the stream.
    """

    ways: int | tuple[int, int] = (2, 5)
    shots: int | tuple[int, int] = 5
    queries: int = 10
    imbalanced: bool = False
    conditions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if span(self.ways)[0] < 2 or span(self.ways)[0] > span(self.ways)[1]:
            raise ValueError(f"EpisodeSpec.ways must be at least 2 and in order, not {self.ways}")
        if span(self.shots)[0] < 1 or span(self.shots)[0] > span(self.shots)[1]:
            raise ValueError(f"EpisodeSpec.shots must be at least 1 and in order, not {self.shots}")
        if self.queries < 1:
            raise ValueError(f"EpisodeSpec.queries must be at least 1, not {self.queries}")


def span(value: int | tuple[int, int]) -> tuple[int, int]:
    """An inclusive range from a number or a range."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """One task as row numbers.

    Attributes:
        cohort: index of the cohort among those given to the sampler.
        classes: class names in label order.
        support, query: int64 row numbers within the cohort.
        support_labels, query_labels: int64 in ``[0, way)``.
    """

    cohort: int
    classes: tuple[str, ...]
    support: Rows
    support_labels: Rows
    query: Rows
    query_labels: Rows

    @property
    def way(self) -> int:
        """Number of classes."""
        return len(self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class _ClassIndex:
    """Rows of one class ordered by patient; patient p owns ``rows[starts[p]:starts[p + 1]]``."""

    label: int
    rows: Rows
    patients: Rows
    starts: Rows


class EpisodeSampler:
    """Draws episode number i of a stream.

    Args:
        cohorts: the conditions to draw from.
        spec: how to draw.

    Raises:
        CohortError: if a named condition is missing, or fewer than two classes of a condition have enough
            patients (the most shots asked for, and one more for the query).
    """

    def __init__(self, cohorts: Sequence[Cohort], spec: EpisodeSpec) -> None:
        self.spec = spec
        self.cohorts = tuple(cohorts)
        missing = sorted(set(spec.conditions) - {c.name for c in cohorts})
        if missing:
            raise CohortError(
                f"Unknown condition {missing[0]!r}; known: {', '.join(c.name for c in cohorts)}."
            )
        self._allowed = [
            i for i, c in enumerate(self.cohorts) if not spec.conditions or c.name in spec.conditions
        ]
        self._classes = {i: self._index(self.cohorts[i]) for i in self._allowed}
        if not self._allowed:
            raise CohortError("There is no condition to draw episodes from.")

    def _index(self, cohort: Cohort) -> list[_ClassIndex]:
        need = span(self.spec.shots)[1] + 1
        found: list[_ClassIndex] = []
        counts: list[str] = []
        for label, name in enumerate(cohort.classes):
            if self.spec.classes and name not in self.spec.classes:
                continue
            rows = np.flatnonzero(cohort.labels == label)
            rows = rows[np.argsort(cohort.patients[rows], kind="stable")]
            patients, starts = np.unique(cohort.patients[rows], return_index=True)
            counts.append(f"{name!r} has {len(patients)}")
            if len(patients) >= need:
                ends = np.append(starts, len(rows)).astype(np.int64)
                found.append(_ClassIndex(label, rows.astype(np.int64), patients.astype(np.int64), ends))
        if len(found) < span(self.spec.ways)[0]:
            raise CohortError(
                f"Condition {cohort.name!r} needs at least {span(self.spec.ways)[0]} classes with {need} "
                f"patients each ({need - 1} for support, one for query): {', '.join(counts)}."
            )
        return found

    def episode(self, index: int) -> Episode:
        """Episode number `index` of the stream; the same for the same specification and cohorts."""
        rng = np.random.default_rng([self.spec.seed, index])
        cohort_index = self._allowed[int(rng.integers(len(self._allowed)))]
        cohort = self.cohorts[cohort_index]
        pool = self._classes[cohort_index]
        low, high = span(self.spec.ways)
        way = int(rng.integers(low, min(high, len(pool)) + 1)) if high > low else min(low, len(pool))
        chosen = [pool[i] for i in rng.permutation(len(pool))[:way]]
        low, high = span(self.spec.shots)
        if self.spec.imbalanced:
            shots = [int(s) for s in rng.integers(low, high + 1, size=way)]
        else:
            shots = [int(rng.integers(low, high + 1))] * way
        support = _draw_support(chosen, shots, rng, cohort)
        taken = cohort.patients[np.concatenate(support)]
        query = _draw_query(chosen, self.spec.queries, taken, rng, cohort)
        return Episode(
            cohort=cohort_index,
            classes=tuple(cohort.classes[c.label] for c in chosen),
            support=np.concatenate(support),
            support_labels=np.repeat(np.arange(way), [len(s) for s in support]),
            query=np.concatenate(query),
            query_labels=np.repeat(np.arange(way), [len(q) for q in query]),
        )


def _draw_support(
    chosen: Sequence[_ClassIndex], shots: Sequence[int], rng: np.random.Generator, cohort: Cohort
) -> list[Rows]:
    """One scan of each of `shots` patients per class; a patient serves one class only."""
    used: set[int] = set()
    support: list[Rows] = []
    for index, shot in zip(chosen, shots, strict=True):
        rows: list[int] = []
        for p in rng.permutation(len(index.patients)):
            if len(rows) == shot:
                break
            if int(index.patients[p]) in used:
                continue
            used.add(int(index.patients[p]))
            rows.append(int(index.rows[rng.integers(index.starts[p], index.starts[p + 1])]))
        if len(rows) < shot:
            raise CohortError(
                f"Class {cohort.classes[index.label]!r} of {cohort.name!r} shares so many patients with the "
                f"other classes that {shot} of its own cannot be drawn. Ask for fewer shots."
            )
        support.append(np.array(rows, dtype=np.int64))
    return support


def _draw_query(
    chosen: Sequence[_ClassIndex], queries: int, taken: Rows, rng: np.random.Generator, cohort: Cohort
) -> list[Rows]:
    """Up to `queries` scans per class, of patients outside the support."""
    drawn: list[Rows] = []
    for index in chosen:
        free = _free_rows(index, taken)
        if len(free) == 0:
            raise CohortError(
                f"Every patient of class {cohort.classes[index.label]!r} of {cohort.name!r} is in the "
                "support. Ask for fewer shots."
            )
        drawn.append(rng.permutation(free)[:queries])
    return drawn


def _free_rows(index: _ClassIndex, taken: Rows) -> Rows:
    """Rows of a class whose patients are not taken; the class is ordered by patient, so none is searched."""
    places = np.searchsorted(index.patients, taken)
    places[places == len(index.patients)] = 0
    keep = np.ones(len(index.rows), dtype=np.bool_)
    for place in places[index.patients[places] == taken].tolist():
        keep[index.starts[place] : index.starts[place + 1]] = False
    return index.rows[keep]
