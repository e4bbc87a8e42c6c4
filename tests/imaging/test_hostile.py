"""Bombs, hostile zips and damaged files: a refusal, little memory, and the good file beside is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fuzz
from benchmarks.bombs import ATTACKS, Outcome, attack_apart
from benchmarks.hostile import BOMBS, FURTHER, ZIPS, Attack
from benchmarks.mutations import seeds
from workbench.imaging import decoding
from workbench.imaging.sniff import Kind

GIGABYTE_AND_A_HALF = 1_500_000_000
ENDLESS = "JPEG of endless scans"
"""Takes ten seconds of processor time before it is stopped."""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """All attacks on one process, one after the other."""
    names = [name for name in ATTACKS if name != ENDLESS]
    return dict(zip(names, attack_apart(*names), strict=True))


@pytest.mark.parametrize(
    "attack", [one for one in (*BOMBS, *FURTHER, *ZIPS) if one.name != ENDLESS], ids=lambda one: one.name
)
def test_an_attack_is_refused_with_its_reason_and_the_good_file_is_read(
    outcomes: dict[str, Outcome], attack: Attack
) -> None:
    outcome = outcomes[attack.name]
    assert outcome.good
    assert outcome.peak < GIGABYTE_AND_A_HALF
    if attack.reason:
        assert attack.reason in outcome.answer
        assert outcome.refused
    else:
        assert outcome.answer == "read"


def test_the_five_bombs_cost_next_to_nothing(outcomes: dict[str, Outcome]) -> None:
    """They come first, so that what later attacks took is not in their figure."""
    last = outcomes[BOMBS[-1].name]
    assert last.peak < 450 * 2**20


@pytest.mark.slow
def test_a_file_that_takes_endless_time_is_stopped() -> None:
    (outcome,) = attack_apart(ENDLESS)
    assert "stopped after" in outcome.answer
    assert outcome.good


def test_damaged_files_are_read_or_refused_and_nothing_else() -> None:
    """The first of the 20,000 that `python -m benchmarks.fuzz` reads."""
    outcomes = list(fuzz.run(seeds(None), 1, range(150)))
    assert [one for one in outcomes if one.what == "FAILED"] == []
    assert {one.what for one in outcomes} >= {"read", "refused"}
    assert len(outcomes) == 150


def test_a_damaged_file_can_be_made_again() -> None:
    known = seeds(None)
    assert fuzz.damaged(known, 1, 7) == fuzz.damaged(known, 1, 7)
    assert fuzz.damaged(known, 1, 7) != fuzz.damaged(known, 2, 7)


def test_a_failure_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours that the reader's net caught counts as one."""
    monkeypatch.setenv("WORKBENCH_WORKERS", "0")
    monkeypatch.setitem(decoding._READERS, Kind.RASTER, lambda *_: undefined)  # type: ignore[name-defined]  # noqa: F821
    path = tmp_path / "1"
    path.write_bytes(next(one.data for one in seeds(None) if one.kind == "PNG"))
    assert fuzz.judge(1, "PNG", path).what == "FAILED"
