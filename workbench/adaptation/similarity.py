"""Is this condition like anything seen in meta-training? Nearest conditions by a task embedding.

A condition is described by the mean and the spread of its scans' embeddings, and two by the Frechet
distance of Gaussians with these moments and no covariance between directions,

    d(a, b)^2 = |m_a - m_b|^2 + |s_a - s_b|^2

in the spirit of Task2Vec (Achille et al., ICCV 2019) and of the optimal transport data set distance
(Alvarez-Melis and Fusi, NeurIPS 2020), without labels of the known conditions. What accuracy to expect
from it is stated only where it was shown, over other conditions, to say anything; see `Evidence`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Conditions that the encoder was trained on.

    Attributes:
        names: of the conditions.
        means, spreads: of their embeddings, ``(c, d)``.
    """

    names: tuple[str, ...]
    means: Values
    spreads: Values


@dataclass(frozen=True, slots=True)
class Resemblance:
    """A known condition and how far it is.

    Attributes:
        condition: its name.
        distance: Frechet distance between unit embeddings, 0 to about 2.
    """

    condition: str
    distance: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Whether nearness to a known condition predicts accuracy, over conditions the encoder was not trained
    on.

    Attributes:
        correlation: Spearman's, of the distance to the nearest known condition with the share of the way from
            guessing to perfect.
        low, high: its 95 % interval (Fisher's z with the variance of Bonett and Wright, Psychometrika 65,
            2000).
        conditions: how many, counting those of one origin once.
        intercept, slope: of that share on the distance, by least squares.
        spread: standard deviation about it.
    """

    correlation: float
    low: float
    high: float
    conditions: int
    intercept: float
    slope: float
    spread: float

    @property
    def predicts(self) -> bool:
        """Whether farther conditions are clearly read worse."""
        return self.high < 0


@dataclass(frozen=True, slots=True)
class Expectation:
    """Accuracy to expect of a condition from its resemblance to known ones, with a 95 % range."""

    accuracy: float
    low: float
    high: float


def moments(embeddings: Values, weights: Values | None = None) -> tuple[Values, Values]:
    """Mean and standard deviation ``(d,)`` of embeddings ``(n, d)``; weights sum to anything."""
    share = np.full(len(embeddings), 1.0) if weights is None else weights
    share = share / share.sum()
    mean = share @ embeddings
    return mean, np.sqrt(np.maximum(share @ (embeddings - mean) ** 2, 0))


def resemblances(known: Known, mean: Values, spread: Values) -> tuple[Resemblance, ...]:
    """All known conditions, nearest first."""
    squared = ((known.means - mean) ** 2).sum(axis=1) + ((known.spreads - spread) ** 2).sum(axis=1)
    order = np.argsort(squared, kind="stable")
    return tuple(Resemblance(known.names[i], math.sqrt(float(squared[i]))) for i in order)


def evidence(distances: Values, shares: Values, origins: Sequence[str]) -> Evidence:
    """Whether distance predicts accuracy, over conditions; those of one origin are averaged first.

    Args:
        distances: of each condition to the nearest known one.
        shares: (accuracy - chance) / (1 - chance) of each.
        origins: of each.
    """
    groups = sorted(set(origins))
    member = np.array([[o == g for o in origins] for g in groups], dtype=np.float64)
    member /= member.sum(axis=1, keepdims=True)
    x, y = member @ distances, member @ shares
    n = len(groups)
    if n < 4:
        return Evidence(math.nan, -1.0, 1.0, n, math.nan, math.nan, math.nan)
    rho = float(stats.spearmanr(x, y).statistic)
    half = 1.96 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    z = math.atanh(min(max(rho, -0.999), 0.999))
    slope, intercept = np.polyfit(x, y, 1)
    spread = float(np.std(y - slope * x - intercept, ddof=2))
    return Evidence(rho, math.tanh(z - half), math.tanh(z + half), n, float(intercept), float(slope), spread)


def expectation(found: Evidence, distance: float, way: int) -> Expectation | None:
    """What to expect at a distance; None where nearness was not shown to predict accuracy."""
    if not found.predicts:
        return None
    middle, half = found.intercept + found.slope * distance, 1.96 * found.spread
    low, value, high = (
        1 / way + (1 - 1 / way) * min(max(x, 0.0), 1.0) for x in (middle - half, middle, middle + half)
    )
    return Expectation(value, low, high)
