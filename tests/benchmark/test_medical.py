from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from workbench.benchmark import medical
from workbench.benchmark.medical import Asked, Run, Work, encoder_file, measure, run_all, works
from workbench.benchmark.medical_page import NOT_COMPUTED, as_markdown
from workbench.benchmark.medical_plan import Base, MedicalPlan, packaged_plan, parse_medical
from workbench.benchmark.medical_table import read_table
from workbench.benchmark.render import as_csv, as_json, write_tables
from workbench.benchmark.results import Cell, Decided, Key, Results
from workbench.data.catalogue import same_origin
from workbench.errors import PlanError
from workbench.learners.files import create, describe, save_learner
from workbench.training.plan import write_plan
from workbench.training.run import check_split

TABLES = Path(__file__).parents[2] / "docs" / "benchmarks"
SMALL: dict[str, Any] = {
    "name": "small",
    "folds": [["ham10000", "bccd"], ["pbc"]],
    "encoder": {
        "plan": {
            "method": {"name": "prototypical"},
            "backbone": {"name": "conv4", "channels": 1, "size": 28, "width": 8},
            "recipe": {"channels": 1, "size": 28},
        }
    },
    "finishing": {
        "plan": {
            "backbone": {"name": "conv4", "channels": 1, "size": 28, "width": 8, "neck": 4},
            "recipe": {"channels": 1, "size": 28},
            "augmentation": None,
        }
    },
    "evaluation": {"shots": [1, 5], "episodes": 4, "queries": 2},
    "rows": [
        {"label": "pixels", "method": "prototypical", "base": "raw-pixels", "plotted": True},
        {"label": "probe", "method": "linear-probe", "base": "encoder", "plotted": True},
        {"label": "MAML", "method": "maml", "base": "neck"},
        {"label": "slow", "method": "maml", "base": "fresh-neck", "episodes": 2},
    ],
    "reference": "probe",
}


def small(**changes: Any) -> MedicalPlan:
    return parse_medical({**SMALL, **changes}, "small.yaml")


def test_the_packaged_plan_holds_every_condition_out_once_with_its_origin() -> None:
    plan = packaged_plan()
    assert len(plan.conditions) == len(set(plan.conditions)) == 28
    for fold, names in enumerate(plan.folds, start=1):
        derived = plan.encoder_plan(fold)
        assert set(derived.data.meta_test) == set(names)
        assert not same_origin(names) & set(derived.data.meta_train)
        check_split(derived)


def test_every_meta_learned_row_has_the_same_budget_or_says_what_it_had_less() -> None:
    plan = packaged_plan()
    trained = [row for row in plan.rows if row.base is Base.NECK]
    plans = {row.label: plan.finishing_plan(row, 2, "start") for row in trained}
    assert len({(p.batch, p.episodes, p.data, p.optimisation) for p in map(_hashable, plans.values())}) == 1
    budget = plan.finishing.plan["steps"]
    fewer = {label: p.steps for label, p in plans.items() if p.steps != budget}
    assert fewer == {row.label: row.steps for row in trained if row.steps}
    assert fewer.keys() == {"Meta-LSTM"}
    assert all(steps < budget for steps in fewer.values())


def test_fewer_steps_decide_only_their_row_and_are_named(tmp_path: Path) -> None:
    plan = small()
    rows = [dict(row) for row in SMALL["rows"]]
    rows[2]["steps"] = 1
    other = small(rows=rows)
    same = [
        plan.decides(a, "pbc", 1) == other.decides(b, "pbc", 1)
        for a, b in zip(plan.rows, other.rows, strict=True)
    ]
    assert same == [True, True, False, True]
    assert plan.finishes(plan.rows[2], 2) != other.finishes(other.rows[2], 2)
    page = as_markdown(read_table(other, stored(other, tmp_path)))
    assert "MAML (1 training steps)" in page


def _hashable(plan: Any) -> Any:
    return plan.model_copy(update={"data": plan.data.model_dump_json()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": "none"}, "none"),
        ({"folds": [["ham10000"], ["ham10000"]]}, "ham10000"),
        ({"speed": 1}, "speed"),
        ({"finishing": {"plan": {**SMALL["finishing"]["plan"], "step": 3}}}, "step"),
    ],
)
def test_a_mistake_in_the_plan_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        small(**changes)


def test_a_change_decides_the_cells_it_concerns_and_no_others() -> None:
    plan = small()
    budget = {"plan": {**SMALL["finishing"]["plan"], "steps": 7}}
    rows = [dict(row) for row in SMALL["rows"]]
    rows[1]["options"] = {"strength": 1.0}
    other = {"finishing": small(finishing=budget), "row": small(rows=rows)}

    def changed(what: str) -> set[str]:
        return {
            row.label
            for row, new in zip(plan.rows, other[what].rows, strict=True)
            if plan.decides(row, "pbc", 1) != other[what].decides(new, "pbc", 1)
        }

    assert changed("finishing") == {"MAML"}
    assert changed("row") == {"probe"}


def test_work_is_done_in_the_order_of_its_cost() -> None:
    todo = works(small(), Asked())
    assert [w.row.label for w in todo[::2]] == ["pixels", "probe", "MAML", "slow"]
    assert works(small(), Asked(rows=("probe",), conditions=("pbc",))) == (Work(small().rows[1], 2),)


def test_a_row_that_is_left_out_says_why(tmp_path: Path) -> None:
    rows = [dict(row) for row in SMALL["rows"]]
    rows[2]["left_out"] = "9 s per step"
    plan = small(rows=rows)
    assert "MAML" not in {work.row.label for work in works(plan, Asked())}
    assert works(plan, Asked(rows=("MAML",)))
    page = as_markdown(read_table(plan, stored(plan, tmp_path, missing=("MAML",))))
    assert f"{NOT_COMPUTED} (9 s per step)" in page


