"""Decode items into the arrays of a cohort, and read those arrays back.

The stored form is a folder: ``images.npy`` (uint8, written row by row), ``labels.npy``, ``patients.npy``
and ``cohort.json``. It is built under a temporary name and renamed, so it is there whole or not at all.
Called by `cohort` and `check`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from workbench.data.items import Item
from workbench.errors import CohortError, ScanRefused
from workbench.imaging.recipe import Recipe

_WORKERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Row:
    """What is kept of an item once it is decoded: everything but its pixels.

    Attributes:
        label: class key.
        name, split: as in `Item`.
        digest: of the decoded pixels; equal for exact duplicates.
        patients: every key known for its patient (from the card's rule, from the file itself); may be empty.
        modality: DICOM code.
    """

    label: str
    name: str
    split: str
    digest: bytes
    patients: tuple[str, ...]
    modality: str


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """One decoded item.

    Attributes:
        row: what is known of it.
        image: uint8 of the recipe's `shape`.
    """

    row: Row
    image: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """The arrays of a cohort; see `workbench.data.cohort.Cohort`."""

    classes: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    patients: npt.NDArray[np.int64]
    names: tuple[str, ...]
    splits: tuple[str, ...]
    modalities: tuple[str, ...]
    refused: tuple[ScanRefused, ...]


def decode(
    items: Iterable[Item],
    recipe: Recipe,
    modality: str,
    classes: Mapping[str, str],
    title: str,
    total: int | None = None,
    progress: bool = True,
) -> Iterator[Decoded | ScanRefused]:
    """Decode items in their order, a few ahead of the consumer (Pillow and torch release the GIL).

    Args:
        items: what to decode.
        recipe: how a scan becomes an image.
        modality: DICOM code for scans whose files name none.
        classes: class key to name; an item of another class is refused. Empty: any class will do.
        title: for the progress bar.
        total: number of items, for the progress bar.
        progress: show it.
    """

    def one(item: Item) -> Decoded | ScanRefused:
        if classes and item.label not in classes:
            known = ", ".join(classes)
            return ScanRefused(
                item.name, f"its class '{item.label}' is not one of {known}.", "Correct the file or the card."
            )
        try:
            scan = item.scan(modality)
        except ScanRefused as refusal:
            return refusal
        digest = hashlib.blake2b(repr(scan.pixels.shape).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(scan.pixels).data)
        keys = [f"given\0{item.patient}"] if item.patient is not None else []
        keys += [f"file\0{scan.patient}"] if scan.patient is not None else []
        row = Row(item.label, item.name, item.split, digest.digest(), tuple(keys), scan.modality)
        return Decoded(row, recipe.apply(scan))

    waiting: deque[Future[Decoded | ScanRefused]] = deque()
    bar = tqdm(desc=f"reading {title}", unit="image", total=total, disable=not progress, leave=False)
    with bar, ThreadPoolExecutor(_WORKERS) as pool:
        for item in items:
            waiting.append(pool.submit(one, item))
            if len(waiting) >= 8 * _WORKERS:
                yield waiting.popleft().result()
                bar.update()
        while waiting:
            yield waiting.popleft().result()
            bar.update()


def write(outcomes: Iterable[Decoded | ScanRefused], recipe: Recipe, classes: Mapping[str, str], place: Path,
          title: str) -> None:  # fmt: skip
    """Write decoded items into a cohort's folder, which appears whole or not at all.

    Args:
        outcomes: from `decode`.
        recipe: that they were decoded with.
        classes: class key to name, in label order; empty to take the labels found, sorted.
        place: folder to make.
        title: for messages.

    Raises:
        CohortError: if no item could be read.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        rows: list[Row] = []
        refused: list[ScanRefused] = []
        with _RowWriter(work / "images.npy", recipe.shape) as writer:
            for outcome in outcomes:
                if isinstance(outcome, ScanRefused):
                    refused.append(outcome)
                else:
                    writer.append(outcome.image)
                    rows.append(outcome.row)
        if not rows:
            reason = f" The first: {refused[0]}" if refused else ""
            raise CohortError(f"{title}: no image could be read.{reason}")
        spelled = list(classes) or sorted({row.label for row in rows})
        index = {label: number for number, label in enumerate(spelled)}
        np.save(work / "labels.npy", np.array([index[row.label] for row in rows], dtype=np.int64))
        # The digest is a key too: an exact duplicate can then never be in both support and query.
        np.save(work / "patients.npy", linked([(*row.patients, row.digest) for row in rows]))
        meta = {
            "classes": [classes.get(label, label) for label in spelled],
            "names": [row.name for row in rows],
            "splits": [row.split for row in rows],
            "modalities": [row.modality for row in rows],
            "refused": [[r.source, r.reason, r.fix] for r in refused],
        }
        (work / "cohort.json").write_text(json.dumps(meta), encoding="utf-8")
        try:
            work.rename(place)
        except OSError:
            if not place.is_dir():  # else another process finished first, with the same result
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def read(place: Path, mapped: bool = True) -> Stored:
    """Read what `write` wrote; images are memory-mapped unless `mapped` is false."""
    meta = json.loads((place / "cohort.json").read_text(encoding="utf-8"))
    return Stored(
        classes=tuple(meta["classes"]),
        images=np.load(place / "images.npy", mmap_mode="r" if mapped else None, allow_pickle=False),
        labels=np.load(place / "labels.npy", allow_pickle=False),
        patients=np.load(place / "patients.npy", allow_pickle=False),
        names=tuple(meta["names"]),
        splits=tuple(meta["splits"]),
        modalities=tuple(meta["modalities"]),
        refused=tuple(ScanRefused(*values) for values in meta["refused"]),
    )


def linked(keys: Sequence[Iterable[Hashable]]) -> npt.NDArray[np.int64]:
    """Code 0, 1, ... of each row, by first appearance; rows that share a key, transitively, have one code."""
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[Hashable, int] = {}
    for row, known in enumerate(keys):
        for key in known:
            parent[root(row)] = root(first.setdefault(key, row))
    roots = [root(row) for row in range(len(parent))]
    codes = {value: code for code, value in enumerate(dict.fromkeys(roots))}
    return np.array([codes[value] for value in roots], dtype=np.int64)


class _RowWriter:
    """Appends rows to an .npy file whose number of rows is known only at the end.

    NumPy pads the header so that the first dimension can grow in place
    (`numpy.lib.format.GROWTH_AXIS_MAX_DIGITS`).
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._file = path.open("wb")
        self._shape = shape
        self._rows = 0
        self._header()

    def __enter__(self) -> _RowWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.seek(0)
        self._header()
        self._file.close()

    def append(self, row: npt.NDArray[np.uint8]) -> None:
        if row.shape != self._shape or row.dtype != np.uint8:
            raise ValueError(f"a row must be uint8 {self._shape}, not {row.dtype} {row.shape}")
        self._file.write(np.ascontiguousarray(row).data)
        self._rows += 1

    def _header(self) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (self._rows, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
