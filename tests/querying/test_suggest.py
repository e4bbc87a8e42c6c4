from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.querying.worlds import blobs, learner, random_state
from tests.userfiles import class_folders, loaded_pixels, picture
from workbench.adaptation.model import AdaptedModel, adapt, load_model, save_model
from workbench.cli import app
from workbench.data.examples import Support
from workbench.data.folders import read_examples
from workbench.errors import ModelFileError, SupportError
from workbench.imaging.phantom import write_phantoms
from workbench.querying import DEFAULT
from workbench.querying.outlook import Line, Outlook, fit_line, moments, read_line, write_line
from workbench.querying.reasons import reason
from workbench.querying.simulation import TaskSpec
from workbench.querying.strategies import strategies
from workbench.querying.suggest import Pool, read_pool, suggest

pytestmark = pytest.mark.usefixtures("private_home")


def _model(tmp_path: Path, method: str = "linear-probe") -> AdaptedModel:
    read = read_examples(class_folders(tmp_path / "support", patients=3))
    return adapt(loaded_pixels(tmp_path, method), read.examples, read.classes)


@pytest.mark.parametrize("method", ["linear-probe", "prototypical", "auto", "mahalanobis"])
def test_a_model_read_from_a_file_suggests_the_same(tmp_path: Path, method: str) -> None:
    model = _model(tmp_path, method)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors", tmp_path / f"{method}.safetensors")
    unlabelled = class_folders(tmp_path / "pool", patients=5, seed=7)
    for strategy in strategies():
        first = suggest(model, read_pool(model, [unlabelled]), 4, strategy)
        second = suggest(again, read_pool(again, [unlabelled]), 4, strategy)
        assert [one.name for one in first.suggestions] == [one.name for one in second.suggestions]
        assert len(first.suggestions) == 4
        assert first.pool == 10


def test_labelled_scans_copies_and_bad_files_are_left_out(tmp_path: Path) -> None:
    model = _model(tmp_path)
    class_folders(tmp_path / "pool", patients=2, seed=7)
    picture(tmp_path / "pool" / "copy.png", 5)
    picture(tmp_path / "pool" / "z" / "again.png", 5)
    (tmp_path / "pool" / "broken.png").write_bytes(b"\x89PNG nothing more")
    pool = read_pool(model, [tmp_path / "pool", tmp_path / "support"])
    assert pool.known == 6
    assert len(pool.names) == 5
    assert {one.source for one in pool.refused} == {"broken.png", "z/again.png"}


def test_suggestions_are_of_different_patients(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "support", 2, seed=3)
    read = read_examples(tmp_path / "support")
    model = adapt(loaded_pixels(tmp_path), read.examples)
    write_phantoms(tmp_path / "pool", 4, seed=11)
    pool = read_pool(model, [tmp_path / "pool"])
    found = suggest(model, pool, 4)
    assert len({pool.patients[one.row] for one in found.suggestions}) == 4


def test_a_classifier_in_memory_is_enough() -> None:
    condition = blobs()
    rows = np.arange(0, 36, 4)
    support = Support(
        condition.features[torch.from_numpy(rows)],
        torch.from_numpy(condition.labels[rows]),
        ("a", "b", "c"),
        tuple(map(str, rows)),
    )
    found = suggest(
        learner().adapt(support), Pool(condition.features, tuple(map(str, range(36)))), 3, "margin"
    )
    assert len(found.suggestions) == 3
    margins = [one.probability for one in found.suggestions]
    assert margins == sorted(margins) or max(margins) < 0.9
    assert all(one.reason for one in found.suggestions)


def test_an_empty_pool_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    model = _model(tmp_path)
    with pytest.raises(SupportError, match="Add scans that are not labelled yet"):
        suggest(model, read_pool(model, [tmp_path / "empty"]))


def test_the_outlook_is_a_line_through_the_context(tmp_path: Path) -> None:
    line = Line(0.05, (-0.02, 0.0, 0.1, 0.0, 0.0, 0.0), 0.03, 100, ("a",))
    write_line(line, tmp_path / "line.json")
    state = random_state()
    found = read_line(tmp_path / "line.json").outlook(state)
    labels = np.log(len(state.support) / state.way)
    assert found.gain == pytest.approx(0.05 - 0.02 * labels + 0.1 * state.entropy.mean(), abs=1e-6)
    assert not found.settled
    assert "hardly help" not in str(found)
    assert "hardly help" in str(Outlook(0.004, 0.03))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ModelFileError, match=r"other\.json"):
        read_line(tmp_path / "other.json")


def test_a_line_is_fitted_to_what_labels_brought() -> None:
    """Classes far apart: everything is right from the start, and no label can bring anything."""
    spec = TaskSpec(pool=40, held_out=5, seed=1)
    easy = fit_line(learner(), [blobs(way=2, each=30, apart=60.0)], spec, 3, 0.0)
    found = list(moments(learner(), blobs(way=2, each=30, apart=60.0), spec, 0))
    assert len(found) == 5
    assert easy.outlook(found[0].state).gain == pytest.approx(0.0, abs=1e-9)
    assert easy.states == 15
    condition = blobs(way=3, each=30, apart=2.5)
    hard = fit_line(learner(), [condition], spec, 3, 0.0)
    known = [one for number in range(3) for one in moments(learner(), condition, spec, number)]
    missed = np.array([one.gain - hard.outlook(one.state).gain for one in known])
    assert missed.mean() == pytest.approx(0.0, abs=1e-9)  # as least squares with an intercept promise
    assert hard.spread == pytest.approx(np.sqrt(np.square(missed).sum() / (len(known) - 7)))


def test_a_reason_names_what_stands_out() -> None:
    state = random_state(m=40)
    undecided = int(np.argmin(state.margin))
    text = reason(state, ("a", "b", "c"), undecided, "the model can hardly decide")
    assert text.startswith("The model can hardly decide: it lies between '")
    certain = int(np.argmax(state.margin))
    assert "lies between" not in reason(state, ("a", "b", "c"), certain, "drawn at random")


def test_the_command_prints_suggestions_and_json(tmp_path: Path) -> None:
    save_model(_model(tmp_path), tmp_path / "model.safetensors")
    pool = class_folders(tmp_path / "pool", patients=3, seed=7)
    picture(pool / "class 0" / "x.png", 1).write_bytes(b"no picture")
    arguments = ["suggest", str(tmp_path / "model.safetensors"), str(pool), "--n", "2"]
    arguments += ["--weights", str(tmp_path / "linear-probe.safetensors")]
    found = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert f"2 scans to label next, of 6, chosen by {DEFAULT}" in found.output
    assert "now read as 'class" in found.output
    assert str(tmp_path) not in found.stdout
    values = json.loads(
        CliRunner().invoke(app, [*arguments, "--format", "json"], catch_exceptions=False).stdout
    )
    assert len(values["suggestions"]) == 2
    assert set(values["suggestions"][0]) == {"file", "label", "probability", "reason"}
    assert [one["file"] for one in values["refused"]] == ["class 0/x.png"]
    assert values["outlook"]["message"]


def test_an_unknown_strategy_is_one_message(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["suggest", "m.safetensors", "pool", "--strategy", "oracle"])
    assert found.exit_code == 2
    assert "Unknown query strategy 'oracle'" in found.output
