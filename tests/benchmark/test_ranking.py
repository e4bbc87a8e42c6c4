from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from workbench.benchmark.ranking import difference, mean_over_conditions, rank


def test_mean_ranks_and_friedman_equal_the_formula_by_hand() -> None:
    # Ranks by column: (1, 2, 3), (1, 3, 2), (2, 1, 3), (1, 2, 3).
    table = np.array([[0.9, 0.9, 0.7, 0.8], [0.8, 0.5, 0.9, 0.7], [0.7, 0.6, 0.6, 0.6]])
    found = rank(("a", "b", "c"), table)
    assert found.mean_ranks == (1.25, 2.0, 2.75)
    chi2 = 12 * 4 / (3 * 4) * (1.25**2 + 2.0**2 + 2.75**2 - 3 * 4**2 / 4)
    assert found.p_value == pytest.approx(float(stats.chi2.sf(chi2, 2)))
    assert found.conditions == 4


def test_ties_share_their_mean_rank() -> None:
    assert rank(("a", "b", "c"), np.array([[0.5], [0.5], [0.4]])).mean_ranks == (1.5, 1.5, 3.0)


@pytest.mark.parametrize(("rows", "q"), [(2, 1.960), (3, 2.343), (10, 3.164)])
def test_critical_difference_uses_demsars_table(rows: int, q: float) -> None:
    table = np.random.default_rng(0).random((rows, 14))
    found = rank([str(i) for i in range(rows)], table)
    expected = q * math.sqrt(rows * (rows + 1) / (6 * 14))
    assert found.critical_difference == pytest.approx(expected, rel=5e-4)


def test_conditions_of_one_origin_are_drawn_together() -> None:
    # Two origins: every resample is all 0, all 1 or half of each. Drawn apart, six zeros come once in 64.
    found = mean_over_conditions(np.array([0, 0, 0, 1, 1, 1.0]), ["a"] * 3 + ["b"] * 3)
    assert (found.value, found.low, found.high, found.n) == (0.5, 0.0, 1.0, 6)


def test_one_origin_has_no_interval() -> None:
    found = mean_over_conditions(np.array([0.2, 0.4]), ["a", "a"])
    assert found.value == pytest.approx(0.3)
    assert math.isnan(found.low)


def test_paired_differences_are_means_of_means_and_count_clear_conditions() -> None:
    base = np.array([0.2, 0.8, 0.5, 0.9])
    up, down, same = base + 0.1, base - 0.3, base + np.array([0.1, -0.1, 0.1, -0.1])
    found = difference([(up, base), (down, base), (same, base)], ["a", "b", "c"])
    assert found.mean.value == pytest.approx((0.1 - 0.3 + 0.0) / 3)
    assert (found.better, found.worse, found.mean.n) == (1, 1, 3)
