"""A workbench of its own, started as `workbench ui` starts it, that may be killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

_PATIENCE = 120.0


class Site:
    """`workbench ui` with its workers.

    Args:
        folder: data directory.
        log: where its output goes.
        workers: number of worker processes.
        login: whether people sign in.
        weights: a shipped name, or a learner file.
    """

    def __init__(
        self, folder: Path, log: Path, workers: int = 2, login: bool = False, weights: str = "general"
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._command = [
            sys.executable, "-m", "workbench.cli", "ui", "--port", str(self.port), "--data-dir", str(folder),
            "--workers", str(workers), "--weights", weights, *(["--login"] if login else []),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: it does not.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"the server did not answer; see {self._log.name}")

    def kill(self, only_server: bool = False) -> None:
        """SIGKILL: server and workers at once, or the server alone (its workers notice and go)."""
        if self._process is None:
            return
        workers = [] if only_server else self._workers()
        self._process.kill()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def kill_a_worker(self) -> bool:
        """SIGKILL one worker process; False where none was found."""
        for pid in self._workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def stop(self) -> None:
        """End it as a person would, and make sure."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=20)
        self.kill()

    def memory(self) -> int:
        """Resident bytes of server and workers together."""
        if self._process is None:
            return 0
        return sum(_resident(pid) for pid in (self._process.pid, *self._workers()))

    def _workers(self) -> list[int]:
        """Each is in a session of its own, so that they are found by their parent."""
        server = self._process.pid if self._process is not None else 0
        return [pid for pid in _processes() if _parent_of(pid) == server and _is_worker(pid)]


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def _is_worker(pid: int) -> bool:
    try:
        return b"workbench.service.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _resident(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
