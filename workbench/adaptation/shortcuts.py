"""Acquisition shortcuts: does how a scan was made predict its label?

Each property of `acquisition` is tested for association with the label by permuting labels over patients
(Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005). The statistic is Kruskal and
Wallis's between-class sum of squares of ranks for a number and Pearson's chi-squared for a category. As many
properties are tried, p-values are those of the smallest p over all of them under the same permutations
(single-step minP: Westfall and Young, "Resampling-based Multiple Testing", 1993, section 2.3), which holds
the chance of any false alarm at the level however the properties depend on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from workbench.adaptation.acquisition import PROPERTIES, Described, Property
from workbench.imaging.scan import Scan

LEVEL = 0.05
"""Chance that anything is named where no property predicts the label."""
FEW = 6
"""Patients per class below which even a perfect shortcut may stay below the level."""
_PERMUTATIONS = 2000
Values = npt.NDArray[np.float64]
Column = npt.NDArray[np.str_] | Values
"""A property's value for each unit: categories or numbers."""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A property that predicts the label.

    Attributes:
        name: of the property.
        is_content: see `Property`.
        p: chance of so strong an association anywhere, were there none; already for all properties together.
        right, n: patients whose class the property alone gives away, each judged by the others.
    """

    name: str
    is_content: bool
    p: float
    right: int
    n: int


@dataclass(frozen=True, slots=True)
class ShortcutTest:
    """What came of testing all properties.

    Attributes:
        found: the shortcuts, strongest first.
        tested: names of properties that differ between scans, and could have been found.
        patients: of the class with the fewest.
    """

    found: tuple[Shortcut, ...]
    tested: tuple[str, ...]
    patients: int

    @property
    def is_weak(self) -> bool:
        """Whether there are too few patients for a missing alarm to mean much."""
        return self.patients < FEW


def find_shortcuts(
    scans: Sequence[Scan],
    labels: npt.NDArray[np.int64],
    patients: Sequence[str],
    level: float = LEVEL,
    seed: int = 0,
) -> ShortcutTest:
    """Properties that predict the label.

    Args:
        scans: n of them.
        labels: int64 ``(n,)`` from 0.
        patients: key of each scan.
        level: of the whole family of tests.
        seed: of the permutations.
    """
    units = _units(labels, patients)
    owner = labels[[rows[0] for rows in units]]
    described = [Described.of(scan) for scan in scans]
    columns = [(one, _column(one, described, units)) for one in PROPERTIES]
    columns = [(one, column) for one, column in columns if len(np.unique(column)) > 1]
    fewest = int(np.bincount(owner).min())
    if not columns or fewest < 2:
        return ShortcutTest((), tuple(one.name for one, _ in columns), fewest)
    adjusted = min_p([_design(one, column) for one, column in columns], owner, _PERMUTATIONS, seed)
    found = [
        Shortcut(one.name, one.is_content, float(p), _told(one, column, owner), len(owner))
        for (one, column), p in zip(columns, adjusted, strict=True)
        if p <= level
    ]
    found.sort(key=lambda s: (s.is_content, -s.right, s.p))
    return ShortcutTest(tuple(found), tuple(one.name for one, _ in columns), fewest)


def min_p(
    designs: Sequence[Values], labels: npt.NDArray[np.int64], permutations: int, seed: int
) -> npt.NDArray[np.float64]:
    """Adjusted p of each property; the observed order counts as one of the permutations.

    Args:
        designs: for each property ``(n, v)``: ranks about their mean (v = 1), or indicator columns of
            categories about their mean, each divided by the root of its sum. The statistic is
            ``sum over classes of |class sum|^2 / class size``: Kruskal-Wallis and chi-squared up to a factor
            that no permutation changes.
        labels: int64 ``(n,)`` from 0.
        permutations: how many.
        seed: of them.
    """
    rng = np.random.default_rng(seed)
    orders = np.stack([np.arange(len(labels)), *(rng.permutation(len(labels)) for _ in range(permutations))])
    member = np.eye(int(labels.max()) + 1)[labels[orders]]  # (permutations + 1, n, classes)
    sizes = np.maximum(member[0].sum(axis=0), 1)
    p = np.empty((len(designs), len(orders)))
    for row, design in enumerate(designs):
        sums = np.einsum("bnk,nv->bkv", member, design)
        statistic = (np.square(sums) / sizes[None, :, None]).sum(axis=(1, 2))
        # Rounding: equal statistics must tie.
        p[row] = rankdata(-np.round(statistic, 9), method="max") / len(orders)
    smallest = p.min(axis=0)
    return np.array([float((smallest <= p[row, 0]).mean()) for row in range(len(designs))])


def _units(labels: npt.NDArray[np.int64], patients: Sequence[str]) -> list[list[int]]:
    """Rows of each patient; of a patient with scans in several classes, of each class."""
    found: dict[tuple[str, int], list[int]] = {}
    for row, (patient, label) in enumerate(zip(patients, labels.tolist(), strict=True)):
        found.setdefault((patient, label), []).append(row)
    return list(found.values())


def _column(one: Property, described: Sequence[Described], units: Sequence[list[int]]) -> Column:
    if one.number is not None:
        values = np.array([one.number(d) for d in described])
        return np.array([round(float(values[rows].mean()), 9) for rows in units])
    assert one.category is not None
    names = [one.category(d.scan) for d in described]
    return np.array([max(sorted(mine := [names[r] for r in rows]), key=mine.count) for rows in units])


def _design(one: Property, column: Column) -> Values:
    if one.number is not None:
        ranks = rankdata(column)
        return np.asarray(ranks - ranks.mean(), dtype=np.float64)[:, None]
    member = np.stack([column == value for value in np.unique(column)], axis=1).astype(np.float64)
    centred: Values = (member - member.mean(axis=0)) / np.sqrt(member.sum(axis=0))
    return centred


def _told(one: Property, column: Column, labels: npt.NDArray[np.int64]) -> int:
    """Units whose class the others' values give away: nearest class median, or most frequent class."""
    right = 0
    for row, own in enumerate(labels.tolist()):
        others = np.arange(len(labels)) != row
        nearness = [
            _nearness(one, column[others & (labels == k)], column[row]) for k in range(int(labels.max()) + 1)
        ]
        right += nearness[own] > max(value for k, value in enumerate(nearness) if k != own)
    return right


def _nearness(one: Property, members: Column, value: np.str_ | np.float64) -> float:
    if len(members) == 0:
        return -np.inf
    if one.number is not None:
        return -abs(float(np.median(members.astype(np.float64))) - float(value))
    return float((members == value).mean())
