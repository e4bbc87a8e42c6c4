"""A run killed at any moment continues the same stream from its last checkpoint."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from PIL import Image

from tests.helpers import striped_cohort
from workbench.errors import PlanError, TrainingError
from workbench.learners.files import load_learner
from workbench.training import run
from workbench.training.checkpoints import SafetensorsCheckpointIO
from workbench.training.plan import Plan, parse_plan
from workbench.training.run import check_split, sampling_weights, train
from workbench.training.validation import MONITOR, MetaValidation


def _values(method: str = "prototypical", steps: int = 12) -> dict[str, object]:
    return {
        "name": "tiny",
        "seed": 3,
        "method": {"name": method},
        "backbone": {"name": "conv4", "size": 28, "width": 8},
        "recipe": {"size": 28},
        "data": {"procedural": {"images": 400, "seed": 1}},
        "episodes": {"ways": [2, 3], "shots": 2, "queries": 3},
        "batch": 16 if method == "linear-probe" else 2,
        "steps": steps,
        "checkpoint_every": 3,
        "precision": "float32",
    }


def _plan(method: str = "prototypical", steps: int = 12) -> Plan:
    return parse_plan(_values(method, steps), "test")


@pytest.mark.parametrize("method", ["prototypical", "maml", "linear-probe"])
def test_training_makes_weights_that_load(method: str, tmp_path: Path) -> None:
    path = train(_plan(method, 4), tmp_path / "run", progress=False)
    loaded = load_learner(path)
    assert loaded.record.method == method
    assert "seed: 3" in loaded.record.plan
    assert all(c.startswith("drawn-") for c in loaded.record.conditions)
    assert not any(name.startswith("training_head") for name in loaded.learner.state_dict())
    with (tmp_path / "run" / "metrics" / "0" / "metrics.csv").open() as file:
        assert any(row.get("loss") for row in csv.DictReader(file))


def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    """Stopped by an exception in the middle of the third stretch, then started again."""
    whole = load_learner(train(_plan(), tmp_path / "whole", progress=False)).learner.state_dict()
    _run_until_killed(tmp_path / "killed")
    resumed = load_learner(train(_plan(), tmp_path / "killed", progress=False)).learner.state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def _run_until_killed(folder: Path) -> None:
    """`kill -9` of a training process once it has passed its second checkpoint."""
    script = textwrap.dedent(
        f"""
        import time
        import yaml
        from pathlib import Path
        from workbench.training.plan import parse_plan
        from workbench.training import run
        from workbench.learners.prototypical import Prototypical
        step = Prototypical.training_step
        def slow(self, batch, batch_idx):
            if self.global_step == 7:
                Path({str(folder / "reached")!r}).touch()
                time.sleep(600)
            return step(self, batch, batch_idx)
        Prototypical.training_step = slow
        values = yaml.safe_load({yaml.safe_dump(_values())!r})
        run.train(parse_plan(values, "test"), Path({str(folder)!r}), progress=False)
        """
    )
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", script], cwd=Path(__file__).parents[2])
    try:
        for _ in range(1200):
            if (folder / "reached").exists():
                break
            assert process.poll() is None, "the training process ended before it could be killed"
            time.sleep(0.1)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert (folder / "reached").exists()
    assert (folder / "checkpoints" / "last.safetensors").exists()
    assert not (folder / "tiny.safetensors").exists()


def test_a_loss_that_is_no_number_ends_the_run_with_a_way_out(tmp_path: Path) -> None:
    values = _values(steps=6)
    values["optimisation"] = {"learning_rate": 1e30, "clip": 0.0, "warmup": 0}
    with pytest.raises(TrainingError, match=r"learning_rate"):
        train(parse_plan(values, "test"), tmp_path / "run", progress=False)


def test_a_folder_with_a_run_of_another_plan_is_refused(tmp_path: Path) -> None:
    train(_plan(steps=3), tmp_path / "run", progress=False)
    with pytest.raises(PlanError, match="another plan"):
        train(_plan(steps=6), tmp_path / "run", progress=False)


def test_the_last_stretch_is_kept_also_when_it_was_not_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores that only fall: the best checkpoint is the first one, the last one the newest."""
    falling = iter((0.9, 0.8, 0.7, 0.6))

    def score(self: MetaValidation, trainer: object, pl_module: pl.LightningModule) -> None:
        pl_module.log(MONITOR, next(falling), batch_size=1)

    monkeypatch.setattr(MetaValidation, "on_train_epoch_end", score)
    monkeypatch.setattr(run, "_cohort", lambda name, *_: striped_cohort(name, patients=14))
    values = _values(steps=12)
    values["data"] = {"procedural": {"images": 400}, "meta_validation": ["mednist"]}
    train(parse_plan(values, "test"), tmp_path / "run", progress=False)
    io = SafetensorsCheckpointIO()
    steps = {
        name: io.load_checkpoint(tmp_path / "run" / "checkpoints" / f"{name}.safetensors")["global_step"]
        for name in ("best", "last")
    }
    assert steps == {"best": 3, "last": 12}


def test_meta_validation_ranks_checkpoints_on_held_out_conditions(tmp_path: Path, private_home: Path) -> None:
    """A catalogued set in a folder of its own stands for the held-out condition."""
    data = tmp_path / "data" / "mednist"
    cohort = striped_cohort(way=3, patients=14)
    folders = ("AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT")
    for row, image in enumerate(cohort.images):
        for shift in (0, 3):
            folder = data / folders[cohort.labels[row] + shift]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.roll(image, shift, axis=1)).save(folder / f"{row:03}.png")
    values = _values(steps=6)
    values["data"] = {"procedural": {"images": 400}, "meta_validation": ["mednist"]}
    values["validation"] = {"episodes": 3, "shots": 2, "queries": 2, "limit": 12, "patience": 1}
    train(parse_plan(values, "test"), tmp_path / "run", data=tmp_path / "data", progress=False)
    with (tmp_path / "run" / "metrics" / "0" / "metrics.csv").open() as file:
        scores = [float(r["meta_validation"]) for r in csv.DictReader(file) if r.get("meta_validation")]
    assert scores
    assert all(0 <= s <= 1 for s in scores)
    assert (tmp_path / "run" / "checkpoints" / "best.safetensors").exists()
    stored = yaml.safe_load((tmp_path / "run" / "plan.yaml").read_text())
    assert set(stored["data"]["checksums"]) == {"mednist"}


def test_same_origin_sets_on_two_sides_are_refused() -> None:
    values = _values()
    values["data"] = {"meta_train": ["breastmnist"], "meta_test": ["busi"]}
    with pytest.raises(PlanError, match="same origin"):
        check_split(parse_plan(values, "test"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stepz": 3}, "stepz"),
        ({"backbone": {"name": "conv4", "size": 64}}, "agree"),
        ({"optimisation": {"rate": 1.0}}, "rate"),
        ({"steps": 0}, "steps"),
        ({"data": {"meta_train": ["pbc"], "meta_test": ["pbc"]}}, "two sides"),
        ({"data": {}}, "meta_train"),
    ],
)
def test_a_bad_plan_names_its_field(change: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        parse_plan({**_values(), **change}, "plan.yaml")


def test_drawn_conditions_have_a_fixed_share() -> None:
    real, drawn = striped_cohort("a"), striped_cohort("b")
    object.__setattr__(drawn, "modality", "")
    weights = sampling_weights([real, real, drawn], drawn_share=0.4)
    assert weights == pytest.approx([0.3, 0.3, 0.4])
