"""Workers: whatever a decoder does, its own file alone is refused, and the next one is read."""

from __future__ import annotations

import multiprocessing as mp
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.imaging import misbehave
from tests.imaging.makers import asymmetric, ct, save, write_series
from workbench.errors import ScanRefused
from workbench.imaging import read, read_scan, read_scans, workers
from workbench.imaging.decoding import open_decoded, open_header
from workbench.imaging.held import Held
from workbench.imaging.limits import MIB, Limits
from workbench.imaging.pixelchain import Values
from workbench.imaging.scan import Units
from workbench.imaging.workers import Call, Pool, Stopped, call

SMALL = Limits(free_worker_bytes=128 * MIB, worker_factor=0, free_seconds=1.0, patience=4)


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """Two workers with little time and memory."""
    pool = Pool(2, SMALL)
    yield pool
    pool.close()


def _outcome(pool: Pool, function: Callable[..., object], *arguments: object) -> object:
    return pool.submit(Call(function, arguments, "scan.dcm", 0)).result(60)


@pytest.mark.parametrize(
    ("function", "arguments", "reason"),
    [
        (misbehave.crash, (), "crashed"),
        (misbehave.abort, (), "crashed"),
        (misbehave.spin, (), "stopped after"),
        (misbehave.sleep, (), "stopped after"),
        (misbehave.unknown, (), "crashed"),
        (misbehave.command, (), "crashed"),
        (misbehave.take, (400,), "memory"),
        (misbehave.nest, (0,), "nested"),
        (misbehave.refuse, ("scan.dcm",), "It is bad."),
        (misbehave.fail, ("/home/jane",), "ValueError"),
    ],
)
def test_whatever_a_decoder_does_its_file_is_refused_and_the_next_is_read(
    pool: Pool, function: Callable[..., object], arguments: tuple[object, ...], reason: str
) -> None:
    refusal = _outcome(pool, function, *arguments)
    assert isinstance(refusal, ScanRefused)
    assert reason in refusal.reason
    assert refusal.source == "scan.dcm"
    assert refusal.fix
    assert "jane" not in str(refusal).lower()
    assert _outcome(pool, misbehave.echo, 7) == 7
    assert not Path("/tmp/workbench-was-here").exists()


def test_the_limit_of_memory_lets_through_what_is_below_it(pool: Pool) -> None:
    assert _outcome(pool, misbehave.take, 64) == 64 * MIB


def test_arrays_come_back_whole_and_writable(pool: Pool) -> None:
    for side in (1, 3, 1000):
        found = _outcome(pool, misbehave.array, side)
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, misbehave.array(side))
        found += 1


def test_workers_start_without_the_models(pool: Pool) -> None:
    """A worker holds what decodes files, and costs a third of a second, not seconds."""
    known = _outcome(pool, misbehave.modules)
    assert isinstance(known, list)
    assert not {"torch", "monai", "lightning", "gradio", "sklearn"} & set(known)
    reading = "import sys, workbench.imaging.read; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", reading], text=True).strip() == "False"


def test_workers_are_reused(pool: Pool) -> None:
    assert len({_outcome(pool, misbehave.process) for _ in range(10)}) == 1
    assert pool.processes() == [_outcome(pool, misbehave.process)]


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux only")
def test_the_system_would_end_a_worker_before_the_service(pool: Pool) -> None:
    assert _outcome(pool, misbehave.environment) == ("1", "1000")


def test_a_worker_that_was_ended_between_calls_is_replaced(pool: Pool) -> None:
    first = _outcome(pool, misbehave.process)
    assert isinstance(first, int)
    os.kill(first, 9)
    assert _outcome(pool, misbehave.process) != first


def test_closing_ends_the_processes() -> None:
    pool = Pool(1, SMALL)
    process = _outcome(pool, misbehave.process)
    assert isinstance(process, int)
    pool.close()
    with pytest.raises(OSError, match="No such process"):
        os.kill(process, 0)


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    script = (
        "import sys, pathlib; from workbench.imaging import read_scan, workers\n"
        "read_scan(pathlib.Path(sys.argv[1])); print(*workers._pool.processes())"
    )
    out = subprocess.check_output([sys.executable, "-c", script, str(tmp_path / "a.png")], text=True)
    (process,) = map(int, out.split())
    with pytest.raises(OSError, match="No such process"):
        os.kill(process, 0)


