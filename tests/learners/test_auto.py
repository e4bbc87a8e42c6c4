"""The choice of a method: evidence it needs, patients it never splits, and what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers import tiny_learner
from workbench.data.examples import Features, Support
from workbench.learners.auto import Auto, AutoHead, choice_of
from workbench.learners.base import Classifier, Head
from workbench.learners.choice import choose, patient_folds
from workbench.learners.files import (
    ClassifierRecord,
    describe,
    load_classifier,
    load_learner,
    save_classifier,
    save_learner,
)

Readings = npt.NDArray[np.float64]


def _auto(**options: object) -> Auto:
    learner = tiny_learner("auto", options=options)
    assert isinstance(learner, Auto)
    return learner.eval()


def _support(features: torch.Tensor, labels: torch.Tensor, patients: list[str] | None = None) -> Support:
    way = int(labels.max()) + 1
    keys = patients or [f"p{row}" for row in range(len(labels))]
    return Support(Features(features), labels, tuple(f"class {k}" for k in range(way)), tuple(keys))


def _means(learner: Auto, n: int = 20, apart: float = 3.0) -> Support:
    """Two classes whose means differ: what linear probes are for."""
    torch.manual_seed(0)
    labels = torch.arange(n) % 2
    features = torch.randn(n, learner.backbone.dim)
    features[:, 0] += apart * labels
    return _support(features, labels)


def _directions(learner: Auto, n: int = 60) -> Support:
    """Two classes of one mean, drawn out in different directions: nothing linear tells them apart."""
    torch.manual_seed(0)
    labels = torch.arange(n) % 2
    features = torch.zeros(n, learner.backbone.dim)
    features[torch.arange(n), labels] = 2 * torch.randn(n)
    features += 0.1 * torch.randn(features.shape)
    return _support(features, labels)


def _certain(labels: Readings, right: npt.NDArray[np.bool_], sure: float = 0.8) -> Readings:
    """Readings of two classes that are `sure` of the truth where `right`, of the other class elsewhere."""
    chance = np.where(right, sure, 1 - sure)
    return np.where(labels[:, None] == np.arange(2), chance[:, None], 1 - chance[:, None])


LABELS = np.arange(40) % 2
KEYS = [str(row) for row in range(40)]


def test_a_method_that_is_a_little_better_does_not_take_over() -> None:
    first, other = np.ones(40, bool), np.ones(40, bool)
    first[:5], other[:4] = False, False
    readings = {"first": _certain(LABELS, first), "other": _certain(LABELS, other)}
    assert choose(readings, LABELS, KEYS, 5, 0.05).method == "first"


def test_a_method_that_is_clearly_better_takes_over() -> None:
    first, other = np.ones(40, bool), np.ones(40, bool)
    first[:15], other[:2] = False, False
    readings = {"first": _certain(LABELS, first), "other": _certain(LABELS, other)}
    choice = choose(readings, LABELS, KEYS, 5, 0.05)
    assert choice.method == "other"
    assert "95 % against 62 %" in choice.why
    assert "difference 32 points, 95 % interval 17 to 48" in choice.why
    assert choose(readings, LABELS, KEYS, 5, 0.0).method == "first", "a level of 0 asks for endless evidence"


def test_being_less_sure_of_the_same_readings_is_no_evidence() -> None:
    right = np.arange(40) % 3 > 0
    readings = {"first": _certain(LABELS, right, 0.99), "other": _certain(LABELS, right, 0.6)}
    choice = choose(readings, LABELS, KEYS, 5, 0.05)
    assert choice.scores[1].log_loss < choice.scores[0].log_loss
    assert choice.method == "first"


def test_many_scans_of_one_patient_are_one_piece_of_evidence() -> None:
    """Forty scans of which all that favour the other method are of one patient."""
    first = np.ones(40, bool)
    first[:20] = False
    readings = {"first": _certain(LABELS, first), "other": _certain(LABELS, np.ones(40, bool))}
    assert choose(readings, LABELS, KEYS, 5, 0.05).method == "other"
    keys = ["one"] * 20 + KEYS[20:]
    choice = choose(readings, LABELS, keys, 5, 0.05)
    assert choice.method == "first"
    assert choice.patients == 21


def test_where_classes_differ_in_covariance_only_gaussian_classes_are_chosen() -> None:
    learner = _auto()
    choice = choice_of(learner.adapt(_directions(learner)))
    assert choice is not None
    assert choice.method == "mahalanobis"
    assert choice.patients == 60
    assert choice.why.startswith("Adapts as mahalanobis instead of committee: in cross-validation over 60")


def test_where_class_means_differ_the_first_choice_stands() -> None:
    learner = _auto()
    for apart in (0.0, 3.0):
        choice = choice_of(learner.adapt(_means(learner, apart=apart)))
        assert choice is not None
        assert choice.method == "committee"
        assert [s.method for s in choice.scores] == ["committee", "linear-probe", "mahalanobis", "simpleshot"]


def test_one_patient_per_class_leaves_nothing_to_try() -> None:
    learner = _auto()
    support = _means(learner, n=2)
    for keys in (["a", "b"], ["a"] * 2):
        choice = choice_of(
            learner.adapt(_support(torch.randn(2, learner.backbone.dim), support.labels, keys))
        )
        assert choice is not None
        assert (choice.method, choice.patients, choice.scores) == ("committee", 0, ())
        assert "no class has two patients" in choice.why


def test_labels_of_left_out_patients_reach_no_reading_of_them() -> None:
    """Cross-validated readings of noise are right half of the time, though every method fits it whole."""
    learner = _auto()
    torch.manual_seed(1)
    labels = torch.arange(100) % 2
    support = _support(torch.randn(100, 300), labels)
    choice = choice_of(learner.adapt(support))
    assert choice is not None
    for score in choice.scores:
        assert 0.3 < score.accuracy < 0.7


def test_copies_of_a_patients_scan_tell_the_choice_nothing() -> None:
    """With each scan given twice for its patient, a split between copies would read everything right."""
    learner = _auto()
    torch.manual_seed(1)
    once = torch.randn(40, 300)
    labels = (torch.arange(40) % 2).repeat(2)
    support = _support(once.repeat(2, 1), labels, [f"p{row}" for row in range(40)] * 2)
    choice = choice_of(learner.adapt(support))
    assert choice is not None
    assert choice.patients == 40
    assert max(score.accuracy for score in choice.scores) < 0.75


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=2, max_size=40),
    folds=st.integers(2, 6),
)
@settings(max_examples=60, deadline=None)
def test_folds_split_no_patient_and_empty_no_class(rows: list[tuple[int, int]], folds: int) -> None:
    labels = np.array([label for label, _ in rows])
    patients = [f"p{patient}" for _, patient in rows]
    fold = patient_folds(labels, patients, folds)
    for patient in set(patients):
        assert len({int(fold[i]) for i, p in enumerate(patients) if p == patient}) == 1
    for number in range(folds):
        assert set(labels[fold != number]) == set(labels)
    assert fold.max() < folds


def test_folds_take_some_of_every_class() -> None:
    labels = np.arange(30) % 3
    fold = patient_folds(labels, [str(row) for row in range(30)], 5)
    table = np.array([[np.sum((labels == k) & (fold == f)) for f in range(5)] for k in range(3)])
    assert (table == 2).all()


def test_adaptation_is_the_same_every_time() -> None:
    learner = _auto()
    support = _directions(learner)
    first, second = (learner.adapt(support) for _ in range(2))
    assert choice_of(first) == choice_of(second)
    queries = Features(torch.randn(4, learner.backbone.dim))
    np.testing.assert_array_equal(first.predict(queries).probabilities, second.predict(queries).probabilities)


def test_the_committee_it_stays_with_is_the_committee() -> None:
    learner, committee = _auto(), tiny_learner("committee").eval()
    support = _means(learner)
    queries = Features(torch.randn(9, learner.backbone.dim))
    mine = learner.adapt(support).predict(queries).probabilities
    np.testing.assert_allclose(mine, committee.adapt(support).predict(queries).probabilities, atol=1e-4)


def test_beyond_few_scans_it_is_the_linear_probe() -> None:
    learner, probe = _auto(most=10), tiny_learner("linear-probe").eval()
    support = _means(learner)
    classifier = learner.adapt(support)
    choice = choice_of(classifier)
    assert choice is not None
    assert choice.method == "linear-probe"
    assert "more than 10 labelled scans" in choice.why
    queries = Features(torch.randn(9, learner.backbone.dim))
    expected = probe.adapt(support).predict(queries).probabilities
    np.testing.assert_allclose(classifier.predict(queries).probabilities, expected)


@pytest.mark.parametrize("made", [_means, _directions])
def test_a_file_restores_the_head_of_whichever_method_was_chosen(made: object, tmp_path: Path) -> None:
    learner = _auto()
    save_learner(learner, tmp_path / "w.safetensors", describe(learner, "tiny"))
    loaded = load_learner(tmp_path / "w.safetensors")
    assert isinstance(loaded.learner, Auto)
    support = _means(loaded.learner) if made is _means else _directions(loaded.learner)
    classifier = loaded.learner.adapt(support)
    choice = choice_of(classifier)
    assert choice is not None
    record = ClassifierRecord(
        "auto", loaded.record.options, "tiny", loaded.sha256, support.classes, (1, 1), "0", choice=choice.why
    )
    save_classifier(classifier, tmp_path / "m.safetensors", record)
    restored = load_classifier(tmp_path / "m.safetensors", loaded)
    assert isinstance(restored.head, AutoHead)
    assert restored.head.method == choice.method
    queries = Features(torch.randn(5, learner.backbone.dim))
    np.testing.assert_allclose(
        restored.predict(queries).probabilities, classifier.predict(queries).probabilities, atol=1e-6
    )


def test_other_methods_have_no_choice_to_tell() -> None:
    learner = tiny_learner("prototypical").eval()
    support = _means(_auto())
    classifier: Classifier = learner.adapt(support)
    head: Head = classifier.head
    assert not isinstance(head, AutoHead)
    assert choice_of(classifier) is None
