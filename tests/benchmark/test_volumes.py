"""The volumes benchmark: its plan is sound, its rows are paired, and the page says what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from workbench.benchmark.volumes import VolumesPlan, read_volumes_plan, run_volumes
from workbench.benchmark.volumes_table import as_json, as_markdown
from workbench.data.catalogue import same_origin
from workbench.errors import PlanError
from workbench.training.plan import read_plan
from workbench.training.run import check_split

ROOT = Path(__file__).parents[2]
PLANS = ROOT / "benchmarks" / "plans"
PLAN = PLANS / "volumes-benchmark.yaml"


def test_what_it_trains_has_not_seen_the_condition() -> None:
    plan = read_volumes_plan(PLAN)
    assert plan.reference in [row.label for row in plan.rows]
    for file in plan.encoders.values():
        training = read_plan(PLANS / file)
        check_split(training)
        assert plan.condition in training.data.meta_test
        assert not same_origin([plan.condition]) & set(training.data.meta_train)


def test_the_page_has_the_figures_of_the_run_and_the_plan_that_made_them() -> None:
    kept = json.loads((ROOT / "docs" / "benchmarks" / "volumes.json").read_text())
    plan = read_volumes_plan(PLAN)
    assert kept["plan"] == plan.model_dump(mode="json")
    assert all(row["balanced_accuracy"]["n"] == plan.episodes >= 600 for row in kept["rows"])
    table = (ROOT / "docs" / "benchmarks" / "volumes.md").read_text()
    page = (ROOT / "docs" / "volumes.md").read_text()
    card = (ROOT / "workbench" / "weights" / "volumes.md").read_text()
    figures = re.findall(r"\d\d\.\d (?:% )?\(\d\d\.\d-\d\d\.\d\)", page + card)
    assert len(figures) >= 12
    assert [one for one in figures if one.replace("% ", "") not in table] == []


def test_rows_on_the_same_episodes_are_compared_with_the_reference(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    network = {"backbone": {"name": "raw-voxels", "channels": 1, "size": 28}}
    plan = VolumesPlan.model_validate(
        {
            "name": "tiny",
            "condition": "adrenalmnist3d",
            "split": "test",
            "shots": 2,
            "queries": 2,
            "episodes": 3,
            "seed": 0,
            "methods": ["prototypical"],
            "reference": "voxels, cube",
            "rows": [
                {"label": "voxels, cube", "recipe": {"size": 28, "channels": 1, "volume": "cube"}, **network},
                {
                    "label": "voxels, 8 slices",
                    "recipe": {"size": 28, "channels": 1, "volume": "slices", "slices": 8},
                    **network,
                },
            ],
        }
    )
    rows = run_volumes(plan, PLANS, tmp_path, data=shared / "data")
    assert [(row.seen, row.gain is None) for row in rows] == [(False, True), (False, False)]
    gain = rows[1].gain
    assert gain is not None
    difference = rows[1].balanced_accuracy.value - rows[0].balanced_accuracy.value
    assert gain.value == pytest.approx(difference)
    assert gain.n == 3
    assert as_markdown(plan, rows).count("| prototypical |") == 2
    assert len(json.loads(as_json(plan, PLANS, rows))["rows"]) == 2


def test_a_wrong_plan_names_its_field(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.read_text().replace("shots: 5", "shot: 5"))
    with pytest.raises(PlanError, match=r"plan\.yaml: shots"):
        read_volumes_plan(path)
    path.write_text(PLAN.read_text().replace("reference: planes", "reference: plains"))
    with pytest.raises(PlanError, match="no row is called"):
        read_volumes_plan(path)
    path.write_text(PLAN.read_text().replace("weights: general}", "recipe: {size: 64}}"))
    with pytest.raises(PlanError, match="either weights, or a backbone and a recipe"):
        read_volumes_plan(path)
