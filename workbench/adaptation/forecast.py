"""What more labelled patients would bring: a learning-curve forecast with its interval.

Accuracy is looked at as a logit. Over meta-training episodes it grows with the logarithm of the patients per
class by a rate b that differs from condition to condition with a spread s:

    logit a(n + m) = logit a(n) + log2((n + m) / n) * b,    b ~ N(rate, s^2)                          (1)

What the support says about a(n) is a binomial count: patients left out and read right. Its posterior under
Jeffreys' prior is carried through (1). The count is of dependent readings (every two models share all but two
patients), so it is worth fewer: `worth` patients each, learned over the same episodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from workbench.evaluation.statistics import Proportion

MIN_PATIENTS = 10
"""Left-out patients below which nothing is forecast."""
MORE = 5
"""Patients per class that are added."""
_GRID = (np.arange(400) + 0.5) / 400


@dataclass(frozen=True, slots=True)
class GrowthPrior:
    """How accuracy grows, learned over meta-training episodes.

    Attributes:
        rate: gain in logits for each doubling of the patients per class.
        spread: standard deviation of the rate over episodes.
        worth: independent patients that one left-out patient is worth, above 0 to 1.
    """

    rate: float
    spread: float
    worth: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Accuracy after adding patients.

    Attributes:
        more: patients added to each class.
        now: accuracy of the left-out patients, 0 to 1.
        patients: how many these were.
        expected: median of the forecast.
        low, high: 95 % interval of the forecast.
    """

    more: int
    now: float
    patients: int
    expected: float
    low: float
    high: float

    @property
    def statement(self) -> str:
        """In one sentence."""
        return (
            f"{self.more} more patients per class: accuracy {self.now:.2f} now, {self.expected:.2f} then "
            f"(95 % of the forecast {self.low:.2f} to {self.high:.2f}, {self.patients} patients)."
        )


def widened(prior: GrowthPrior, right: int, patients: int) -> Proportion:
    """Accuracy of left-out patients with Clopper and Pearson's interval for the patients they are worth.

    Args:
        prior: says what one is worth.
        right: left-out patients that were read right.
        patients: left-out patients, at least one.
    """
    count, share = prior.worth * patients, right / patients
    low = stats.beta.ppf(0.025, share * count, (1 - share) * count + 1) if right else 0.0
    high = stats.beta.ppf(0.975, share * count + 1, (1 - share) * count) if right < patients else 1.0
    return Proportion(right, patients, float(low), float(high))


def forecast(
    prior: GrowthPrior, right: int, patients: int, shots: float, more: int = MORE
) -> Forecast | None:
    """Forecast from leave-one-patient-out.

    Args:
        prior: see there.
        right: left-out patients that were read right.
        patients: left-out patients.
        shots: mean number of patients per class.
        more: patients to be added to each class.

    Returns:
        None where there are too few patients to say.
    """
    if patients < MIN_PATIENTS:
        return None
    count = prior.worth * patients
    share = right / patients
    now = stats.beta.ppf(_GRID, share * count + 0.5, (1 - share) * count + 0.5)
    doublings = math.log2((shots + more) / shots)
    rates = stats.norm.ppf(_GRID, prior.rate, max(prior.spread, 1e-9))
    now = np.clip(now, 1e-6, 1 - 1e-6)
    then = expit(logit(now)[:, None] + doublings * rates[None, :]).ravel()
    low, middle, high = np.quantile(then, [0.025, 0.5, 0.975])
    return Forecast(more, share, patients, float(middle), float(low), float(high))
