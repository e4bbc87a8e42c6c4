"""A cohort: every image of one dataset, decoded once into a memory-mapped array, grouped by patient.

`load_cohort` (a catalogued set) and `folder_cohort` (a user's own labelled scans) build it on first use and
keep it in the cache; episodes are then gathered with one index operation. What decides whether a cached
cohort still holds is its key: card, recipe, and the names, sizes and times of the files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from workbench.data.card import Card
from workbench.data.catalogue import cache_folder, find_data
from workbench.data.layouts import Item, files_of, iter_items
from workbench.errors import CohortError, ScanRefused
from workbench.imaging.recipe import Recipe

FORMAT = 1
"""Raised whenever what is stored, or how images are decoded, changes."""
_WORKERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, eq=False)
class Cohort:
    """The decoded images of one dataset.

    Attributes:
        name: of the dataset.
        classes: class names, in label order.
        images: uint8 ``(n, size, size, channels)``, memory-mapped, read-only.
        labels: int64 ``(n,)``, indices into `classes`.
        patients: int64 ``(n,)``, patient codes 0..; images with identical pixels share one, so that no
            image can be in both support and query.
        names: path of each image below the dataset's folder.
        splits: official split of each image, empty where there is none.
        origin: keys of the collections the set was made from.
        modality: DICOM modality code.
        refused: files that could not be read.
    """

    name: str
    classes: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    patients: npt.NDArray[np.int64]
    names: tuple[str, ...]
    splits: tuple[str, ...]
    origin: tuple[str, ...]
    modality: str
    refused: tuple[ScanRefused, ...] = ()

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)


def load_cohort(
    card: Card, recipe: Recipe, data: Path | None = None, cache: Path | None = None, progress: bool = True
) -> Cohort:
    """The cohort of a catalogued dataset, built on first use.

    Args:
        card: the dataset's card.
        recipe: how a scan becomes an image.
        data: data folder to look in first; see `catalogue.find_data`.
        cache: folder for decoded images; the user's cache by default.
        progress: show a progress bar while images are decoded.

    Raises:
        FetchError: if the files are not on this machine.
        CohortError: if they are not laid out as the card says, or none can be read.
    """
    folder = find_data(card, data)
    names = {c.spelled: c.name for c in card.classes}
    key = _key(card.model_dump_json(), recipe, folder, files_of(card, folder, recipe.size))
    place = (cache or cache_folder()) / "cohorts" / f"{card.name}-{key}"
    if not place.is_dir():
        items = iter_items(card, folder, recipe.size)
        build(items, recipe, card.modality, names, place, card.name, progress)
    return _load(place, card.name, card.origin, card.modality)


def build(
    items: Iterable[Item],
    recipe: Recipe,
    modality: str,
    names: dict[str, str],
    place: Path,
    title: str,
    progress: bool = True,
) -> None:
    """Decode items into a cohort's folder, which appears whole or not at all.

    Args:
        items: what to decode.
        recipe: how a scan becomes an image.
        modality: DICOM code given to scans whose files name none.
        names: class key to class name, in label order; empty to take the labels found, sorted.
        place: folder to make.
        title: for the progress bar and messages.
        progress: show the bar.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        kept: list[_Row] = []
        refused: list[ScanRefused] = []
        shape = (recipe.size, recipe.size, recipe.channels)
        with _RowWriter(work / "images.npy", shape) as writer:
            for item, outcome in _decode(items, recipe, modality, title, progress):
                if isinstance(outcome, ScanRefused):
                    refused.append(outcome)
                elif names and item.label not in names:
                    refused.append(_unknown_class(item, names))
                else:
                    image, digest = outcome
                    writer.append(image)
                    kept.append(_Row(item.label, item.patient, item.name, item.split, digest))
        if not kept:
            reason = f" First: {refused[0]}" if refused else ""
            raise CohortError(f"{title}: no image could be read.{reason}")
        spelled = list(names) or sorted({row.label for row in kept})
        index = {label: number for number, label in enumerate(spelled)}
        np.save(work / "labels.npy", np.array([index[row.label] for row in kept], dtype=np.int64))
        codes = patient_codes([row.patient for row in kept], [row.digest for row in kept])
        np.save(work / "patients.npy", codes)
        meta = {
            "classes": [names.get(label, label) for label in spelled],
            "names": [row.name for row in kept],
            "splits": [row.split for row in kept],
            "refused": [[r.source, r.reason, r.fix] for r in refused],
        }
        (work / "cohort.json").write_text(json.dumps(meta), encoding="utf-8")
        try:
            work.rename(place)
        except OSError:
            if not place.is_dir():  # another process finished first: its result is the same
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def patient_codes(patients: list[str | None], digests: list[bytes]) -> npt.NDArray[np.int64]:
    """Patient code of each image: equal where the key is equal or the pixels are, transitively.

    Args:
        patients: published key, None where there is none.
        digests: of the decoded pixels.
    """
    parent = list(range(len(patients)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[str | bytes, int] = {}
    for row, (patient, digest) in enumerate(zip(patients, digests, strict=True)):
        for key in (patient, digest):
            if key is not None:
                parent[root(row)] = root(first.setdefault(key, row))
    roots = [root(row) for row in range(len(parent))]
    codes = {value: code for code, value in enumerate(dict.fromkeys(roots))}
    return np.array([codes[value] for value in roots], dtype=np.int64)


class _Row(NamedTuple):
    """What is kept of an item: not its source, which may hold its pixels."""

    label: str
    patient: str | None
    name: str
    split: str
    digest: bytes


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
        self._file.write(np.ascontiguousarray(row).tobytes())
        self._rows += 1

    def _header(self) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (self._rows, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, header)


_Decoded = tuple[npt.NDArray[np.uint8], bytes]


def _decode(
    items: Iterable[Item], recipe: Recipe, modality: str, title: str, progress: bool
) -> Iterator[tuple[Item, _Decoded | ScanRefused]]:
    """Decoded items in their order, a few ahead of the consumer (Pillow and torch release the GIL)."""

    def one(item: Item) -> _Decoded | ScanRefused:
        try:
            scan = item.scan(modality)
        except ScanRefused as refusal:
            return refusal
        digest = hashlib.blake2b(repr(scan.pixels.shape).encode(), digest_size=16)
        digest.update(scan.pixels.tobytes())
        return recipe.apply(scan), digest.digest()

    waiting: deque[tuple[Item, Future[_Decoded | ScanRefused]]] = deque()
    bar = tqdm(desc=f"decoding {title}", unit="image", disable=not progress, leave=False)
    with bar, ThreadPoolExecutor(_WORKERS) as pool:
        for item in items:
            waiting.append((item, pool.submit(one, item)))
            if len(waiting) >= 16 * _WORKERS:
                first, future = waiting.popleft()
                yield first, future.result()
                bar.update()
        for first, future in waiting:
            yield first, future.result()
            bar.update()


def _unknown_class(item: Item, names: dict[str, str]) -> ScanRefused:
    return ScanRefused(
        item.name,
        f"its class '{item.label}' is not one of the card's ({', '.join(names)}).",
        "Correct the file or the card.",
    )


def _key(described: str, recipe: Recipe, folder: Path, files: Iterable[Path]) -> str:
    sha = hashlib.sha256(f"{FORMAT}\0{described}\0{json.dumps(recipe.to_json())}".encode())
    for path in files:
        stat = path.stat()
        sha.update(f"{path.relative_to(folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return sha.hexdigest()[:16]


def _load(place: Path, name: str, origin: tuple[str, ...], modality: str) -> Cohort:
    meta = json.loads((place / "cohort.json").read_text(encoding="utf-8"))
    return Cohort(
        name=name,
        classes=tuple(meta["classes"]),
        images=np.load(place / "images.npy", mmap_mode="r", allow_pickle=False),
        labels=np.load(place / "labels.npy", allow_pickle=False),
        patients=np.load(place / "patients.npy", allow_pickle=False),
        names=tuple(meta["names"]),
        splits=tuple(meta["splits"]),
        origin=origin,
        modality=modality,
        refused=tuple(ScanRefused(*values) for values in meta["refused"]),
    )
