"""Decoding in processes of their own, so that a hostile or damaged file can end none but its own.

`run` and `run_all` hand a module-level function and picklable arguments to a worker (`worker`), which has a
limit of memory and of time for each call. A worker that crashes, hangs or takes too much is replaced, and
its file becomes a `ScanRefused`; the other files go on. Workers start when they are first needed (about a
third of a second), are reused, serve all threads, and end with this process. Every file is read in one, the
smallest picture too: a warm worker answers within a millisecond, and which files are harmless is not known.

``WORKBENCH_WORKERS`` names their number; 0 decodes in this process, which is for debugging trusted files
only: nothing then bounds memory or time.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar, cast

from workbench.errors import ScanRefused
from workbench.imaging import wire
from workbench.imaging.dicomfile import refusing
from workbench.imaging.limits import LIMITS, MIB, Limits
from workbench.imaging.worker import Order

T = TypeVar("T")
P = ParamSpec("P")
_START = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from workbench.imaging.worker import main; main(int(sys.argv[1]))"
)
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc keeps the memory of one slice for the next instead of giving it back and asking again.
    "MALLOC_MMAP_THRESHOLD_": str(32 * MIB),
    "MALLOC_TRIM_THRESHOLD_": str(128 * MIB),
}
_START_SECONDS = 60.0
_MOST = 4


class Stopped(ScanRefused):
    """A file whose worker crashed, hung or took too much memory."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """Something to be done in a worker.

    Attributes:
        function: module-level; raises nothing but `ScanRefused`, or what `dicomfile.refusing` names.
        arguments: picklable.
        source: the file's name, for a refusal.
        size: of the file in bytes; memory and time are granted by it.
    """

    function: Callable[..., T]
    arguments: tuple[object, ...]
    source: str
    size: int


def call(function: Callable[P, T], source: str, size: int, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
    """A `Call` whose arguments the type checker has compared with the function."""
    assert not kwargs, "arguments of a call are given by position"
    return Call(function, args, source, size)


def run(wanted: Call[T]) -> T:
    """Do one thing in a worker.

    Raises:
        ScanRefused: as the function says, or `Stopped`.
    """
    for outcome in run_all([wanted]):
        if isinstance(outcome, ScanRefused):
            raise outcome
        return outcome
    raise AssertionError("a call has one outcome")


def run_all(calls: Iterable[Call[T]]) -> Iterator[T | ScanRefused]:
    """Do many things in all workers; outcomes come in the order of the calls.

    Only a few are under way at a time, so that callers in other threads get their turn and results do not
    pile up.
    """
    count = worker_count()
    if count == 0:
        yield from map(_here, calls)
        return
    pool = _shared(count)
    waiting: deque[Future[T | ScanRefused]] = deque()
    try:
        for wanted in calls:
            waiting.append(pool.submit(wanted))
            if len(waiting) > count + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def worker_count() -> int:
    """How many workers there are: ``WORKBENCH_WORKERS``, or one for each processor up to four."""
    named = os.environ.get("WORKBENCH_WORKERS", "")
    if named.isdecimal():
        return int(named)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST, allowed)


def close_workers() -> None:
    """End all workers of this process; the next call starts fresh ones."""
    global _pool
    with _lock:
        pool, _pool = _pool, None
    if pool is not None:
        pool.close()


class Pool:
    """Some workers, each served by a thread of this process.

    Args:
        count: of workers.
        limits: by which memory and time are granted.
    """

    def __init__(self, count: int, limits: Limits = LIMITS) -> None:
        self.count = count
        self._limits = limits
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decoding")
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, wanted: Call[T]) -> Future[T | ScanRefused]:
        """Queue a call; the future holds the result or a refusal."""
        return self._threads.submit(self._serve, wanted)

    def close(self) -> None:
        """End the workers that are idle now, and the others when they have answered."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.end()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def forget(self) -> None:
        """After a fork: the workers belong to the parent, and the threads are not here."""
        for worker in self._idle:
            worker.let_go()
        self._idle = []

    def processes(self) -> list[int]:
        """Process ids of the workers that are idle now."""
        with self._lock:
            return [worker.pid for worker in self._idle]

    def _serve(self, wanted: Call[T]) -> T | ScanRefused:
        try:
            # A worker may have retired or been ended by the system since its last answer.
            for _ in range(3):
                worker = self._take()
                try:
                    answer = worker.ask(wanted, self._limits)
                except _Gone:
                    continue
                self._give_back(worker)
                return cast("T | ScanRefused", answer)
        except ScanRefused as refusal:
            return refusal
        return _no_worker(wanted.source)

    def _take(self) -> _Worker:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Worker()

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.end()


