from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.helpers import striped_cohort, tiny_learner
from tests.userfiles import pixel_learner, weights_file
from workbench.data.cohort import Cohort
from workbench.data.episodes import EpisodeSpec
from workbench.errors import CohortError, PlanError, WorkbenchError
from workbench.evaluation import compare as comparing
from workbench.evaluation.compare import compare, on_cohort, planned_conditions, why_seen
from workbench.evaluation.contestants import Contestant, contestants
from workbench.evaluation.episodic import evaluate_episodes
from workbench.evaluation.memory import cohort_digest, scores_file
from workbench.evaluation.tables import as_csv, as_json, as_markdown, check_ending, overview
from workbench.learners.files import describe, save_learner

pytestmark = pytest.mark.usefixtures("private_home")
SPEC = EpisodeSpec(ways=2, shots=2, queries=3, seed=4)
METHODS = ("prototypical", "linear-probe", "raw-pixels", "random-encoder")


def noisy(cohort: Cohort) -> Cohort:
    """The cohort under so much noise that nobody reads it without fault."""
    noise = np.random.default_rng(1).normal(0, 90, cohort.images.shape)
    return replace(cohort, images=np.clip(cohort.images * 0.15 + 100 + noise, 0, 255).astype(np.uint8))


@pytest.fixture
def entrants(tmp_path: Path) -> tuple[Contestant, ...]:
    return contestants(weights_file(tmp_path / "tiny.safetensors"), METHODS)


def test_baselines_are_learners_like_any_other(entrants: tuple[Contestant, ...]) -> None:
    assert [(c.encoder, c.learner.name) for c in entrants] == [
        ("tiny", "prototypical"),
        ("tiny", "linear-probe"),
        ("raw-pixels", "linear-probe"),
        ("raw-pixels", "prototypical"),
        ("random-encoder", "prototypical"),
        ("random-encoder", "linear-probe"),
    ]


