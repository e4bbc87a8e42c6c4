from __future__ import annotations

import ast
import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers import striped_cohort, tiny_learner
from workbench.benchmark.cells import compute_cell
from workbench.benchmark.results import Cell, Decided, Key, Results, method_source, modules_of, program
from workbench.data.episodes import EpisodeSampler, EpisodeSpec
from workbench.data.examples import Features
from workbench.evaluation.episodic import embed_cohort, evaluate_episodes
from workbench.learners import learners

KEY = Key("Nearest mean", "stripes", 2)
DECIDED = Decided("plan", "code", "inputs")
SPEC = EpisodeSpec(ways=3, shots=2, queries=3, seed=7)


def compute(results: Results, episodes: int, decided: Decided = DECIDED) -> tuple[Cell, int]:
    """The cell, and how often features were asked for."""
    learner, cohort, asked = tiny_learner("prototypical"), striped_cohort(), []

    def features() -> Features:
        asked.append(1)
        return embed_cohort(learner, cohort)

    sampler = EpisodeSampler([cohort], SPEC)
    return compute_cell(results, KEY, decided, learner, features, sampler, episodes), len(asked)


@pytest.fixture(autouse=True)
def _same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    torch.manual_seed(0)


def test_a_cell_holds_the_scores_of_every_episode(tmp_path: Path) -> None:
    import torch

    cell, _ = compute(Results(tmp_path), 4)
    torch.manual_seed(0)
    expected = evaluate_episodes(tiny_learner("prototypical"), striped_cohort(), SPEC, 4)
    assert cell.balanced_accuracy == pytest.approx(expected.balanced_accuracy, abs=1e-6)
    assert cell.auroc == pytest.approx(expected.auroc, abs=1e-6)
    assert (cell.way, cell.inner_steps, len(cell.milliseconds)) == (3, 0, 4)


def test_a_killed_run_goes_on_with_the_episodes_that_are_missing(tmp_path: Path) -> None:
    import torch

    first, _ = compute(Results(tmp_path), 2)
    torch.manual_seed(0)
    resumed, _ = compute(Results(tmp_path), 5)
    torch.manual_seed(0)
    straight, _ = compute(Results(tmp_path / "other"), 5)
    assert resumed.milliseconds[:2] == first.milliseconds
    assert replace(resumed, milliseconds=()) == replace(straight, milliseconds=())


def test_a_complete_cell_asks_for_nothing(tmp_path: Path) -> None:
    compute(Results(tmp_path), 3)
    cell, asked = compute(Results(tmp_path), 2)
    assert (cell.episodes, asked) == (3, 0)


@pytest.mark.parametrize("part", ["plan", "code", "inputs"])
def test_whatever_decides_a_cell_makes_it_new(tmp_path: Path, part: str) -> None:
    compute(Results(tmp_path), 3)
    _, asked = compute(Results(tmp_path), 3, replace(DECIDED, **{part: "other"}))
    assert asked == 1


def test_a_damaged_cell_is_none(tmp_path: Path) -> None:
    results = Results(tmp_path)
    compute(results, 1)
    (tmp_path / KEY.file).write_text("{", encoding="utf-8")
    assert results.read(KEY) is None
    assert list(results) == []


def test_a_score_that_is_not_a_number_survives_the_file(tmp_path: Path) -> None:
    Results(tmp_path).write(Cell(KEY, 2, 0, DECIDED, (0.5,), (0.5,), (math.nan,), (1.0,)))
    (found,) = Results(tmp_path)
    assert math.isnan(found.auroc[0])


def test_labels_that_differ_in_signs_have_files_of_their_own() -> None:
    assert Key("MAML", "x", 1).file != Key("MAML++", "x", 1).file
    assert Key("MAML", "x", 1, 5).file != Key("MAML", "x", 1, 20).file


def test_a_method_rests_on_its_own_modules_and_no_others() -> None:
    prefix = "workbench.learners."
    assert modules_of("prototypical") == (f"{prefix}prototypical",)
    assert modules_of("maml") == (f"{prefix}gradient", f"{prefix}maml", f"{prefix}prototypical")
    assert len({method_source(name) for name in learners()}) == len(learners())


def test_only_code_counts_as_program() -> None:
    def of(text: str) -> str:
        return program(ast.parse(text))

    plain = of("def f(x):\n    return x\n")
    assert of('"""Module."""\n# why\ndef f(x):\n    """Words."""\n    return x\n') == plain
    assert of("def f(x):\n    return -x\n") != plain
