from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.userfiles import loaded_pixels, pixel_learner
from workbench.data.folders import read_examples
from workbench.demo import CASES, SHOTS, prepare_demo, run_demo
from workbench.learners.files import describe

pytestmark = pytest.mark.usefixtures("private_home")


def test_without_any_set_phantoms_are_drawn_and_said_to_be_so(tmp_path: Path) -> None:
    demo = prepare_demo(tmp_path, record=describe(pixel_learner()), download=False)
    assert "Phantoms" in demo.note
    assert "not patients" in demo.note
    assert {path.suffix for path in demo.cases} == {".dcm"}
    assert len(demo.cases) == len(demo.truth) == CASES * len(demo.classes)


def test_support_and_cases_share_no_patient(tmp_path: Path) -> None:
    demo = prepare_demo(tmp_path, record=describe(pixel_learner()), download=False)
    support, cases = read_examples(demo.support), read_examples(demo.cohort)
    assert len(support.examples) == SHOTS * len(demo.classes)
    assert not {e.patient for e in support.examples} & {e.patient for e in cases.examples}


def test_the_name_of_a_case_does_not_give_its_class_away(tmp_path: Path) -> None:
    demo = prepare_demo(tmp_path, record=describe(pixel_learner()), download=False)
    assert [path.parent.name for path in demo.cases] == list(demo.truth)
    assert sorted(path.name for path in demo.cases) == [path.name for path in demo.cases]
    assert list(demo.truth) != sorted(demo.truth)
    assert not any(name in path.name for path in demo.cases for name in demo.classes)


def test_the_demonstration_is_the_same_each_time(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in prepare_demo(tmp_path, download=False).cases]
    assert [path.read_bytes() for path in prepare_demo(tmp_path, download=False).cases] == first


def test_a_set_the_weights_have_not_seen_is_preferred(tmp_path: Path, shared: Path) -> None:
    record = replace(describe(pixel_learner()), conditions=("breastmnist",))
    demo = prepare_demo(tmp_path, shared / "data", record, download=False)
    assert demo.classes == ("normal", "osteoporosis")
    assert "held out" in demo.note


def test_a_set_the_weights_have_seen_is_said_to_be_seen(tmp_path: Path, shared: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "medmnist").symlink_to(shared / "data" / "medmnist")
    record = replace(describe(pixel_learner()), conditions=("breastmnist",))
    demo = prepare_demo(tmp_path / "demo", data, record, download=False)
    assert "BreastMNIST" in demo.title
    assert "Seen in meta-training" in demo.note


def test_the_demonstration_walks_the_whole_path(tmp_path: Path) -> None:
    done = run_demo(loaded_pixels(tmp_path), tmp_path / "demo", download=False)
    found = done.result.performance
    assert found.patients == CASES * 2
    assert found.accuracy is not None
    assert done.model.record.shots == (SHOTS, SHOTS)
