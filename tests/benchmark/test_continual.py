from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import tiny_learner
from workbench.benchmark.continual import (
    META_TRAINING,
    META_VALIDATION,
    TITLES,
    ContinualPlan,
    ContinualResult,
    Drawn,
    draw,
    follow,
)
from workbench.benchmark.continual_methods import (
    Continual,
    FineTuned,
    Online,
    Prototypes,
    Separate,
    merged,
    meta_trained_oml,
    necked,
)
from workbench.benchmark.continual_page import write_page
from workbench.data.cohort import Cohort
from workbench.learners.fine_tune import FineTune
from workbench.learners.prototypical import Prototypical

BASE = tiny_learner("prototypical").eval()
NAMES = tuple(f"condition {number}" for number in range(9))
PLAN = ContinualPlan(conditions=NAMES, runs=2, shots=3, queries=4, steps=5, meta_steps=2)


def _cohort(name: str, seed: int, way: int = 2, patients: int = 16) -> Cohort:
    """Embeddings about class means; two scans of each patient."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(way), 2 * patients)
    centres = rng.normal(size=(way, BASE.backbone.dim))
    values = centres[labels] + rng.normal(size=(len(labels), BASE.backbone.dim))
    return Cohort(
        name=name,
        classes=tuple(f"class {k}" for k in range(way)),
        images=values.astype(np.float32),
        labels=labels,
        patients=np.repeat(np.arange(way * patients), 2),
        names=("",) * len(labels),
        splits=("",) * len(labels),
        origin=(name,),
        modality="OT",
    )


EMBEDDED = {name: _cohort(name, seed, way=2 + seed % 2) for seed, name in enumerate(NAMES)}


def _start(method: str) -> Continual:
    if method == "prototypes":
        assert isinstance(BASE, Prototypical)
        return Prototypes(BASE)
    if method == "oml":
        return Online(meta_trained_oml(BASE, (_cohort("a", 50, 10), _cohort("b", 51, 3)), 2, 0.1, 0))
    holding = {method: 1.0} if method in ("ewc", "lwf", "replay") else {}
    learner = necked(BASE, "fine-tune", {"test_steps": 5, **holding}, 0)
    assert isinstance(learner, FineTune)
    return Separate(learner) if method == "separate" else FineTuned(learner)


def test_no_patient_is_in_support_and_query() -> None:
    # Every scan carries its patient's number, so that a shared one would show.
    marked = {
        name: replace(c, images=np.repeat(c.patients[:, None], 4, axis=1).astype(np.float32))
        for name, c in EMBEDDED.items()
    }
    for seed in range(5):
        for one in draw(PLAN, marked, NAMES, seed):
            assert not set(one.taught.features[:, 0].tolist()) & set(one.query[:, 0].tolist())
            assert len(set(one.taught.features[:, 0].tolist())) == len(one.taught.labels)


def test_orders_differ_between_runs_and_not_within_one() -> None:
    orders = [tuple(d.name for d in draw(PLAN, EMBEDDED, NAMES, seed)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_adding_the_ninth_condition_leaves_the_first_eight_bit_identical_for_prototypes() -> None:
    drawn = draw(PLAN, EMBEDDED, NAMES, 0)
    state = _start("prototypes")
    for one in drawn[:8]:
        state = state.learn(one.taught)
    before = [state.logits(one.query) for one in drawn[:8]]
    after = state.learn(drawn[8].taught)
    for one, known in zip(drawn[:8], before, strict=True):
        assert torch.equal(after.logits(one.query)[:, : known.shape[1]], known)
    assert follow("prototypes", _start("prototypes"), drawn, 0).unchanged
    assert not follow("naive", _start("naive"), drawn, 0).unchanged


@pytest.mark.parametrize("method", list(TITLES))
def test_learning_more_leaves_the_state_before_as_it_was(method: str) -> None:
    drawn = draw(PLAN, EMBEDDED, NAMES[:3], 0)
    state = _start(method).learn(drawn[0].taught)
    before = state.logits(drawn[0].query)
    state.learn(drawn[1].taught)
    assert torch.equal(state.logits(drawn[0].query), before)


@pytest.mark.parametrize("method", list(TITLES))
def test_the_matrix_is_filled_below_the_diagonal_only(method: str) -> None:
    outcome = follow(method, _start(method), draw(PLAN, EMBEDDED, NAMES[:3], 0), 0)
    for matrix in (outcome.task, outcome.whole):
        assert np.isnan(matrix[np.triu_indices(3, 1)]).all()
        assert not np.isnan(matrix[np.tril_indices(3)]).any()
    assert (outcome.whole[np.tril_indices(3)] <= outcome.task[np.tril_indices(3)] + 1e-9).all()


def test_scores_by_hand() -> None:
    """A state that always says the last class: right where it is true, in both settings."""

    class Last(Continual):
        def __init__(self, ways: tuple[int, ...] = ()) -> None:
            self.ways = ways

        def learn(self, taught: object) -> Last:
            return Last((*self.ways, 2))

        def logits(self, features: torch.Tensor) -> torch.Tensor:
            return torch.arange(float(sum(self.ways))).expand(len(features), -1)

    drawn: tuple[Drawn, ...] = tuple(
        replace(d, query_labels=np.array([0, 1, 1, 1]), query=d.query[:4])
        for d in draw(PLAN, {n: _cohort(n, i) for i, n in enumerate(NAMES[:2])}, NAMES[:2], 0)
    )
    outcome = follow("last", Last(), drawn, 0)
    np.testing.assert_allclose(outcome.task, [[0.75, np.nan], [0.75, 0.75]])
    np.testing.assert_allclose(outcome.whole, [[0.75, np.nan], [0.0, 0.75]])


def test_merged_conditions_share_neither_class_nor_patient() -> None:
    one, other = _cohort("a", 0), _cohort("b", 1, 3)
    both = merged((one, other))
    assert both.classes == ("a/class 0", "a/class 1", "b/class 0", "b/class 1", "b/class 2")
    assert not set(both.patients[: len(one)].tolist()) & set(both.patients[len(one) :].tolist())
    assert set(both.labels[len(one) :].tolist()) == {2, 3, 4}


def test_a_fresh_neck_reads_as_the_encoder_does() -> None:
    prepared = torch.from_numpy(np.asarray(EMBEDDED[NAMES[0]].images))[:5]
    assert torch.equal(necked(BASE, "oml", {}, 0).features(prepared), prepared)


def test_nothing_that_chooses_or_teaches_is_measured_on() -> None:
    plan = ContinualPlan()
    assert len(plan.conditions) >= 8
    assert not set(plan.conditions) & {*META_TRAINING, *META_VALIDATION}


def test_the_conditions_are_those_the_weights_hold_out() -> None:
    from workbench.evaluation.compare import planned_conditions
    from workbench.learners.files import load_learner
    from workbench.weights import find_weights

    record = load_learner(find_weights("general")).record
    assert set(ContinualPlan().conditions) == set(planned_conditions(record))


def test_the_page_has_every_method_and_both_settings(tmp_path: Path) -> None:
    outcomes = tuple(
        follow(method, _start(method), draw(PLAN, EMBEDDED, NAMES[:3], run), run)
        for run in range(2)
        for method in TITLES
    )
    result = ContinualResult(PLAN, {"ewc": 1.0, "lwf": 1.0, "replay": 1.0, "oml": 0.1}, outcomes)
    page, figures, picture = write_page(result, tmp_path)
    text = page.read_text()
    assert all(title in text for title in TITLES.values())
    assert "## Task-incremental" in text
    assert "## Class-incremental" in text
    assert len(json.loads(figures.read_text())["outcomes"]) == len(outcomes)
    assert picture.stat().st_size > 5000
