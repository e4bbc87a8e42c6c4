"""The Omniglot benchmark: its plan is complete, its rows compare like with like, its page hides nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from workbench.benchmark.omniglot import (
    OmniglotPlan,
    Published,
    Row,
    Run,
    characters,
    episodes_of,
    made_by,
    plan_digest,
    read_omniglot,
    run_all,
    training_plan,
)
from workbench.benchmark.omniglot_table import as_markdown, figures, read_figures, write_tables
from workbench.benchmark.results import Cell, Decided, Key, Results
from workbench.data.episodes import EpisodeSampler
from workbench.data.examples import Support
from workbench.data.pool import Pool
from workbench.errors import PlanError
from workbench.learners import learner_class, learners
from workbench.learners.files import load_learner
from workbench.learners.options import parse

ROOT = Path(__file__).parents[2]
LABEL = "Prototypical networks"
PLAN = OmniglotPlan(
    episodes=2,
    runs={
        "a": Run(method="prototypical"),
        "b": Run(method="maml", start="a", transductive=True),
    },
    rows=(
        Row(
            label="Prototypes",
            run="a",
            ways=(5, 20),
            published=(Published(way=5, shot=1, accuracy=98.8, source="Someone"),),
        ),
        Row(label="MAML", run="b"),
        Row(label="Probe", run="a", method="linear-probe"),
    ),
)


def _cell(key: Key, row: Row, accuracy: tuple[float, ...]) -> Cell:
    decided = Decided(plan_digest(PLAN, row), "", "")
    return Cell(key, key.way, 3, decided, accuracy, accuracy, accuracy, (1.0,) * len(accuracy))


def test_every_run_of_the_plan_is_a_training_plan_with_known_options() -> None:
    plan = read_omniglot()
    for name, run in plan.runs.items():
        made = training_plan(plan, name)
        assert made.steps == run.steps
        assert made.backbone.normaliser == ("transductive" if run.transductive else "batch")
        parse(learner_class(run.method).options_type, run.options, run.method)
    for row in plan.rows:
        method = row.method or plan.runs[row.run].method
        assert method in learners()
        parse(learner_class(method).options_type, row.options, method)


def test_published_figures_stand_beside_rows_of_their_own_protocol() -> None:
    """MAML, first-order MAML and Meta-SGD published transductive figures only."""
    plan = read_omniglot()
    for row in plan.rows:
        if any(p.source.startswith(("Finn", "Li ")) for p in row.published):
            assert plan.is_transductive(row), row.label


def test_a_row_that_names_no_run_or_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    values = PLAN.model_dump(mode="json")
    path.write_text(yaml.safe_dump({**values, "runs": {"a": values["runs"]["a"]}}))
    with pytest.raises(PlanError, match=r"plan.yaml: .*'MAML' uses 'b'"):
        read_omniglot(path)
    path.write_text(yaml.safe_dump({**values, "rows": [values["rows"][0]] * 2}))
    with pytest.raises(PlanError, match="occurs twice"):
        read_omniglot(path)


def test_an_unknown_row_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="Known: Prototypes, MAML, Probe"):
        run_all(PLAN, tmp_path, rows=("Prototype",))


def test_page_names_what_falls_short_and_what_was_not_computed(tmp_path: Path) -> None:
    results = Results(tmp_path)
    prototypes, maml = (list(PLAN.keys(row)) for row in PLAN.rows[:2])
    results.write(_cell(prototypes[0], PLAN.rows[0], (0.98, 0.984)))
    results.write(_cell(maml[1], PLAN.rows[1], (1.0, 0.9)))
    found = figures(PLAN, results)
    by_key = {(f.label, f.way, f.shot): f for f in found}
    first = by_key["Prototypes", 5, 1]
    assert first.accuracy is not None
    assert first.accuracy.value == pytest.approx(0.982)
    assert first.falls_short  # 98.2 against 98.8
    assert not replace(first, published=98.7).falls_short  # exactly the tolerance
    assert by_key["Prototypes", 5, 5].accuracy is None
    assert by_key["MAML (transductive)", 5, 5].transductive
    page = as_markdown(PLAN, found)
    inductive, transductive = page.split("## Transductive")
    assert "MAML" not in inductive
    assert "98.2 (" in inductive
    assert "**below**" in inductive
    assert "95.0 (" in transductive
    assert "Prototypes, 5-way 1-shot" in transductive  # under "What falls short"
    assert f"{sum(f.accuracy is None for f in found)} of {len(found)} figures were not computed" in page
    assert by_key["Probe", 5, 1].start == "a"  # another method on that run's encoder


def test_a_cell_of_an_earlier_plan_is_not_passed_off_as_one_of_this(tmp_path: Path) -> None:
    results, row = Results(tmp_path), PLAN.rows[1]
    key = next(iter(PLAN.keys(row)))
    results.write(_cell(key, row, (0.9, 1.0)))
    assert next(f for f in figures(PLAN, results) if f.label == key.row).accuracy is not None
    longer = {**PLAN.runs, "b": PLAN.runs["b"].model_copy(update={"steps": 7})}
    changed = PLAN.model_copy(update={"runs": longer})
    assert next(f for f in figures(changed, results) if f.label == key.row).accuracy is None


def test_figures_of_an_earlier_run_are_kept_where_the_same_plan_made_them(tmp_path: Path) -> None:
    before, now, tables = Results(tmp_path / "before"), Results(tmp_path / "now"), tmp_path / "tables"
    prototypes, maml = (next(iter(PLAN.keys(row))) for row in PLAN.rows[:2])
    before.write(_cell(prototypes, PLAN.rows[0], (0.98, 0.984)))
    before.write(_cell(maml, PLAN.rows[1], (1.0, 0.9)))
    write_tables(PLAN, before, tables)
    longer = {**PLAN.runs, "b": PLAN.runs["b"].model_copy(update={"steps": 7})}
    changed = PLAN.model_copy(update={"runs": longer})
    _, values = write_tables(changed, now, tables)
    kept = {f.label: f for f in read_figures(changed, values)}
    assert list(kept) == [prototypes.row]  # that of MAML was made by weights of another plan
    assert kept[prototypes.row] in figures(PLAN, before)
    other = PLAN.model_copy(update={"episodes": PLAN.episodes + 1})
    assert read_figures(other, values) == ()
    now.write(_cell(prototypes, PLAN.rows[0], (0.5, 0.7)))
    assert next(f for f in figures(PLAN, now, read_figures(PLAN, values)) if f.label == prototypes.row) == (
        next(f for f in figures(PLAN, now) if f.label == prototypes.row)
    )


def test_the_stored_figure_is_computed_again_from_the_stored_weights(shared: Path) -> None:
    """Five-way one-shot of prototypical networks, first episodes: weights, plan and page belong together."""
    stored = json.loads((ROOT / "docs/benchmarks/omniglot.json").read_text(encoding="utf-8"))
    plan = OmniglotPlan.model_validate(stored["plan"])
    figure = next(f for f in stored["figures"] if (f["label"], f["way"], f["shot"]) == (LABEL, 5, 1))
    row = next(r for r in plan.rows if r.label == LABEL)
    weights = ROOT / "benchmarks/weights" / f"{training_plan(plan, row.run).name}.safetensors"
    loaded = load_learner(weights)
    assert made_by(loaded.record, training_plan(plan, row.run))
    test = characters(("test",), shared / "data")
    sampler = EpisodeSampler([test], episodes_of(plan, way=5, shot=1))
    pool = Pool([test])
    for number, expected in enumerate(figure["first"][:10]):
        task = pool.gather([sampler.episode(number)]).tasks()[0]
        support = Support(task.support, task.support_labels, tuple("abcde"), tuple("abcde"))
        reading = loaded.learner.adapt(support).predict(task.query)
        accuracy = float(np.mean(reading.probabilities.argmax(1) == task.query_labels.numpy()))
        # One image of 75 may fall the other way on another processor.
        assert accuracy == pytest.approx(expected, abs=1 / 75 + 1e-6)


def test_the_page_says_what_was_changed_after_a_look(tmp_path: Path) -> None:
    found = figures(PLAN, Results(tmp_path))
    looked = PLAN.model_copy(update={"looks": "a row was trained for longer"})
    assert "*Looked at before*: a row was trained for longer" in as_markdown(looked, found)
    assert "Looked at" not in as_markdown(PLAN, found)
