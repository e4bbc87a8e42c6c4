"""What a worker process does: one call after another, each within its own memory and processor time.

Started by `workers` as ``python -c "...worker.main(...)"``, never by hand. It imports the decoders and
nothing of the models, has no keyboard and no screen, and ends when its parent does.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from workbench.errors import ScanRefused
from workbench.imaging import wire
from workbench.imaging.dicomfile import refusing
from workbench.imaging.limits import MIB

try:
    import resource
except ImportError:  # Windows: the time limit alone holds there
    resource = None  # type: ignore[assignment]

RETIRE_BYTES = 384 * MIB
"""A worker whose resident memory stays above this after an answer makes room for a fresh one."""
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True, slots=True)
class Order:
    """A call as it is sent to a worker.

    Attributes:
        function: of a module, so that it is found by name.
        arguments: picklable.
        source: name of the file, for the refusal.
        memory: bytes that may be taken on top of what the worker has.
        seconds: of processor time.
    """

    function: Callable[..., object]
    arguments: tuple[object, ...]
    source: str
    memory: int
    seconds: float


def main(descriptor: int) -> None:
    """Answer orders until the parent closes the socket."""
    import_module("workbench.imaging.decoding")  # now, so that no file's time pays for it
    _settle()
    channel = socket.socket(fileno=descriptor)
    wire.send(channel, "ready")
    while True:
        try:
            order: Order = wire.receive(channel, trusted=True)
        except (EOFError, OSError):
            return
        _within(order)
        answer = _answer(order)
        try:
            wire.send(channel, answer)
        except OSError:
            return
        except Exception as error:
            wire.send(channel, _refusal(order.source, error))
        del answer, order
        _without()
        if _memory(1) > RETIRE_BYTES:
            return


def _answer(order: Order) -> object:
    try:
        with refusing(order.source):
            return order.function(*order.arguments)
    except ScanRefused as refusal:
        return refusal


def _refusal(source: str, error: Exception) -> ScanRefused:
    try:
        with refusing(source):
            raise error
    except ScanRefused as refusal:
        return refusal


def _settle() -> None:
    """The parent alone answers the keyboard; the system takes a worker first where memory is short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _within(order: Order) -> None:
    """Set the limits of one call. Past the processor time the system ends this process, in C code too."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, order.seconds)
    # Address space above what is mapped now: libraries and what they keep do not count against a file.
    if resource is not None and (mapped := _memory(0)):
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        room = mapped + order.memory
        room = room if hard == resource.RLIM_INFINITY else min(room, hard)
        resource.setrlimit(resource.RLIMIT_AS, (room, hard))


def _without() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, 0)
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _memory(column: int) -> int:
    """Bytes mapped (0) or resident (1); 0 where the system does not say (macOS)."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[column]) * _PAGE
    except OSError:
        return 0
