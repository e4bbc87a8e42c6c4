from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.adaptation.similarity import Known, evidence, expectation, moments, resemblances


def test_the_distance_is_frechets_of_gaussians_without_covariances() -> None:
    a, b = np.random.default_rng(0).normal(0, 1, (2, 50, 6))
    known = Known(("b",), *(m[None] for m in moments(b)))
    (found,) = resemblances(known, *moments(a))
    sd_a, sd_b = a.std(0), b.std(0)
    # tr(A + B - 2 (A^(1/2) B A^(1/2))^(1/2)) of diagonal A and B.
    trace = (sd_a**2 + sd_b**2 - 2 * sd_a * sd_b).sum()
    assert found.distance == pytest.approx(np.sqrt(((a.mean(0) - b.mean(0)) ** 2).sum() + trace))


def test_a_condition_resembles_itself_most() -> None:
    rng = np.random.default_rng(1)
    sets = rng.normal(0, 1, (4, 40, 8)) + 2 * rng.normal(0, 1, (4, 1, 8))
    found = [moments(s) for s in sets]
    known = Known(tuple("abcd"), np.stack([m for m, _ in found]), np.stack([s for _, s in found]))
    assert resemblances(known, *moments(sets[2][::2]))[0].condition == "c"


def test_weights_balance_classes() -> None:
    z = np.array([[0.0], [0.0], [0.0], [4.0]])
    mean, spread = moments(z, np.array([1 / 3, 1 / 3, 1 / 3, 1.0]))
    assert mean[0] == pytest.approx(2.0)
    assert spread[0] == pytest.approx(2.0)


def test_accuracy_is_expected_only_where_nearness_was_shown_to_predict_it() -> None:
    x = np.linspace(0.1, 1.0, 12)
    names = [str(i) for i in range(12)]
    shares = 0.9 - 0.5 * x + 0.01 * np.cos(9 * x)
    clear = evidence(x, shares, names)
    assert clear.predicts
    assert clear.correlation == pytest.approx(stats.spearmanr(x, shares).statistic)
    found = expectation(clear, 0.5, way=2)
    assert found is not None
    assert found.accuracy == pytest.approx(0.5 + 0.5 * 0.65, abs=0.01)
    unclear = evidence(x, np.random.default_rng(0).random(12), names)
    assert not unclear.predicts
    assert expectation(unclear, 0.5, 2) is None


def test_conditions_of_one_origin_count_once_and_few_origins_predict_nothing() -> None:
    x = np.linspace(0.1, 1.0, 12)
    found = evidence(x, 1 - x, ["one"] * 10 + ["two", "three"])
    assert found.conditions == 3
    assert not found.predicts
