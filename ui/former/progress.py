"""Run something slow in a thread and tell how far it is, for handlers that yield to the page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
Report = Callable[[int, int], None]
_TICK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something is: `done` of `total` (0 where the total is not known yet)."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What came of it."""

    value: T


class _Board:
    """Where the thread writes and the page reads."""

    def __init__(self) -> None:
        self.progress = Progress(0, 0)
        self.finished = threading.Event()

    def report(self, done: int, total: int) -> None:
        self.progress = Progress(done, total)


def watch(task: Callable[[Report], T]) -> Iterator[Progress | Done[T]]:
    """Progress a few times a second, and at last what the task returned.

    Raises:
        Exception: whatever the task raised, unchanged.
    """
    board = _Board()
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(task(board.report))
        except BaseException as error:  # raised again below, in the caller's thread
            errors.append(error)
        finally:
            board.finished.set()

    threading.Thread(target=work, daemon=True).start()
    yield board.progress
    while not board.finished.wait(_TICK_SECONDS):
        yield board.progress
    if errors:
        raise errors[0]
    yield Done(results[0])