def test_threads_share_the_workers(tmp_path: Path) -> None:
    """As the threads of a server do."""
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)
    found: list[float] = []
    threads = [
        threading.Thread(target=lambda: found.append(float(read_scan(path).pixels.sum()))) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [2016.0] * 12


def _read_in_a_fork(path: Path, answers: mp.SimpleQueue[float]) -> None:
    answers.put(float(read_scan(path).pixels.sum()))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_reads_with_workers_of_its_own(tmp_path: Path) -> None:
    """A data loader forks, and has none of this process's threads."""
    path = tmp_path / "a.png"
    Image.fromarray(np.full((4, 4), 2, np.uint8)).save(path)
    read_scan(path)
    context = mp.get_context("fork")
    answers: mp.SimpleQueue[float] = context.SimpleQueue()
    child = context.Process(target=_read_in_a_fork, args=(path, answers))
    child.start()
    child.join(60)
    assert not answers.empty()
    assert answers.get() == 32.0
    assert read_scan(path).pixels.sum() == 32.0


def test_outcomes_come_in_order_and_calls_are_made_as_they_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORKBENCH_WORKERS", "2")
    made: list[int] = []

    def calls() -> Iterator[Call[object]]:
        for number in range(50):
            made.append(number)
            yield call(misbehave.echo, "x", 0, number)

    outcomes = workers.run_all(calls())
    assert next(outcomes) == 0
    assert len(made) < 10
    assert list(outcomes) == list(range(1, 50))


def test_a_worker_and_this_process_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "series", asymmetric(), order=[2, 0, 3, 1])
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    monkeypatch.setenv("WORKBENCH_WORKERS", "0")
    here = read_scans([tmp_path]).scans
    monkeypatch.setenv("WORKBENCH_WORKERS", "2")
    there = read_scans([tmp_path]).scans
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert (one.provenance, one.findings, one.patient) == (
            other.provenance,
            other.findings,
            other.patient,
        )


def test_the_number_of_workers_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_WORKERS", "3")
    assert workers.worker_count() == 3
    monkeypatch.delenv("WORKBENCH_WORKERS")
    assert 1 <= workers.worker_count() <= 4


def test_a_slice_that_ends_its_worker_refuses_its_series_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its last slice the series would look whole."""
    write_series(tmp_path, asymmetric())
    save(ct(asymmetric()[0], series="1.2.3"), tmp_path / "other")
    monkeypatch.setattr(read, "open_decoded", misbehave.crash_on_second)
    result = read_scans([tmp_path])
    assert [error.source for error in result.refused] == ["IM0001"]
    assert isinstance(result.refused[0], Stopped)
    assert [scan.provenance.source for scan in result.scans] == ["other"]


def test_a_series_is_read_file_by_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = np.zeros((12, 128, 128), np.int16)
    total = sum(path.stat().st_size for path in write_series(tmp_path, volume))
    monkeypatch.setenv("WORKBENCH_WORKERS", "0")
    opened: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open" and str(arguments[0]).startswith(str(tmp_path)):
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)
    before = misbehave.read_counter(tmp_path)
    (scan,) = read_scans([tmp_path]).scans
    watching = False
    assert scan.pixels.shape == (12, 128, 128, 1)
    # The second look is at the first bytes alone, to tell what a file is.
    assert sorted(opened) == sorted(str(path) for path in tmp_path.iterdir() for _ in range(2))
    assert misbehave.read_counter(tmp_path) - before < 1.15 * total


def test_a_header_comes_without_its_pixels(tmp_path: Path) -> None:
    path = save(ct(asymmetric()[0]), tmp_path / "a")
    for function in (open_header, open_decoded):
        assert "PixelData" not in function(path, "a").dataset
    held = open_decoded(path, "a").held
    assert held is not None
    assert held.size == 30
    assert held.take().pixels.shape == (1, 6, 5, 1)
    assert held.size == 0


def test_reading_says_nothing_of_what_is_in_the_file(tmp_path: Path) -> None:
    """The libraries' warnings quote element values, which may identify a patient."""
    image = ct(asymmetric()[0])
    image.PatientID, image.SeriesInstanceUID = "Doe^Jane" * 20, "1.2.x"
    with pydicom.config.disable_value_validation():
        save(image, tmp_path / "a")
        save(ct(asymmetric()[1], series="1.2.y"), tmp_path / "b")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert len(read_scans([tmp_path]).scans) == 2
        read_scan(tmp_path / "a")
    assert [str(one.message) for one in said] == []


@pytest.mark.parametrize(
    "values", [[0, 1, -32768, 32767], [0, 1, 32768, 2], [0.5, 1, 2, 3], [-1e30, 0, 1, 2], [1e9, 1, 2, 3]]
)
def test_values_are_held_exactly(values: list[float]) -> None:
    pixels = np.array(values, np.float32).reshape(1, 2, 2, 1)
    taken = Held(Values(pixels.copy(), Units.MODALITY, None, None, ())).take()
    assert taken.pixels.dtype == np.float32
    np.testing.assert_array_equal(taken.pixels, pixels)
