"""Workers are started, watched, started again, and end with the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ui import supervise
from ui.supervise import Job, Workers


class Sleeping(Job):
    """Stands for a worker: leaves when its parent is another."""

    def arguments(self) -> list[str]:
        wait = f"import os, time\nwhile os.getppid() == {os.getpid()}: time.sleep(0.05)"
        return [sys.executable, "-c", wait]


class Failing(Job):
    """A worker that cannot start."""

    def arguments(self) -> list[str]:
        return [sys.executable, "-c", "raise SystemExit(3)"]


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    workers = Workers(Sleeping(tmp_path), 2)
    workers.start()
    try:
        first, _ = workers.processes()
        os.kill(first, signal.SIGKILL)
        until(lambda: workers.health().restarts == 1 and workers.health().running == 2)
        assert first not in workers.processes()
        assert workers.health().said == ""
    finally:
        started = workers.processes()
        workers.close()
    assert not any(alive(process) for process in started)


def test_one_that_cannot_start_is_tried_at_growing_intervals_and_the_page_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "_LOOK", 0.01)
    workers = Workers(Failing(tmp_path), 1)
    workers.start()
    try:
        until(lambda: workers.health().restarts >= 2)
        until(lambda: workers.health().running == 0)
        assert "No worker is running" in workers.health().said
    finally:
        workers.close()
    assert [supervise._wait(n) for n in (1, 2, 3, 4, 99)] == [0.0, 1.0, 2.0, 4.0, 30.0]


def test_workers_leave_when_the_server_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("workbench.service.worker")
    told = tmp_path / "processes"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom ui.supervise import Job, Workers\n"
        f"w = Workers(Job(Path({str(tmp_path / 'data')!r})), 1)\nw.start()\n"
        f"Path({str(told)!r}).write_text(str(w.processes()[0]))\ntime.sleep(600)"
    )
    server = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: told.exists() and told.read_text() != "")
    worker = int(told.read_text())
    assert alive(worker)
    server.kill()
    server.wait()
    until(lambda: not alive(worker), seconds=60)


def test_the_database_address_is_not_among_the_arguments(tmp_path: Path) -> None:
    job = Job(tmp_path, "postgresql://me:secret@host/name", "general", 3)
    assert "secret" not in " ".join(job.arguments())
    assert job.arguments()[-4:] == ["--weights", "general", "--pool-slices", "3"]
