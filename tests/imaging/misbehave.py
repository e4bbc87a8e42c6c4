"""What a hostile file may make a decoder do; run in workers by `test_workers`."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workbench.errors import ScanRefused
from workbench.imaging.decoding import open_decoded
from workbench.imaging.options import ReadOptions


def echo(value: object) -> object:
    return value


def array(side: int) -> npt.NDArray[np.float32]:
    return np.full((side, side), 7, np.float32)


def crash() -> None:
    ctypes.string_at(0)


def crash_on_second(path: Path, source: str, options: ReadOptions) -> object:
    if source == "IM0001":
        crash()
    return open_decoded(path, source, options)


def abort() -> None:
    os.abort()


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(3600)


def take(mebibytes: int) -> int:
    return len(bytearray(mebibytes * 2**20))


def nest(depth: int) -> int:
    return nest(depth + 1)


def refuse(source: str) -> None:
    raise ScanRefused(source, "It is bad.", "Mend it.")


def fail(path: str) -> None:
    raise ValueError(f"{path} of Doe^Jane is bad")


class Unknown:
    """Not one of the classes that an answer may hold."""


def unknown() -> Unknown:
    return Unknown()


def command() -> object:
    """An object whose unpickling runs a command."""
    return _Command()


class _Command:
    def __reduce__(self) -> object:
        return (os.system, ("touch /tmp/workbench-was-here",))


def modules() -> list[str]:
    import sys

    return sorted(sys.modules)


def process() -> int:
    return os.getpid()


def environment() -> tuple[str, str]:
    return os.environ["OMP_NUM_THREADS"], Path("/proc/self/oom_score_adj").read_text().strip()


def read_counter(path: Path) -> int:
    """Bytes that this process has asked the system for so far."""
    fields = Path("/proc/self/io").read_text().split()
    return int(fields[fields.index("rchar:") + 1])
