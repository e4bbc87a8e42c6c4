from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from workbench.adaptation.forecast import GrowthPrior, forecast, widened
from workbench.evaluation.statistics import proportion


def test_without_spread_the_forecast_is_the_posterior_moved_by_the_known_gain() -> None:
    found = forecast(GrowthPrior(0.4, 0.0, 1.0), 700, 1000, shots=5, more=5)
    assert found is not None
    assert found.now == 0.7
    assert found.expected == pytest.approx(expit(logit(0.7) + 0.4), abs=2e-3)
    # The delta method: the logit's deviation is 1 / sqrt(n p q), and is carried back at the new accuracy.
    then = expit(logit(0.7) + 0.4)
    width = 2 * 1.96 / np.sqrt(1000 * 0.7 * 0.3) * then * (1 - then)
    assert found.high - found.low == pytest.approx(width, rel=0.05)


def test_forecasts_hold_what_happens_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    prior = GrowthPrior(0.3, 0.3, 1.0)
    inside = []
    for _ in range(400):
        now = rng.uniform(0.4, 0.95)
        then = expit(logit(now) + rng.normal(0.3, 0.3))
        found = forecast(prior, int(rng.binomial(20, now)), 20, shots=5)
        assert found is not None
        inside.append(found.low <= then <= found.high)
    assert np.mean(inside) > 0.92


def test_left_out_patients_that_are_worth_less_widen_the_interval() -> None:
    sure, less = (forecast(GrowthPrior(0.3, 0.2, worth), 14, 20, 10) for worth in (1.0, 0.5))
    assert sure is not None
    assert less is not None
    assert less.high - less.low > sure.high - sure.low


def test_too_few_patients_forecast_nothing() -> None:
    assert forecast(GrowthPrior(0.3, 0.2, 1.0), 8, 9, 4.5) is None


@pytest.mark.parametrize(("right", "patients"), [(0, 10), (7, 10), (10, 10), (31, 40)])
def test_the_widened_interval_is_the_exact_one_of_the_patients_they_are_worth(
    right: int, patients: int
) -> None:
    same = widened(GrowthPrior(0, 0, 1.0), right, patients)
    exact = proportion(right, patients)
    assert (same.low, same.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    half = widened(GrowthPrior(0, 0, 0.5), 2 * right, 2 * patients)
    assert (half.low, half.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert (half.successes, half.n) == (2 * right, 2 * patients)