def test_a_failing_row_leaves_the_others_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def fake(run: Run, work: Work, asked: Asked, said: object) -> None:
        if work.row.label == "probe":
            raise RuntimeError("a defect")
        done.append(work.row.label)

    monkeypatch.setattr(medical, "measure", fake)
    monkeypatch.setattr(medical, "encoder_file", lambda run, fold: tmp_path)
    failures = run_all(Run(small(), tmp_path), Asked(folds=(2,)), 1, lambda line: None)
    assert done == ["pixels", "MAML", "slow"]
    assert [f.what for f in failures] == ["probe, fold 2"]
    assert "a defect" in failures[0].reason


def test_an_encoder_of_the_same_plan_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: object, **__: object) -> Path:
        raise AssertionError("trained")

    monkeypatch.setattr(medical, "train", train)
    plan = small().encoder_plan(2)
    summed = plan.model_copy(update={"data": plan.data.model_copy(update={"checksums": {"ham10000": "1"}})})
    learner = create(plan.method.name, plan.backbone, plan.recipe)
    path = tmp_path / "fold2" / "small-fold2.safetensors"
    save_learner(learner, path, replace(describe(learner, plan.name), plan=write_plan(summed)))
    assert encoder_file(Run(small(), tmp_path), 2) == path
    with pytest.raises(AssertionError, match="trained"):
        encoder_file(Run(small(), tmp_path), 1)


def stored(plan: MedicalPlan, folder: Path, missing: tuple[str, ...] = ()) -> Results:
    """Cells of four episodes for every row, condition and shot but the rows named."""
    results, rng = Results(folder), np.random.default_rng(0)
    for number, row in enumerate(plan.rows):
        for condition in plan.conditions:
            for shot in plan.evaluation.shots:
                if row.label not in missing:
                    scores = tuple(float(x) for x in rng.random(4).round(3) * 0.1 + 0.2 * number)
                    decided = Decided(plan.decides(row, condition, shot), "code", "inputs")
                    key = Key(row.label, condition, shot)
                    results.write(Cell(key, 3, 0, decided, scores, scores, scores, (1.0,) * 4))
    return results


def test_cells_that_are_missing_are_said_to_be_missing(tmp_path: Path) -> None:
    plan = small()
    table = read_table(plan, stored(plan, tmp_path, missing=("MAML",)))
    page = as_markdown(table)
    lines = [line for line in page.splitlines() if line.startswith("| MAML")]
    assert len(lines) == 2 + 4  # overview, differences, and a table for each shot and fold
    assert all(NOT_COMPUTED in line for line in lines)
    assert not any(NOT_COMPUTED in line for line in page.splitlines() if line.startswith("| pixels"))
    written = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert len(written) == 3 * 3 * 2
    assert {line["row"] for line in written} == {"pixels", "probe", "slow"}
    assert "NaN" not in as_json(table)


def test_cells_of_another_plan_and_cells_too_short_are_not_shown(tmp_path: Path) -> None:
    plan = small()
    results = stored(plan, tmp_path)
    longer = small(evaluation={**SMALL["evaluation"], "episodes": 5})
    assert {key.row for key in read_table(longer, results).cells} == {"slow"}
    assert {key.row for key in read_table(longer, results, episodes=3).cells} == {r.label for r in plan.rows}
    reseeded = small(evaluation={**SMALL["evaluation"], "seed": 1})
    assert not read_table(reseeded, results).cells


def test_tables_are_written_whatever_is_there(tmp_path: Path) -> None:
    plan = small()
    for part in ("none", "some"):
        run = Run(plan, tmp_path / part)
        if part == "some":
            stored(plan, tmp_path / part / "cells", missing=("probe",))
        written = write_tables(run, tmp_path / part, Asked())
        assert [path.suffix for path in written] == [".md", ".json", ".csv", ".png"]
        assert all(path.stat().st_size for path in written)


def test_figures_stored_with_their_plan_are_computed_again(tmp_path: Path, shared: Path) -> None:
    """The published raw-pixel figures, from the plan that is published with them."""
    path = TABLES / "medical.json"
    if not path.is_file():
        pytest.skip("docs/benchmarks/medical.json is not there (workbench benchmark medical writes it)")
    published = json.loads(path.read_text(encoding="utf-8"))
    plan = parse_medical(published["plan"], path.name)
    (kept,) = [
        cell
        for cell in published["kept"]
        if cell["key"]["condition"] == "dental_root_xray"
        and cell["key"]["shot"] == 5
        and plan.row(cell["key"]["row"]).method == "linear-probe"
    ]
    key = Key(**kept["key"])
    run = Run(plan, tmp_path, shared / "data")
    asked = Asked(conditions=(key.condition,), shots=(key.shot,), episodes=5)
    measure(run, Work(plan.row(key.row), plan.fold_of(key.condition)), asked, lambda line: None)
    found = run.results.read(key)
    assert found is not None
    assert found.balanced_accuracy == pytest.approx(kept["balanced_accuracy"][:5], abs=1e-6)
    assert found.auroc == pytest.approx(kept["auroc"][:5], abs=1e-6)


def test_the_published_tables_are_of_the_packaged_plan() -> None:
    path = TABLES / "medical.json"
    if not path.is_file():
        pytest.skip("docs/benchmarks/medical.json is not there (workbench benchmark medical writes it)")
    assert json.loads(path.read_text(encoding="utf-8"))["plan"] == packaged_plan().model_dump(mode="json")


def test_the_plan_file_survives_a_round_through_plain_values() -> None:
    plan = packaged_plan()
    assert parse_medical(yaml.safe_load(yaml.safe_dump(plan.model_dump(mode="json"))), "again") == plan
