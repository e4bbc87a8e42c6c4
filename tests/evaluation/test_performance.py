from __future__ import annotations

import numpy as np
import pytest

from workbench.evaluation.performance import TOO_FEW, by_patient, performance, said

CLASSES = ("a", "b")


def _two(values: list[float]) -> np.ndarray:
    return np.array([[1 - p, p] for p in values])


def test_a_patient_with_many_scans_counts_once() -> None:
    probabilities = _two([0.9, 0.8, 0.1] + [0.9] * 2 + [0.1] * 3)
    labels = np.array([1, 1, 1, 1, 1, 0, 0, 0])
    patients = ["p"] * 3 + ["q", "r", "s", "t", "u"]
    found = performance(CLASSES, probabilities, labels, patients)
    assert (found.scans, found.patients) == (8, 6)
    assert found.accuracy is not None
    assert (found.accuracy.successes, found.accuracy.n) == (6, 6)  # the mean of p's scans is 0.6


def test_averaging_is_by_patient_and_label() -> None:
    cases = by_patient(_two([0.2, 0.6, 0.9]), np.array([0, 0, 1]), ["p", "p", "p"])
    np.testing.assert_allclose(cases.probabilities[:, 1], [0.4, 0.9])
    assert cases.labels.tolist() == [0, 1]


def test_confusion_has_the_truth_in_its_rows() -> None:
    found = performance(CLASSES, _two([0.9, 0.1, 0.2, 0.8]), np.array([0, 0, 0, 1]), list("pqrs"))
    assert found.confusion.tolist() == [[2, 1], [0, 1]]


def test_a_class_with_one_patient_is_too_few_to_say() -> None:
    found = performance(CLASSES, _two([0.1, 0.2, 0.8]), np.array([0, 0, 1]), list("pqr"))
    assert found.sensitivities[1] is None
    assert found.accuracy is None
    assert found.auroc is None
    assert said(found.accuracy) == TOO_FEW


def test_a_cohort_may_lack_a_class_and_still_have_an_accuracy() -> None:
    found = performance(CLASSES, _two([0.1, 0.8]), np.array([0, 0]), list("pq"), every_class=False)
    assert found.accuracy is not None
    assert (found.accuracy.successes, found.accuracy.n) == (1, 2)
    assert found.balanced_accuracy is None


def test_three_classes_perfectly_told_apart_are_still_uncertain() -> None:
    probabilities = np.eye(3)[[0, 0, 0, 1, 1, 1, 2, 2, 2]]
    found = performance(("a", "b", "c"), probabilities, probabilities.argmax(1), list("pqrstuvwx"))
    assert found.auroc is not None
    assert found.auroc.value == pytest.approx(1.0)
    assert found.auroc.low < 0.5
