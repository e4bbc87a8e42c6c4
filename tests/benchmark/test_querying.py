from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.querying.worlds import blobs, learner
from workbench.benchmark import querying
from workbench.benchmark.querying import QueryingRun, decided, measure, refuse_seen
from workbench.benchmark.querying_curves import CurveKey, Curves, CurveStore
from workbench.benchmark.querying_page import write_tables
from workbench.benchmark.querying_plan import QueryingPlan, read_querying
from workbench.benchmark.querying_table import read_table
from workbench.benchmark.results import Decided
from workbench.errors import CohortError, PlanError
from workbench.evaluation.contestants import Contestant
from workbench.querying.strategies import query_strategy

PLAN = QueryingPlan(
    name="querying",
    conditions=("ham10000", "wce_bleeding"),
    strategies=("random", "margin", "policy"),
    batches=(2,),
    budget=4,
    episodes=3,
    held_out=4,
)
KEY = CurveKey("margin", "ham10000", 2)


def _measure(run: QueryingRun, strategy: str = "margin") -> Curves:
    entrant = Contestant("tiny", learner(), "identity")
    key = CurveKey(strategy, "ham10000", 2)
    return measure(run, key, entrant, blobs(), query_strategy(strategy), decided(run, key, entrant))


def test_a_killed_run_goes_on_to_the_same_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _measure(QueryingRun(PLAN, tmp_path / "whole"))
    part = _measure(QueryingRun(PLAN, tmp_path / "part", episodes=2))
    assert len(part.balanced_accuracy) == 2
    asked: list[int] = []
    real = querying._walk
    monkeypatch.setattr(querying, "_walk", lambda *a: asked.append(a[-1]) or real(*a))
    again = _measure(QueryingRun(PLAN, tmp_path / "part"))
    assert asked == [2]
    assert again.balanced_accuracy == whole.balanced_accuracy
    assert _measure(QueryingRun(PLAN, tmp_path / "part")).balanced_accuracy == whole.balanced_accuracy
    assert asked == [2]


def test_curves_decided_by_something_else_are_measured_again(tmp_path: Path) -> None:
    run = QueryingRun(PLAN, tmp_path)
    _measure(run)
    other = QueryingRun(PLAN.model_copy(update={"seed": 5}), tmp_path)
    entrant = Contestant("tiny", learner(), "identity")
    assert run.store.read(KEY, decided(run, KEY, entrant)) is not None
    assert run.store.read(KEY, decided(other, KEY, entrant)) is None


def test_every_strategy_starts_from_the_same_tasks(tmp_path: Path) -> None:
    run = QueryingRun(PLAN, tmp_path)
    starts = [[curve[0] for curve in _measure(run, name).balanced_accuracy] for name in PLAN.strategies]
    assert starts[0] == starts[1] == starts[2]
    assert len({len(curve) for curve in _measure(run).balanced_accuracy}) == 1


def _store(folder: Path) -> CurveStore:
    """Random gains 10 points of area, margin 20, the policy 25 on one condition and 21 on the other."""
    store = CurveStore(folder / "curves")
    for condition, lead in (("ham10000", 0.25), ("wce_bleeding", 0.21)):
        for strategy, gain in (("random", 0.1), ("margin", 0.2), ("policy", lead)):
            curves = tuple((0.5 + s, 0.5 + s + gain - 0.01, 0.5 + s + gain + 0.01) for s in (0.0, 0.02, 0.05))
            store.write(
                Curves(CurveKey(strategy, condition, 2), 2, Decided("", "", ""), curves, (1.0, 2.0, 3.0))
            )
    return store


def test_areas_and_differences_are_those_of_the_curves(tmp_path: Path) -> None:
    table = read_table(PLAN, _store(tmp_path), 2)
    assert table.areas("margin", "ham10000") == pytest.approx([0.7, 0.72, 0.75])
    assert table.best_heuristic == "margin"
    gain = table.gain("policy", "margin", "ham10000")
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.05, 0.05, 0.05))
    minus = table.minus("policy", "margin")
    assert minus.mean.value == pytest.approx(0.03)
    assert (minus.better, minus.worse) == (2, 0)
    assert table.at_end("random").value == pytest.approx(0.5 + np.mean([0, 0.02, 0.05]) + 0.11)
    assert table.learned_wins


def test_the_page_says_who_won_and_what_is_missing(tmp_path: Path) -> None:
    _store(tmp_path)
    paths = write_tables(QueryingRun(PLAN, tmp_path), tmp_path / "tables")
    assert [path.name for path in paths] == ["querying.md", "querying.json", "querying-2.png"]
    page = paths[0].read_text()
    assert "**The learned policy beats the best heuristic**, which is `margin`" in page
    assert "+3.00" in page
    nothing = write_tables(QueryingRun(PLAN, tmp_path / "none"), tmp_path / "empty")
    assert "Not computed." in nothing[0].read_text()


def test_a_condition_the_encoder_has_seen_is_refused() -> None:
    with pytest.raises(CohortError, match="Not held out: 'pbc' was used"):
        refuse_seen(PLAN.model_copy(update={"conditions": ("pbc",)}))
    refuse_seen(read_querying())


def test_a_plan_names_its_wrong_field(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("name: x\nconditions: [a]\nstrategies: [margin]\n")
    with pytest.raises(PlanError, match="baseline: 'random' is not one of the strategies"):
        read_querying(path)
    path.write_text("name: x\nconditions: [a]\nstrategies: [random]\nbatches: [7]\n")
    with pytest.raises(PlanError, match="must divide the budget"):
        read_querying(path)
