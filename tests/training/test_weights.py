"""Which checkpoint becomes the weights, what they say about their data, and what watches them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from tests.helpers import striped_cohort
from workbench.data.cohort import Cohort
from workbench.data.episodes import EpisodeSpec
from workbench.errors import CohortError, PlanError
from workbench.learners.files import load_learner
from workbench.training import run
from workbench.training.checkpoints import SafetensorsCheckpointIO
from workbench.training.plan import Plan, ValidationPlan, parse_plan
from workbench.training.validation import MONITOR, MetaValidation, reduced


def _plan(**data: object) -> Plan:
    values = {
        "name": "tiny",
        "method": {"name": "prototypical"},
        "backbone": {"name": "conv4", "size": 28, "width": 8},
        "recipe": {"size": 28},
        "data": data,
        "episodes": {"ways": 2, "shots": 1, "queries": 2},
        "batch": 1,
        "steps": 4,
        "checkpoint_every": 2,
        "precision": "float32",
    }
    return parse_plan(values, "test")


@pytest.fixture
def stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every catalogued set is a set of stripes."""

    def cohort(name: str, *_: object) -> Cohort:
        return replace(striped_cohort(name, patients=14), origin=(f"origin of {name}",))

    monkeypatch.setattr(run, "_cohort", cohort)


@pytest.mark.usefixtures("stripes")
def test_the_weights_are_those_of_the_best_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    falling = iter((0.9, 0.8))

    def score(self: MetaValidation, trainer: object, pl_module: pl.LightningModule) -> None:
        pl_module.log(MONITOR, next(falling), batch_size=1)

    monkeypatch.setattr(MetaValidation, "on_train_epoch_end", score)
    weights = run.train(
        _plan(meta_train=["pbc"], meta_validation=["mednist"]), tmp_path / "run", progress=False
    )
    states = {
        name: SafetensorsCheckpointIO().load_checkpoint(
            tmp_path / "run" / "checkpoints" / f"{name}.safetensors"
        )["state_dict"]
        for name in ("best", "last")
    }
    found = load_learner(weights)
    name = next(n for n, value in states["best"].items() if value.ndim == 4)
    assert not torch.equal(states["best"][name], states["last"][name])
    assert torch.equal(found.learner.state_dict()[name], states["best"][name].half().float())
    assert found.record.conditions == ("pbc",)
    assert found.record.origins == ("origin of pbc",)


@pytest.mark.usefixtures("stripes")
def test_data_other_than_the_plan_was_made_with_is_refused_by_its_name(tmp_path: Path) -> None:
    plan = _plan(meta_train=["pbc"], checksums={"pbc": "0123456789abcdef"})
    with pytest.raises(PlanError, match=r"'pbc' is not what the plan was made with"):
        run.train(plan, tmp_path / "run", progress=False)


def test_a_reduced_cohort_is_drawn_at_random_from_each_class() -> None:
    """Files stand in order of hospital or day; the first of them are no sample."""
    cohort = striped_cohort(way=2, patients=40)
    small = reduced(cohort, 5, seed=0)
    assert np.bincount(small.labels).tolist() == [5, 5]
    rows = [cohort.names.index(name) for name in small.names]
    assert (small.images == cohort.images[rows]).all()
    assert (small.patients == cohort.patients[rows]).all()
    assert max(row % 40 for row in rows) >= 5
    assert reduced(cohort, 5, seed=1).names != small.names


def test_meta_validation_draws_other_episodes_for_another_seed() -> None:
    plan = ValidationPlan(episodes=2, shots=2, queries=2)
    first, second = (MetaValidation([striped_cohort()], plan, seed).spec.seed for seed in (0, 1))
    assert first != second


@pytest.mark.usefixtures("stripes")
def test_a_plan_that_failed_at_once_may_be_corrected_in_the_same_folder(tmp_path: Path) -> None:
    wrong = _plan(meta_train=["pbc"]).model_copy(update={"episodes": EpisodeSpec(ways=2, shots=99)})
    with pytest.raises(CohortError):
        run.train(wrong, tmp_path / "run", progress=False)
    run.train(_plan(meta_train=["pbc"]), tmp_path / "run", progress=False)
    assert "shots: 99" not in (tmp_path / "run" / "plan.yaml").read_text(encoding="utf-8")
