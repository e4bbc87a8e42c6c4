"""Comparing rows over conditions: means, ranks, and differences paired by episode.

Conditions made from the same images are not independent, so intervals over conditions draw whole groups of
one origin (the cluster bootstrap: Davison and Hinkley, "Bootstrap Methods and their Application", 1997,
section 3.8). Ranks follow Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7,
2006, section 3.2: Friedman's test, and Nemenyi's critical difference of mean ranks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from workbench.evaluation.statistics import CONFIDENCE, Interval, Values, paired_difference

_RESAMPLES, _SEED = 10_000, 0


@dataclass(frozen=True, slots=True)
class Ranking:
    """Mean ranks of k rows over n conditions.

    Attributes:
        labels: of the rows.
        mean_ranks: 1 is best; ties share their mean rank.
        conditions: n.
        p_value: of Friedman's test that all rows are alike; NaN with fewer than three rows or two conditions.
        critical_difference: by which two mean ranks must differ at the 5 % level (Nemenyi).
    """

    labels: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    conditions: int
    p_value: float
    critical_difference: float


@dataclass(frozen=True, slots=True)
class Difference:
    """One row minus another on the same episodes.

    Attributes:
        mean: over conditions of the mean difference, with an interval over conditions.
        better, worse: conditions where the interval over episodes of the difference excludes zero.
    """

    mean: Interval
    better: int
    worse: int


def mean_over_conditions(values: Values, groups: Sequence[str]) -> Interval:
    """Mean of one value for each condition, with a percentile interval over groups of one origin.

    Args:
        values: ``(n,)``.
        groups: origin of each condition; conditions of one group are drawn together.

    With fewer than two groups the limits are NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    names, index = np.unique(np.array(groups), return_inverse=True)
    if len(names) < 2:
        return Interval(float(values.mean()) if len(values) else math.nan, math.nan, math.nan, len(values))
    sums = np.bincount(index, weights=values)
    counts = np.bincount(index)
    rng = np.random.default_rng(_SEED)
    drawn = rng.integers(len(names), size=(_RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(values.mean()), float(low), float(high), len(values))


def rank(labels: Sequence[str], table: npt.NDArray[np.float64]) -> Ranking:
    """Ranks of rows on each condition, and whether they differ.

    Args:
        labels: of the k rows.
        table: ``(k, n)``, larger is better; no NaN.
    """
    k, n = table.shape
    ranks = stats.rankdata(-table, axis=0)
    p_value = float(stats.friedmanchisquare(*table).pvalue) if k > 2 and n > 1 else math.nan
    # Demsar's table of q is the studentised range divided by the root of two.
    q = float(stats.studentized_range.ppf(CONFIDENCE, k, np.inf)) / math.sqrt(2) if k > 1 else math.nan
    critical = q * math.sqrt(k * (k + 1) / (6 * n)) if n else math.nan
    return Ranking(tuple(labels), tuple(float(r) for r in ranks.mean(axis=1)), n, p_value, critical)


def difference(pairs: Sequence[tuple[Values, Values]], groups: Sequence[str]) -> Difference:
    """First minus second over conditions.

    Args:
        pairs: for each condition, the scores of the two rows on the same episodes.
        groups: origin of each condition; see `mean_over_conditions`.
    """
    each = [paired_difference(first, second) for first, second in pairs]
    means = np.array([one.value for one in each])
    return Difference(
        mean_over_conditions(means, groups),
        sum(one.low > 0 for one in each),
        sum(one.high < 0 for one in each),
    )
