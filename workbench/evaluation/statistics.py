"""Numbers with their intervals.

Every accuracy, sensitivity and AUROC the workbench shows is made here, with a 95 % interval and the n it
rests on. Cases are patients, never scans: see `workbench.evaluation.performance`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Proportion:
    """A proportion with its exact binomial interval.

    Attributes:
        successes, n: counts; the proportion is their ratio.
        low, high: 95 % limits, 0 to 1.
    """

    successes: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """Successes over n; NaN where n is 0."""
        return self.successes / self.n if self.n else math.nan

    def __str__(self) -> str:
        return f"{percent(self.value)} % ({percent(self.low)}-{percent(self.high)} %, n = {self.n})"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval.

    Attributes:
        value: the estimate.
        low, high: limits; NaN where there is too little to say.
        n: number of episodes or patients it rests on.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f}, n = {self.n})"


def percent(value: float) -> str:
    """A proportion in percent: no decimals, but one where rounding would claim 0 or 100."""
    if math.isnan(value):
        return "-"
    # The mean of 0.70 and 0.85 falls a bit below 0.775: such dust must not decide the last digit.
    value = round(value, 9)
    whole = round(100 * value)
    return f"{100 * value:.1f}" if whole in (0, 100) and value not in (0.0, 1.0) else str(whole)


def proportion(successes: int, n: int, confidence: float = CONFIDENCE) -> Proportion:
    """Clopper and Pearson's exact interval (Biometrika 26, 1934).

    Raises:
        ValueError: unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must be between 0 and n = {n}, not {successes}")
    if n == 0:
        return Proportion(0, 0, 0.0, 1.0)
    limits = stats.binomtest(successes, n).proportion_ci(confidence, method="exact")
    return Proportion(successes, n, float(limits.low), float(limits.high))


def mean_interval(
    values: Values,
    confidence: float = CONFIDENCE,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Mean of independent values (episodes) with Student's t interval; NaN values are left out.

    Args:
        values: one for each episode.
        confidence: of the interval.
        bounds: that no value can pass; the limits are cut there (a few episodes may say "up to 108 %").

    With fewer than two values the limits are NaN.
    """
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[~np.isnan(kept)]
    n = len(kept)
    if n < 2:
        return Interval(float(kept[0]) if n else math.nan, math.nan, math.nan, n)
    mean = float(kept.mean())
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1) * kept.std(ddof=1) / math.sqrt(n))
    return Interval(mean, max(bounds[0], mean - half), min(bounds[1], mean + half), n)


def paired_difference(first: Values, second: Values, confidence: float = CONFIDENCE) -> Interval:
    """Mean of ``first - second`` over the same episodes; pairs with a NaN are left out.

    Raises:
        ValueError: if they differ in length.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired values must be as many, not {a.shape} and {b.shape}")
    return mean_interval(a - b, confidence)


def bootstrap_interval(
    statistic: Callable[[npt.NDArray[np.intp]], float],
    labels: Labels,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Percentile bootstrap over patients, drawn within each class so that none can go missing.

    Args:
        statistic: of row numbers (with repeats).
        labels: class of each patient ``(n,)``.
        resamples: how many.
        seed: of the drawing; the same seed gives the same interval.
        confidence: of the interval.

    With fewer than two patients in a class the limits are NaN. Where the resamples hardly vary (everything
    right) the interval is too narrow; `delong` and `balanced_accuracy` mind that.
    """
    rows = np.arange(len(labels))
    value = statistic(rows)
    groups = [rows[labels == k] for k in np.unique(labels)]
    if any(len(group) < 2 for group in groups):
        return Interval(value, math.nan, math.nan, len(labels))
    rng = np.random.default_rng(seed)
    draws = [
        statistic(np.concatenate([group[rng.integers(len(group), size=len(group))] for group in groups]))
        for _ in range(resamples)
    ]
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Interval(value, float(low), float(high), len(labels))


def delong(positive: Values, negative: Values, confidence: float = CONFIDENCE) -> Interval:
    """Area under the ROC curve with DeLong's variance (Biometrics 44, 1988, equations 3 to 5).

    The interval is built on the logit of the area, which keeps it inside 0 to 1. Where the classes are
    separated completely the variance is zero and says nothing; then the limit is Clopper and Pearson's for
    min(m, n) successes in as many trials: disjoint pairs of a positive and a negative case are independent
    trials whose probability of success is the area.

    Args:
        positive, negative: scores of the patients with and without the class.

    With fewer than two patients on a side the limits are NaN.
    """
    m, n = len(positive), len(negative)
    if m == 0 or n == 0:
        return Interval(math.nan, math.nan, math.nan, m + n)
    psi = _wins(positive, negative)
    area = float(psi.mean())
    if m < 2 or n < 2:
        return Interval(area, math.nan, math.nan, m + n)
    if area in (0.0, 1.0):
        pairs = min(m, n)
        exact = proportion(pairs if area else 0, pairs, confidence)
        return Interval(area, exact.low, exact.high, m + n)
    variance = float(psi.mean(axis=1).var(ddof=1) / m + psi.mean(axis=0).var(ddof=1) / n)
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(variance) / (area * (1 - area))
    logit = math.log(area / (1 - area))
    return Interval(area, _expit(logit - half), _expit(logit + half), m + n)


def balanced_accuracy(labels: Labels, predicted: Labels, confidence: float = CONFIDENCE) -> Interval:
    """Mean of the classes' sensitivities, its interval recovered from their exact ones (MOVER).

    Zou and Donner, Statistics in Medicine 27 (2008), section 2: the distances from the
    estimates to their limits are added in quadrature. Unlike the bootstrap it does not collapse where a
    class is all right.
    """
    hits = labels == predicted
    found = [
        proportion(int(hits[labels == k].sum()), int((labels == k).sum()), confidence)
        for k in np.unique(labels)
    ]
    value = float(np.mean([p.value for p in found]))
    below = math.sqrt(sum((p.value - p.low) ** 2 for p in found)) / len(found)
    above = math.sqrt(sum((p.high - p.value) ** 2 for p in found)) / len(found)
    return Interval(value, value - below, value + above, len(labels))


def _wins(positive: Values, negative: Values) -> Values:
    """Matrix ``(m, n)``: 1 where the positive case scores higher, one half for a tie."""
    a, b = np.asarray(positive)[:, None], np.asarray(negative)[None, :]
    wins: Values = (a > b) + 0.5 * (a == b)
    return wins


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value))
