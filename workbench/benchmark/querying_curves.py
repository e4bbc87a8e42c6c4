"""Label-efficiency curves measured so far: one small file for each strategy, condition and batch size.

Each carries digests of what decided it: a killed run goes on where it stopped, and a changed strategy
computes its own curves again and nobody else's.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.benchmark.results import Decided


@dataclass(frozen=True, slots=True)
class CurveKey:
    """Names a file of curves.

    Attributes:
        strategy: its name.
        condition: name of the dataset card.
        batch: labels asked for at a time.
    """

    strategy: str
    condition: str
    batch: int

    @property
    def file(self) -> str:
        """Path below the folder."""
        return f"{self.strategy}/{self.condition}-batch{self.batch}.json"


@dataclass(frozen=True, slots=True)
class Curves:
    """One strategy on the tasks of one condition.

    Attributes:
        key: see there.
        way: number of classes.
        decided: by what.
        balanced_accuracy: for each task, at the start and after every batch; shorter where a pool ran out.
        milliseconds: for each task, processor time of the strategy per scan suggested (describing the pool
            included, adapting not).
    """

    key: CurveKey
    way: int
    decided: Decided
    balanced_accuracy: tuple[tuple[float, ...], ...] = ()
    milliseconds: tuple[float, ...] = ()


class CurveStore:
    """Curves in a folder.

    Args:
        folder: made when the first file is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: CurveKey, decided: Decided | None = None) -> Curves | None:
        """The curves, or None where there are none, they are damaged, or something else decided them.

        Args:
            key: of the file.
            decided: what must have decided it; None takes whatever is there.
        """
        try:
            values = json.loads((self.folder / key.file).read_text(encoding="utf-8"))
            found = Curves(
                CurveKey(**values["key"]),
                int(values["way"]),
                Decided(**values["decided"]),
                tuple(tuple(float(v) for v in curve) for curve in values["balanced_accuracy"]),
                tuple(float(v) for v in values["milliseconds"]),
            )
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if found.key != key or (decided is not None and found.decided != decided):
            return None
        return found

    def write(self, curves: Curves) -> None:
        """Keep curves; their file appears whole or not at all."""
        path = self.folder / curves.key.file
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(asdict(curves)), encoding="utf-8")
        draft.replace(path)