def test_the_untrained_encoder_has_the_normaliser_statistics_of_drawn_images(tmp_path: Path) -> None:
    """Random filters with maps of unit scale, the same for the same seed: a fair baseline."""
    path = tmp_path / "tiny.safetensors"
    learner = tiny_learner("prototypical")
    save_learner(learner, path, describe(learner, "tiny"))
    again = [contestants(path, METHODS)[-1].learner.backbone for _ in range(2)]
    layers = [m for m in again[0].modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert layers
    assert all(float(m.running_mean.abs().max()) > 0 for m in layers if m.running_mean is not None)
    for a, b in zip(again[0].state_dict().values(), again[1].state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_baselines_use_the_settings_of_the_method_they_stand_beside(tmp_path: Path) -> None:
    path = weights_file(tmp_path / "tiny.safetensors")
    found = contestants(path, METHODS)
    assert found[0].learner.settings == found[-2].learner.settings


def test_an_unknown_method_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"'protonet'.*prototypical.*raw-pixels"):
        contestants(weights_file(tmp_path / "tiny.safetensors"), ["protonet"])


def test_rows_equal_the_plain_evaluation_of_each_learner(entrants: tuple[Contestant, ...]) -> None:
    cohort = striped_cohort()
    rows = on_cohort(entrants, cohort, SPEC, 20)
    for entrant, row in zip(entrants, rows, strict=True):
        plain = evaluate_episodes(entrant.learner, cohort, SPEC, 20)
        assert row.accuracy.value == pytest.approx(plain.accuracy.mean())
        assert row.auroc.value == pytest.approx(np.nanmean(plain.auroc))


def test_the_gain_is_against_the_better_of_the_pixel_rows(entrants: tuple[Contestant, ...]) -> None:
    rows = on_cohort(entrants, noisy(striped_cohort()), SPEC, 20)
    assert len({row.accuracy.value for row in rows if row.encoder == "raw-pixels"}) == 2
    best = max(row.accuracy.value for row in rows if row.encoder == "raw-pixels")
    for row in rows:
        if row.encoder == "raw-pixels":
            assert row.gain is None
        else:
            assert row.gain is not None
            assert row.gain.value == pytest.approx(row.accuracy.value - best)


def test_an_interrupted_comparison_goes_on_where_it_stopped(
    entrants: tuple[Contestant, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort, asked = striped_cohort(), []
    whole = on_cohort(entrants[:1], cohort, replace(SPEC, seed=5), 30, fresh=True)
    monkeypatch.setattr(comparing, "KEPT_EVERY", 10)
    score = comparing.score

    def interrupted(*arguments: object) -> object:
        asked.append(1)
        if len(asked) == 25:
            raise KeyboardInterrupt
        return score(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(comparing, "score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        on_cohort(entrants[:1], cohort, replace(SPEC, seed=5), 30, fresh=True)
    asked.clear()
    monkeypatch.setattr(comparing, "score", lambda *a: (asked.append(1), score(*a))[1])
    assert on_cohort(entrants[:1], cohort, replace(SPEC, seed=5), 30) == whole
    assert len(asked) == 10
    asked.clear()
    on_cohort(entrants[:1], cohort, replace(SPEC, seed=5), 30)
    assert not asked


def test_other_images_are_not_answered_from_the_cache(entrants: tuple[Contestant, ...]) -> None:
    cohort = striped_cohort()
    first = on_cohort(entrants[:1], cohort, SPEC, 20)
    noise = np.random.default_rng(0).integers(0, 255, cohort.images.shape).astype(np.uint8)
    assert on_cohort(entrants[:1], replace(cohort, images=noise), SPEC, 20) != first


def test_other_patients_make_other_episodes_and_are_not_answered_from_the_cache() -> None:
    cohort = striped_cohort()
    merged = replace(cohort, patients=cohort.patients // 2)
    assert cohort_digest(merged) != cohort_digest(cohort)


def test_other_settings_are_not_answered_from_the_cache(entrants: tuple[Contestant, ...]) -> None:
    scaled = replace(entrants[0], learner=pixel_learner("prototypical"))
    assert scores_file(scaled, "d", "e") == scores_file(entrants[0], "d", "e")
    scaled.learner.options = replace(scaled.learner.options, normalise=True)  # type: ignore[attr-defined]
    assert scores_file(scaled, "d", "e") != scores_file(entrants[0], "d", "e")


def test_all_classes_with_enough_patients_take_part(entrants: tuple[Contestant, ...]) -> None:
    cohort = noisy(striped_cohort(way=3))
    rows = on_cohort(entrants[:1], cohort, replace(SPEC, ways=64), 5)
    plain, pairs = (
        evaluate_episodes(entrants[0].learner, cohort, replace(SPEC, ways=ways), 5).accuracy.mean()
        for ways in (3, 2)
    )
    assert rows[0].way == 3
    assert rows[0].accuracy.value == pytest.approx(plain)
    assert plain != pytest.approx(pairs)


def test_conditions_seen_in_training_or_validation_and_their_kin_are_not_held_out() -> None:
    plan = yaml.safe_dump({"data": {"meta_validation": ["knee_oa_kl"], "meta_test": ["ham10000"]}})
    record = replace(describe(pixel_learner()), conditions=("breastmnist",), plan=plan)
    assert why_seen(record, "breastmnist") is not None
    assert "same origin" in str(why_seen(record, "busi"))
    assert why_seen(record, "knee_oa_kl") is not None
    assert why_seen(record, "knee_osteoporosis") is None
    assert planned_conditions(record) == ("ham10000",)


def test_a_seen_condition_is_refused_unless_allowed_and_then_marked(tmp_path: Path, shared: Path) -> None:
    path = weights_file(tmp_path / "tiny.safetensors", conditions=("breastmnist",))
    entrants = contestants(path, ("prototypical", "raw-pixels"))
    with pytest.raises(CohortError, match=r"breastmnist.*--allow-seen"):
        compare(entrants, ["breastmnist"], SPEC, 5, shared / "data")
    rows = compare(entrants, ["breastmnist"], SPEC, 5, shared / "data", allow_seen=True)
    assert [row.seen for row in rows] == [True, False, False]
    assert "seen in meta-training" in as_markdown(rows)


def test_weights_without_held_out_conditions_ask_for_some() -> None:
    with pytest.raises(CohortError, match="--conditions"):
        planned_conditions(describe(pixel_learner()))


def test_tables_hold_the_same_figures(entrants: tuple[Contestant, ...]) -> None:
    rows = on_cohort(entrants, striped_cohort(), SPEC, 20)
    values = json.loads(as_json(rows))
    lines = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert len(values) == len(lines) == len(rows)
    for row, value, line in zip(rows, values, lines, strict=True):
        assert value["accuracy"]["low"] == pytest.approx(row.accuracy.low)
        assert float(line["accuracy_high"]) == pytest.approx(row.accuracy.high, abs=1e-6)
        assert f"| {row.encoder} | {row.method} | {100 * row.accuracy.value:.1f} (" in as_markdown(rows)


def test_the_overview_has_a_column_for_each_contestant_and_says_what_was_not_computed(
    entrants: tuple[Contestant, ...],
) -> None:
    rows = on_cohort(entrants, striped_cohort("a"), SPEC, 10)
    rows += on_cohort(entrants[:1], striped_cohort("b", seed=1), SPEC, 10)
    header, _, first, second = overview(rows).splitlines()
    assert header.count("|") == len(entrants) + 2
    assert "prototypical, tiny" in header
    assert f"{100 * rows[0].accuracy.value:.1f} ±" in first
    assert second.count("not computed") == len(entrants) - 1


def test_an_unknown_ending_is_refused_before_any_episode() -> None:
    with pytest.raises(WorkbenchError, match=r"\.csv, \.json, \.md"):
        check_ending(Path("table.xlsx"))


def test_an_inner_loop_is_not_started_from_an_untrained_network(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    learner = tiny_learner("prototypical")
    save_learner(learner, path, describe(learner, "tiny"))
    found = contestants(path, ("maml", "prototypical", "random-encoder"))
    assert [(c.encoder, c.learner.name) for c in found] == [
        ("tiny", "maml"),
        ("tiny", "prototypical"),
        ("random-encoder", "prototypical"),
    ]
