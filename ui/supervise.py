"""Starts the worker processes, keeps them running, and ends them with the server.

Each worker is told the server's process number and leaves when that is no longer its parent, so that none is
left behind when the server is killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_LOOK = 0.25
_LONGEST = 30.0
_STEADY = 60.0
"""Seconds after which a worker that ran is trusted again."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the workers do.

    Attributes:
        wanted: how many there should be.
        running: how many there are.
        restarts: how often one had to be started again.
        said: one line for people where something is wrong; else empty.
    """

    wanted: int
    running: int
    restarts: int = 0
    said: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """What each worker is started with.

    Attributes:
        data_dir: of the store.
        database: address of a PostgreSQL database, or empty; told by the environment, since other users of a
            machine see arguments.
        weights: a shipped name, or a learner file.
        pool_slices: see `workbench.learners`.
    """

    data_dir: Path
    database: str = ""
    weights: str = ""
    pool_slices: int = 0

    def arguments(self) -> list[str]:
        """The command line."""
        asked = [sys.executable, "-m", "workbench.service.worker", "--data", str(self.data_dir)]
        asked += ["--parent", str(os.getpid())]
        if self.weights:
            asked += ["--weights", self.weights]
        if self.pool_slices:
            asked += ["--pool-slices", str(self.pool_slices)]
        return asked


class _Place:
    """One worker's place: its process, and when it may be started next."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.not_before = 0.0
        self.failures = 0

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Workers:
    """The worker processes of one server.

    Args:
        job: what they are started with.
        count: how many; 0 where they run elsewhere.
    """

    def __init__(self, job: Job, count: int) -> None:
        self._job = job
        self._places = [_Place() for _ in range(count)]
        self._restarts = 0
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="workers", daemon=True)

    def start(self) -> None:
        """Start them, and keep them running from now on."""
        self._tend()
        self._watcher.start()

    def health(self) -> Health:
        """How they do now."""
        with self._lock:
            running = sum(place.runs for place in self._places)
            wanted, restarts = len(self._places), self._restarts
        said = ""
        if running < wanted:
            said = (
                "No worker is running: jobs wait. It is being started again."
                if not running
                else "A worker stopped and is being started again."
            )
        return Health(wanted, running, restarts, said)

    def processes(self) -> tuple[int, ...]:
        """Process identifiers of those that run."""
        with self._lock:
            return tuple(p.process.pid for p in self._places if p.process is not None and p.runs)

    def close(self, patience: float = 5.0) -> None:
        """Ask them to leave, and end those that do not within `patience` seconds."""
        self._ending.set()
        if self._watcher.is_alive():
            self._watcher.join()
        with self._lock:
            processes = [place.process for place in self._places if place.process is not None]
        for process in processes:
            process.terminate()
        until = time.monotonic() + patience
        for process in processes:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _watch(self) -> None:
        while not self._ending.wait(_LOOK):
            self._tend()

    def _tend(self) -> None:
        now = time.monotonic()
        with self._lock:
            for place in self._places:
                if place.runs:
                    if now - place.started > _STEADY:
                        place.failures = 0
                    continue
                if place.process is not None:
                    place.process = None
                    place.failures += 1
                    self._restarts += 1
                    place.not_before = now + _wait(place.failures)
                if now >= place.not_before:
                    place.process, place.started = self._begin(), now

    def _begin(self) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        if self._job.database:
            environment["WORKBENCH_DATABASE"] = self._job.database
        # A group of its own: Ctrl+C in the terminal reaches the server, which lets the workers finish.
        return subprocess.Popen(  # noqa: S603
            self._job.arguments(), stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )


def _wait(failures: int) -> float:
    """Seconds before the next start: at once after the first end, then 1, 2, 4, ..."""
    return 0.0 if failures <= 1 else min(2.0 ** (failures - 2), _LONGEST)
