from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.querying.worlds import blobs, learner
from workbench.errors import CohortError
from workbench.querying.candidates import candidates
from workbench.querying.simulation import Labelling, QueryTask, TaskSpec, draw_task, walk
from workbench.querying.strategies import query_strategy, strategies
from workbench.querying.variation import varied


@pytest.mark.parametrize("number", range(5))
def test_start_pool_and_held_out_share_no_patient(number: int) -> None:
    condition = blobs(way=3, each=9, scans=2)
    rng = np.random.default_rng(number)
    for given in (condition, varied(condition, rng)):
        task = draw_task(given, TaskSpec(pool=20), number)
        parts = [set(given.patients[rows].tolist()) for rows in (task.start, task.pool, task.held_out)]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
        assert set(given.labels[task.start]) == set(given.labels[task.held_out]) == set(range(given.way))
        again = draw_task(given, TaskSpec(pool=20), number)
        np.testing.assert_array_equal(again.pool, task.pool)


def test_a_patient_of_two_classes_stands_on_one_side() -> None:
    condition = blobs(way=2, each=8)
    shared = replace(condition, patients=np.arange(16) % 8)  # everybody has a scan of both classes
    task = draw_task(shared, TaskSpec(), 0)
    held_out = set(shared.patients[task.held_out].tolist())
    assert not held_out & set(shared.patients[np.concatenate([task.start, task.pool])].tolist())


def test_too_few_patients_are_refused_by_class() -> None:
    condition = blobs(way=2, each=2)
    with pytest.raises(CohortError, match="class 0 has too few patients"):
        draw_task(condition, TaskSpec(start=3), 0)


def _with_other_labels(task: QueryTask, rows: np.ndarray) -> QueryTask:
    """The task with the labels of some rows replaced by wrong ones."""
    labels = task.condition.labels.copy()
    labels[rows] = (labels[rows] + 1) % task.condition.way
    return replace(task, condition=replace(task.condition, labels=labels))


@pytest.mark.parametrize("name", sorted(strategies()))
def test_no_label_of_pool_or_held_out_set_reaches_a_strategy(name: str) -> None:
    """Tries: every hidden label is changed; neither state nor choice may notice, and the reward must."""
    task = draw_task(blobs(), TaskSpec(), 0)
    hidden = np.concatenate([task.pool, task.held_out])
    honest, other = (Labelling(learner(), t) for t in (task, _with_other_labels(task, hidden)))
    for field in ("probabilities", "pool", "support", "support_labels"):
        np.testing.assert_array_equal(getattr(honest.state, field), getattr(other.state, field))
    torch.testing.assert_close(
        candidates(honest.state).numbers, candidates(other.state).numbers, rtol=0, atol=0
    )
    picks = [query_strategy(name).choose(one.state, 4, np.random.default_rng(0)) for one in (honest, other)]
    assert picks[0] == picks[1]
    assert honest.balanced_accuracy() != other.balanced_accuracy()


def test_held_out_labels_reach_no_later_state_either() -> None:
    task = draw_task(blobs(), TaskSpec(), 0)
    honest, other = (Labelling(learner(), t) for t in (task, _with_other_labels(task, task.held_out)))
    for _ in range(3):
        for one in (honest, other):
            one.label([0])
        np.testing.assert_array_equal(honest.state.probabilities, other.state.probabilities)
    revealed = Labelling(learner(), _with_other_labels(task, task.pool[:1]))
    revealed.label([0])  # a label that is asked for does matter: the test above can fail
    honest = Labelling(learner(), task)
    honest.label([0])
    assert not np.array_equal(honest.state.probabilities, revealed.state.probabilities)


def test_a_walk_ends_with_the_budget_or_the_pool() -> None:
    task = draw_task(blobs(each=6), TaskSpec(), 0)
    rng = np.random.default_rng(0)
    assert len(list(walk(Labelling(learner(), task), query_strategy("random"), 6, 2, rng))) == 4
    labelling = Labelling(learner(), task)
    curve = list(walk(labelling, query_strategy("random"), 1000, 5, rng))
    assert labelling.remaining == 0
    assert len(curve) == 1 + -(-len(task.pool) // 5)


def test_the_same_task_and_labels_give_the_same_classifier_as_one_adaptation() -> None:
    """What the simulation learns is what `Learner.adapt` learns from the same scans, whatever the order."""
    task = draw_task(blobs(), TaskSpec(), 1)
    labelling = Labelling(learner(), task)
    labelling.label([2])
    labelling.label([0])
    at_once = Labelling(learner(), replace(task, start=np.concatenate([task.start, task.pool[[2, 0]]])))
    np.testing.assert_allclose(
        labelling.classifier.predict(task.condition.features).probabilities,
        at_once.classifier.predict(task.condition.features).probabilities,
        atol=1e-6,
    )
