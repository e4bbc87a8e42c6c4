"""What a benchmark has measured so far, one small file for each cell of its table.

A cell is one row (a method with its settings) on one condition at one number of shots, with the scores of
every episode, so that differences can be paired later. It carries digests of what decided it: a killed run
goes on where it stopped, a changed method computes its own cells again and nobody else's.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workbench.backbones.registry import factories
from workbench.learners import learner_class

SHARED_VERSION = 1
"""Raised by hand whenever code that every cell rests on gives other figures: episodes, backbones, recipe,
scores, `workbench.learners.base`. The source of the methods themselves is minded by `method_source`."""
_SHARED = frozenset({"appraisal", "base", "files", "options", "reading", "registry", "spec"})
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Key:
    """Names a cell.

    Attributes:
        row: label of the method in the plan.
        condition: name of the dataset card.
        shot: support patients per class.
        way: classes per episode; 0 for all that the condition has.
    """

    row: str
    condition: str
    shot: int
    way: int = 0

    @property
    def row_slug(self) -> str:
        """The label as a file name; the digest keeps labels apart that differ in signs only (MAML++)."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.row.lower()).strip("-")
        return f"{plain}-{digest(self.row)[:6]}"

    @property
    def file(self) -> str:
        """Path below the store's folder."""
        way = f"-{self.way}way" if self.way else ""
        return f"{self.row_slug}/{self.condition}{way}-{self.shot}shot.json"


@dataclass(frozen=True, slots=True)
class Decided:
    """Digests of everything that decides a cell's scores but the number of episodes.

    Attributes:
        plan: of the part of the plan that concerns it.
        code: of the method's source; see `method_source`.
        inputs: of the weights and images.
    """

    plan: str
    code: str
    inputs: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One row on one condition at one number of shots.

    Attributes:
        key: see `Key`.
        way: classes of each episode.
        inner_steps: gradient steps of each adaptation, 0 where there are none.
        decided: by what.
        accuracy, balanced_accuracy, auroc: one for each episode, in their order; 0 to 1, to six decimals.
            AUROC is NaN where the query of an episode lacks a class.
        milliseconds: processor time of each adaptation.
    """

    key: Key
    way: int
    inner_steps: int
    decided: Decided
    accuracy: tuple[float, ...] = ()
    balanced_accuracy: tuple[float, ...] = ()
    auroc: tuple[float, ...] = ()
    milliseconds: tuple[float, ...] = ()

    @property
    def episodes(self) -> int:
        """How many have been scored."""
        return len(self.accuracy)

    @property
    def adapt_milliseconds(self) -> float:
        """Median processor time of an adaptation."""
        return float(np.median(self.milliseconds)) if self.milliseconds else float("nan")

    def first(self, episodes: int) -> Cell:
        """The cell as it was after so many episodes."""
        return Cell(
            self.key,
            self.way,
            self.inner_steps,
            self.decided,
            self.accuracy[:episodes],
            self.balanced_accuracy[:episodes],
            self.auroc[:episodes],
            self.milliseconds[:episodes],
        )


class Results:
    """Cells in a folder.

    Args:
        folder: made when the first cell is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: Key, decided: Decided | None = None) -> Cell | None:
        """The cell, or None where there is none, it is damaged, or something else decided it.

        Args:
            key: of the cell.
            decided: what must have decided it; None takes whatever is there.
        """
        cell = _read(self.folder / key.file)
        if cell is None or cell.key != key or (decided is not None and cell.decided != decided):
            return None
        return cell

    def write(self, cell: Cell) -> None:
        """Keep a cell; its file appears whole or not at all."""
        path = self.folder / cell.key.file
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(asdict(cell)), encoding="utf-8")
        draft.replace(path)

    def __iter__(self) -> Iterator[Cell]:
        """Every readable cell, in the order of the file names."""
        for path in sorted(self.folder.glob("*/*.json")):
            if (cell := _read(path)) is not None:
                yield cell


def _read(path: Path) -> Cell | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Cell(
            key=Key(**values["key"]),
            way=int(values["way"]),
            inner_steps=int(values["inner_steps"]),
            decided=Decided(**values["decided"]),
            accuracy=_numbers(values["accuracy"]),
            balanced_accuracy=_numbers(values["balanced_accuracy"]),
            auroc=_numbers(values["auroc"]),
            milliseconds=_numbers(values["milliseconds"]),
        )
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _numbers(values: list[float]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def digest(value: object) -> str:
    """Digest of plain values (anything JSON can hold), whatever the order of their keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@cache
def method_source(method: str) -> str:
    """Digest of a method's program (`modules_of`) and of `SHARED_VERSION`.

    Comments and docstrings are left out, so that a better word does not cost an hour.

    Raises:
        PlanError: for an unknown method.
    """
    return digest([SHARED_VERSION, [(name, program(_tree(name))) for name in modules_of(method)]])


def modules_of(method: str) -> tuple[str, ...]:
    """Modules of `workbench.learners` that a method is made of: its own, and those of methods it imports."""
    return _together(learner_class(method).__module__)


@cache
def backbone_source(name: str) -> str:
    """Digest of the program of a backbone; see `method_source`."""
    if name not in factories:
        return ""  # building it says what is wrong
    return digest([(name, program(_tree(name))) for name in _together(factories[name].__module__)])


def _together(first: str) -> tuple[str, ...]:
    """A module and those of its package that it imports, and so on, but for what everybody imports."""
    package = first.rpartition(".")[0]
    waiting, found = [first], set[str]()
    while waiting:
        name = waiting.pop()
        if name in found or name.rpartition(".")[2] in _SHARED:
            continue
        found.add(name)
        nodes = ast.walk(_tree(name))
        imported = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        waiting += [module for module in imported if module.startswith(f"{package}.")]
    return tuple(sorted(found))


def _tree(module: str) -> ast.Module:
    return ast.parse(Path(str(import_module(module).__file__)).read_text(encoding="utf-8"))


def program(tree: ast.Module) -> str:
    """A module's syntax tree without its docstrings."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
