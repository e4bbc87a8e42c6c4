from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from workbench.evaluation.statistics import (
    balanced_accuracy,
    bootstrap_interval,
    delong,
    mean_interval,
    paired_difference,
    percent,
    proportion,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(5, 5, 0.478, 1.0), (9, 10, 0.555, 0.997), (90, 100, 0.824, 0.951), (0, 4, 0.0, 0.602)],
)
def test_clopper_pearson_gives_the_published_limits(successes: int, n: int, low: float, high: float) -> None:
    found = proportion(successes, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


def test_a_proportion_of_nothing_says_nothing() -> None:
    found = proportion(0, 0)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (0.0, 1.0)


def test_more_successes_than_cases_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and n"):
        proportion(6, 5)


def test_the_t_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = [
        found.low < 0.7 < found.high
        for found in (mean_interval(rng.normal(0.7, 0.1, 12)) for _ in range(2000))
    ]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_episodes_without_a_value_are_left_out_and_not_counted() -> None:
    found = mean_interval(np.array([0.5, np.nan, 0.7]))
    assert (found.value, found.n) == (pytest.approx(0.6), 2)


def test_one_episode_has_no_interval() -> None:
    assert math.isnan(mean_interval(np.array([0.5])).low)


def test_pairing_removes_what_two_methods_share() -> None:
    rng = np.random.default_rng(1)
    hardness = rng.normal(0.7, 0.1, 200)
    first, second = hardness + rng.normal(0.02, 0.01, 200), hardness + rng.normal(0, 0.01, 200)
    paired = paired_difference(first, second)
    assert paired.low > 0
    assert paired.high - paired.low < mean_interval(first).high - mean_interval(first).low


def _scores(seed: int, m: int = 60, n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    # Rounded, so that ties occur.
    return rng.normal(1.2, 1, m).round(1), rng.normal(0, 1, n).round(1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_delong_agrees_with_the_bootstrap_and_the_area_with_scikit_learn(seed: int) -> None:
    positive, negative = _scores(seed)
    scores, truth = np.concatenate([positive, negative]), np.repeat([1, 0], [60, 90])
    found = delong(positive, negative)
    assert found.value == pytest.approx(roc_auc_score(truth, scores))
    drawn = bootstrap_interval(lambda rows: float(roc_auc_score(truth[rows], scores[rows])), truth)
    assert found.low == pytest.approx(drawn.low, abs=0.02)
    assert found.high == pytest.approx(drawn.high, abs=0.02)


def test_delong_variance_equals_a_double_loop() -> None:
    positive, negative = _scores(5, 7, 9)

    def wins(a: float, b: float) -> float:
        return 1.0 if a > b else 0.5 if a == b else 0.0

    v10 = [np.mean([wins(a, b) for b in negative]) for a in positive]
    v01 = [np.mean([wins(a, b) for a in positive]) for b in negative]
    area = float(np.mean(v10))
    deviation = math.sqrt(np.var(v10, ddof=1) / 7 + np.var(v01, ddof=1) / 9)
    half = 1.959964 * deviation / (area * (1 - area))
    expected = 1 / (1 + math.exp(-(math.log(area / (1 - area)) - half)))
    assert delong(positive, negative).low == pytest.approx(expected, abs=1e-6)


def test_complete_separation_of_few_cases_is_not_certainty() -> None:
    found = delong(np.array([2.0, 3.0, 4.0, 5.0, 6.0]), np.array([0.0, 0.5, 1.0, 1.2, 1.4, 1.5]))
    assert found.value == 1.0
    assert found.low == pytest.approx(proportion(5, 5).low)


def test_one_case_of_a_class_is_too_few_for_an_interval() -> None:
    assert math.isnan(delong(np.array([1.0]), np.array([0.0, 2.0])).low)


def test_the_bootstrap_never_loses_a_class() -> None:
    labels = np.array([0] * 50 + [1] * 2)

    def smallest(rows: np.ndarray) -> float:
        return float(np.bincount(labels[rows], minlength=2).min())

    assert bootstrap_interval(smallest, labels, 200).low == 2


def test_balanced_accuracy_agrees_with_the_bootstrap_on_many_cases() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], [200, 80, 120])
    predicted = np.where(rng.random(400) < 0.75, labels, (labels + 1) % 3)
    found = balanced_accuracy(labels, predicted)
    hits = labels == predicted
    drawn = bootstrap_interval(
        lambda rows: float(np.mean([hits[rows][labels[rows] == k].mean() for k in range(3)])), labels
    )
    assert found.value == pytest.approx(drawn.value)
    assert found.low == pytest.approx(drawn.low, abs=0.01)
    assert found.high == pytest.approx(drawn.high, abs=0.01)


def test_all_right_is_not_certainty() -> None:
    labels = np.array([0] * 5 + [1] * 5)
    found = balanced_accuracy(labels, labels)
    assert found.value == found.high == 1.0
    assert 0.5 < found.low < 0.8


def test_rounding_never_claims_certainty() -> None:
    assert (percent(0.997), percent(1.0), percent(0.001), percent(0.0)) == ("99.7", "100", "0.1", "0")
    assert percent((0.70 + 0.85) / 2) == percent(31 / 40) == "78"


def test_the_mean_interval_is_student_s() -> None:
    """t(0.975; 2) = 4.3027 and the standard deviation of 1, 2, 3 is 1."""
    found = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert found.high - found.value == pytest.approx(4.302653 / math.sqrt(3), abs=1e-5)


def test_limits_stop_at_what_no_value_can_pass() -> None:
    values = np.array([1.0, 0.9, 1.0, 0.6])
    assert mean_interval(values).high > 1.0
    assert mean_interval(values, bounds=(0.0, 1.0)).high == 1.0
    assert mean_interval(1 - values, bounds=(0.0, 1.0)).low == 0.0
