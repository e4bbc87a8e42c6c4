from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage

from workbench.adaptation.novelty import Mahalanobis, Novelty, energy, nearest, shrinkage, usual_distances


def _support(seed: int = 0, each: int = 6, d: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], each)
    scale = np.linspace(2, 0.1, d)
    return rng.normal(0, 1, (2 * each, d)) * scale + 3 * labels[:, None] * np.eye(d)[0], labels


@pytest.mark.parametrize("each", [3, 6, 40])
def test_the_distance_is_that_of_the_whole_shrunk_covariance_matrix(each: int) -> None:
    z, labels = _support(each=each)
    away = np.concatenate([z[labels == k] - z[labels == k].mean(0) for k in (0, 1)])
    away *= math.sqrt(len(z) / (len(z) - 2))
    covariance = LedoitWolf(assume_centered=True).fit(away).covariance_
    new = np.random.default_rng(1).normal(0, 1, (5, z.shape[1]))
    means = np.stack([z[labels == k].mean(0) for k in (0, 1)])
    expected = cdist(new, means, "mahalanobis", VI=np.linalg.inv(covariance)).min(1) ** 2 / z.shape[1]
    np.testing.assert_allclose(Mahalanobis.of(z, labels).distances(new), expected, rtol=1e-6)


@pytest.mark.parametrize(("n", "d"), [(5, 40), (40, 5), (30, 30)])
def test_shrinkage_from_inner_products_is_that_of_scikit_learn(n: int, d: int) -> None:
    x = np.random.default_rng(n).normal(0, 1, (n, d)) * np.linspace(1, 3, d)
    assert shrinkage(x @ x.T, d) == pytest.approx(ledoit_wolf_shrinkage(x, assume_centered=True))


def test_one_scan_of_each_class_still_gives_finite_distances() -> None:
    z, labels = _support(each=1)
    assert np.isfinite(Mahalanobis.of(z, labels).distances(z + 1)).all()


def test_nearest_is_the_kth_distance_between_unit_vectors() -> None:
    rng = np.random.default_rng(0)
    unit = lambda v: v / np.linalg.norm(v, axis=1, keepdims=True)  # noqa: E731
    support, new = unit(rng.normal(0, 1, (8, 5))), unit(rng.normal(0, 1, (4, 5)))
    expected = np.sort(cdist(new, support), axis=1)
    np.testing.assert_allclose(nearest(support, new, 1), expected[:, 0], atol=1e-7)
    np.testing.assert_allclose(nearest(support, new, 3), expected[:, 2], atol=1e-7)


def test_energy_is_minus_the_log_of_the_summed_exponentials() -> None:
    logits = np.array([[1.0, 2.0], [-3.0, 0.5]])
    np.testing.assert_allclose(energy(logits), -np.log(np.exp(logits).sum(1)))


def test_usual_distances_leave_the_patient_out_and_count_it_once() -> None:
    z, labels = _support(each=5)
    patients = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    found = usual_distances(z, labels, patients)
    assert len(found) == 9
    rest = patients != 0
    expected = Mahalanobis.of(z[rest], labels[rest]).distances(z[~rest]).max()
    assert found[0] == pytest.approx(expected)


def test_the_only_patient_of_a_class_is_not_called_strange() -> None:
    z, labels = _support(each=4)
    keep = np.array([0, 1, 2, 3, 4])
    assert len(usual_distances(z[keep], labels[keep], np.arange(5))) == 4


def test_strange_scans_are_flagged_and_too_few_patients_say_nothing() -> None:
    z, labels = _support(each=10)
    usual = usual_distances(z, labels, np.arange(20))
    novelty = Novelty(Mahalanobis.of(z, labels), usual, 2.0)
    own, strange = novelty.familiarity(np.stack([z[0], z[0] + 40]))
    assert not own.unlike
    assert strange.unlike
    assert strange.p_value == pytest.approx(1 / 21)
    few = Novelty(Mahalanobis.of(z, labels), usual[:3], 2.0).familiarity(z[:1] + 40)[0]
    assert math.isnan(few.usual)
    assert not few.unlike


def test_familiarity_of_a_scan_does_not_depend_on_the_others() -> None:
    z, labels = _support()
    novelty = Novelty(Mahalanobis.of(z, labels), usual_distances(z, labels, np.arange(len(z))), 1.5)
    together = novelty.familiarity(z * 1.3)
    for row, one in enumerate(together):
        (alone,) = novelty.familiarity(z[row : row + 1] * 1.3)
        assert alone.distance == pytest.approx(one.distance, rel=1e-9)
        assert alone.unlike == one.unlike
