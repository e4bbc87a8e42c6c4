from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from workbench.adaptation.drift import Cohort, DriftWatch, drift_between, energy_test


def _cohort(n: int, shift: float = 0.0, seed: int = 0, share: float = 0.5) -> Cohort:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(np.int64)
    return Cohort(rng.normal(0, 1, (n, 4)) + shift + 6 * labels[:, None], labels)


def test_the_statistic_is_the_energy_distance_within_each_class() -> None:
    a, b = _cohort(9, seed=1), _cohort(12, 0.5, seed=2)
    expected = 0.0
    for k in (0, 1):
        x, y = a.embeddings[a.read_as == k], b.embeddings[b.read_as == k]
        m, n = len(x), len(y)
        expected += m * n / (m + n) * (2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean())
    assert energy_test(a, b, 20)[0] == pytest.approx(expected, rel=1e-9)


def test_p_is_uniform_without_drift() -> None:
    p = [energy_test(_cohort(10, seed=2 * i), _cohort(15, seed=2 * i + 1), 99)[1] for i in range(200)]
    assert 0.01 < np.mean(np.array(p) <= 0.05) + 0.005 < 0.12
    assert 0.4 < np.mean(p) < 0.6


def test_other_shares_of_the_classes_are_no_drift_and_a_shift_is() -> None:
    mixed = [
        drift_between(_cohort(20, seed=i), _cohort(30, seed=i + 50, share=0.9)).drifting for i in range(40)
    ]
    assert np.mean(mixed) <= 0.1
    moved = [drift_between(_cohort(20, seed=i), _cohort(30, 1.5, seed=i + 50)).drifting for i in range(10)]
    assert all(moved)


def test_too_few_patients_say_nothing() -> None:
    found = drift_between(_cohort(20), _cohort(5, 9.0))
    assert found.p_value is None
    assert not found.drifting
    assert "too few to say" in found.statement
    assert DriftWatch(_cohort(20)).drift().p_value is None