class _Gone(Exception):
    """The worker had ended before it took the call, or could not be started."""


class _Worker:
    """A process and the socket to it."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        debugging = bool(os.environ.get("WORKBENCH_WORKERS_DEBUG"))
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            try:
                # A new program rather than a fork: this process has threads, and may hold gigabytes.
                self._process = subprocess.Popen(  # noqa: S603 - this interpreter and our own module
                    [sys.executable, "-P", "-c", _START, str(theirs.fileno()), *sys.path],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    # Codecs print what they think of a file, its path included.
                    stderr=None if debugging else subprocess.DEVNULL,
                    env=os.environ | _ENVIRONMENT,
                )
            except OSError as error:
                self._channel.close()
                raise _Gone from error
        self.pid = self._process.pid
        try:
            wire.receive(self._channel, time.monotonic() + _START_SECONDS)
        except (OSError, EOFError, wire.BrokenMessage) as error:
            self.end()
            raise _Gone from error

    def ask(self, wanted: Call[T], limits: Limits) -> object:
        """The function's result, or its refusal.

        Raises:
            Stopped: the call ended the worker, which is gone then.
            _Gone: the worker had ended before.
        """
        memory, seconds = limits.memory(wanted.size), limits.seconds(wanted.size)
        order = Order(wanted.function, wanted.arguments, wanted.source, memory, seconds)
        try:
            self._channel.settimeout(None)
            wire.send(self._channel, order)
        except OSError as error:
            self.end()
            raise _Gone from error
        # Processor time is limited in the worker; by the clock a busy machine gets patience.
        deadline = time.monotonic() + limits.patience * seconds
        try:
            return wire.receive(self._channel, deadline)
        except TimeoutError as error:
            self.end()
            raise _too_slow(wanted.source, seconds) from error
        except wire.BrokenMessage as error:
            self.end()
            raise _crashed(wanted.source) from error
        except (OSError, EOFError) as error:
            status = self.end()
            if status == 0:
                raise _Gone from error
            raise _died(wanted.source, status, seconds, memory) from error

    def end(self) -> int:
        """End the process if it has not ended, and say how it did."""
        self._channel.close()
        with suppress(subprocess.TimeoutExpired):
            # Having lost its socket an idle worker leaves by itself, and one that was ended is gone already.
            return self._process.wait(0.2)
        self._process.kill()
        return self._process.wait()

    def let_go(self) -> None:
        """Close this process's copy of the socket."""
        self._channel.close()


def _here(wanted: Call[T]) -> T | ScanRefused:
    try:
        with refusing(wanted.source):
            return wanted.function(*wanted.arguments)
    except ScanRefused as refusal:
        return refusal


def _too_slow(source: str, seconds: float) -> Stopped:
    return Stopped(
        source,
        f"Reading it was stopped after {seconds:.0f} s, longer than a file of its size may take.",
        "Export it uncompressed, or a smaller part of it.",
    )


def _died(source: str, status: int, seconds: float, memory: int) -> Stopped:
    if status == -getattr(signal, "SIGPROF", 0):
        return _too_slow(source, seconds)
    if status == -getattr(signal, "SIGKILL", 0):
        return Stopped(
            source,
            "Reading it was stopped by the system; it asked for too much memory "
            f"({memory / MIB:,.0f} MiB are allowed).",
            "Export a smaller region or fewer frames.",
        )
    return _crashed(source)


def _crashed(source: str) -> Stopped:
    return Stopped(
        source,
        "The decoder crashed on it: the file is damaged or hostile.",
        "Export it uncompressed, or again from its source.",
    )


def _no_worker(source: str) -> ScanRefused:
    return ScanRefused(
        source,
        "The process that reads scans could not be started.",
        "Free some memory and try again; WORKBENCH_WORKERS_DEBUG=1 shows why.",
    )


_pool: Pool | None = None
_lock = threading.Lock()


def _shared(count: int) -> Pool:
    global _pool
    with _lock:
        if _pool is None or _pool.count != count:
            if _pool is not None:
                _pool.close()
            _pool = Pool(count)
        return _pool


def _after_fork() -> None:
    """A forked child has neither the threads nor a right to the parent's workers."""
    global _pool, _lock
    _lock = threading.Lock()
    if _pool is not None:
        _pool.forget()
        _pool = None


atexit.register(close_workers)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
