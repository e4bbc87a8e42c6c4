from __future__ import annotations

import numpy as np
import pytest
from crepes import ConformalClassifier

from workbench.adaptation.conformal import (
    LeftOut,
    achievable,
    needed_patients,
    p_values,
    prediction_sets,
    promise_of,
)
from workbench.learners.appraisal import Scope


def _left_out(each: int, way: int = 2, seed: int = 0) -> LeftOut:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(way), each)
    return LeftOut(rng.random(way * each), labels, np.ones(way * each), way)


@pytest.mark.parametrize(("coverage", "needed"), [(0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (0.5, 1)])
def test_patients_needed_for_a_coverage(coverage: float, needed: int) -> None:
    assert needed_patients(coverage) == needed
    assert achievable(needed) >= coverage - 1e-12
    assert achievable(needed - 1) < coverage


def test_p_values_are_those_of_crepes_per_class_and_overall() -> None:
    left_out = _left_out(12, way=3)
    probabilities = np.random.default_rng(1).dirichlet(np.ones(3), 7)
    overall = ConformalClassifier()
    overall.fit(left_out.scores)
    expected = overall.predict_p(1 - probabilities, smoothing=False)
    np.testing.assert_allclose(p_values(left_out, probabilities, Scope.OVERALL), expected, atol=1e-9)
    for k in range(3):
        each = ConformalClassifier()
        each.fit(left_out.scores[left_out.labels == k])
        found = p_values(left_out, probabilities, Scope.PER_CLASS)[:, k]
        np.testing.assert_allclose(
            found, each.predict_p(1 - probabilities[:, [k]], smoothing=False)[:, 0], atol=1e-9
        )


@pytest.mark.parametrize("coverage", [0.8, 0.9])
@pytest.mark.parametrize("each", [4, 9, 30])
def test_sets_of_exchangeable_patients_hold_the_truth_as_often_as_promised(
    coverage: float, each: int
) -> None:
    rng = np.random.default_rng(each)
    held, total = np.zeros(2), np.zeros(2)
    promised = promise_of(_left_out(each), coverage)
    for _ in range(1500):
        # Class 1 is read far worse than class 0: the promise for each class must mind that.
        def read(labels: np.ndarray) -> np.ndarray:
            first = np.where(labels == 0, rng.beta(8, 2, len(labels)), rng.beta(3, 3, len(labels)))
            return np.stack([first, 1 - first], axis=1)

        labels = np.repeat([0, 1], each)
        scores = 1 - read(labels)[np.arange(2 * each), labels]
        truth = np.array([0, 1])
        left_out = LeftOut(scores, labels, np.ones(2 * each), 2)
        sets = prediction_sets(left_out, read(truth), ("a", "b"), coverage)
        held += ["ab"[t] in s.classes for t, s in zip(truth, sets, strict=True)]
        total += 1
    shares = held / total
    error = 3 * np.sqrt(0.25 / 1500)
    if promised.scope is Scope.PER_CLASS:
        assert (shares > promised.given - error).all()
        steps = np.ceil((each + 1) * promised.given - 1e-9) / (each + 1)
        assert np.abs(shares - steps).max() < error + 0.01
    else:
        assert shares.mean() > promised.given - error


def test_a_promise_is_per_class_then_overall_then_declined() -> None:
    assert promise_of(_left_out(9), 0.9).scope is Scope.PER_CLASS
    pooled = promise_of(_left_out(5), 0.9)
    assert (pooled.scope, pooled.kept, pooled.patients) == (Scope.OVERALL, True, 10)
    declined = promise_of(_left_out(5), 0.95)
    assert not declined.kept
    assert declined.given == pytest.approx(10 / 11)
    assert "cannot be promised" in declined.statement
    assert "19 patients per class" in declined.statement
    nothing = promise_of(_left_out(0), 0.8)
    assert (nothing.scope, nothing.given, nothing.kept) == (Scope.NONE, 0.0, False)


def test_a_declined_set_is_made_at_the_largest_coverage_and_leaves_something_out() -> None:
    left_out = LeftOut(np.full(4, 0.1), np.array([0, 0, 1, 1]), np.ones(4), 2)
    (found,) = prediction_sets(left_out, np.array([[0.95, 0.05]]), ("a", "b"), 0.95)
    assert found.promise.given == pytest.approx(0.8)
    assert found.classes == ("a",)


def test_without_left_out_patients_every_class_is_plausible_and_nothing_is_promised() -> None:
    (found,) = prediction_sets(_left_out(0), np.array([[0.9, 0.1]]), ("a", "b"), 0.9)
    assert found.classes == ("a", "b")


def test_a_scan_read_worse_as_every_class_than_any_patient_gets_an_empty_set() -> None:
    left_out = LeftOut(np.full(20, 0.05), np.repeat([0, 1], 10), np.ones(20), 2)
    sure, unsure = prediction_sets(left_out, np.array([[0.97, 0.03], [0.5, 0.5]]), ("a", "b"), 0.9)
    assert sure.classes == ("a",)
    assert unsure.classes == ()


def test_a_patient_with_many_scans_counts_once() -> None:
    one = LeftOut(np.array([0.3, 0.6, 0.1]), np.array([0, 0, 1]), np.ones(3), 2)
    many = LeftOut(
        np.array([0.3, 0.3, 0.3, 0.6, 0.1]), np.array([0, 0, 0, 0, 1]), np.array([1, 1, 1, 3, 3]) / 3, 2
    )
    probabilities = np.array([[0.55, 0.45], [0.8, 0.2]])
    for scope in (Scope.PER_CLASS, Scope.OVERALL):
        np.testing.assert_allclose(p_values(one, probabilities, scope), p_values(many, probabilities, scope))


def test_a_set_depends_on_its_own_scan_only() -> None:
    left_out = _left_out(10)
    probabilities = np.random.default_rng(3).dirichlet(np.ones(2), 9)
    together = prediction_sets(left_out, probabilities, ("a", "b"), 0.8)
    alone = [prediction_sets(left_out, row[None], ("a", "b"), 0.8)[0] for row in probabilities]
    assert list(together) == alone
