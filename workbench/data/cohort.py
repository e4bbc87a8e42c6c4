"""A cohort: every image of one dataset, decoded once, grouped by patient.

`load_cohort` builds a catalogued set on first use and keeps it memory-mapped in the cache, so that an
episode is gathered with one index operation; `folder_cohort` reads a user's own labelled scans and leaves
nothing behind. What decides whether a cached cohort still holds is its key: card, recipe, and the names,
sizes and times of the files.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workbench.data import store
from workbench.data.card import Card
from workbench.data.catalogue import cache_folder, find_data
from workbench.data.labelled import labelled_items
from workbench.data.layouts import count_items, files_of, iter_items, variant
from workbench.errors import CohortError, ScanRefused
from workbench.imaging.modality import UNKNOWN_MODALITY, modality_group
from workbench.imaging.recipe import Recipe

_log = logging.getLogger(__name__)

FORMAT = 2
"""Raised whenever what is stored, or how images are decoded, changes."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """The decoded images of one dataset.

    Attributes:
        name: of the dataset.
        classes: class names, in label order.
        images: uint8 ``(n, size, size, channels)``, or ``(n, depth, size, size, channels)`` by a recipe that
            reads volumes (`Recipe.shape`); memory-mapped and read-only from `load_cohort`. Float32
            ``(n, d)`` once a frozen network has read them (`workbench.evaluation.memory.prepared`).
        labels: int64 ``(n,)``, indices into `classes`.
        patients: int64 ``(n,)``, patient codes 0, 1, ...; images with identical pixels share one, so that
            no image can be in both support and query.
        names: path of each image below the dataset's folder.
        splits: official split of each image, empty where there is none.
        origin: keys of the collections the set was made from.
        modality: DICOM modality code.
        refused: files that could not be read.
    """

    name: str
    classes: tuple[str, ...]
    images: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    patients: npt.NDArray[np.int64]
    names: tuple[str, ...]
    splits: tuple[str, ...]
    origin: tuple[str, ...]
    modality: str
    refused: tuple[ScanRefused, ...] = ()

    def __len__(self) -> int:
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
    files = files_of(card, folder, recipe.size)
    classes = {one.spelled: one.name for one in card.classes}
    key = _key(card, recipe, folder, files)
    place = (cache or cache_folder()) / "cohorts" / f"{card.name}-{key}"
    if not place.is_dir():
        _warn_if_enlarged(card, recipe, folder)
        items = iter_items(card, folder, recipe.size)
        total = count_items(card, folder, recipe.size)
        decoded = store.decode(items, recipe, card.modality, classes, card.name, total, progress)
        store.write(decoded, recipe, classes, place, card.name)
    return _cohort(card.name, store.read(place), card.origin, card.modality)


def folder_cohort(folder: Path, recipe: Recipe, progress: bool = False) -> Cohort:
    """A user's own labelled scans; nothing is kept on disk.

    Args:
        folder: a folder with one subfolder per class, or a CSV file with columns ``file`` (relative to it),
            ``label`` and, if known, ``patient``. Scans in one subfolder of a class folder are taken to be of
            one patient, as are scans whose files name the same one.
        recipe: how a scan becomes an image.
        progress: show a progress bar.

    Raises:
        CohortError: naming the file, class or column, if there is no class or no readable scan in one, or
            if scans of different modalities are mixed.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-cohort-") as work:
        place = Path(work) / "cohort"
        decoded = store.decode(
            labelled_items(folder, recipe=recipe),
            recipe,
            UNKNOWN_MODALITY,
            {},
            folder.name,
            progress=progress,
        )
        store.write(decoded, recipe, {}, place, folder.name)
        stored = store.read(place, mapped=False)
    found = _cohort(folder.stem, stored, (), _one_modality(stored, folder.name))
    _refuse_empty_classes(folder, found)
    return found


def only_split(cohort: Cohort, split: str) -> Cohort:
    """The images of one official split; everything else stays as it is.

    Raises:
        CohortError: the set has no such split.
    """
    rows = np.array([number for number, one in enumerate(cohort.splits) if one == split], dtype=np.int64)
    if len(rows) == 0:
        known = ", ".join(sorted(set(cohort.splits) - {""})) or "none"
        raise CohortError(f"{cohort.name}: there is no split {split!r}. Known: {known}.")
    return replace(
        cohort,
        images=cohort.images[rows],
        labels=cohort.labels[rows],
        patients=cohort.patients[rows],
        names=tuple(cohort.names[i] for i in rows),
        splits=tuple(cohort.splits[i] for i in rows),
    )


def _cohort(name: str, stored: store.Stored, origin: tuple[str, ...], modality: str) -> Cohort:
    return Cohort(
        name=name,
        classes=stored.classes,
        images=stored.images,
        labels=stored.labels,
        patients=stored.patients,
        names=stored.names,
        splits=stored.splits,
        origin=origin,
        modality=modality,
        refused=stored.refused,
    )


def _one_modality(stored: store.Stored, title: str) -> str:
    named = zip(stored.modalities, stored.names, strict=True)
    example = {code: name for code, name in named if code != UNKNOWN_MODALITY}
    if len({modality_group(code) for code in example}) > 1:
        found = ", ".join(f"{code} ({name})" for code, name in example.items())
        raise CohortError(f"{title}: scans of different modalities are mixed: {found}. Keep one modality.")
    return next(iter(example), UNKNOWN_MODALITY)


def _refuse_empty_classes(folder: Path, found: Cohort) -> None:
    if folder.is_dir():
        named = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        if empty := [name for name in named if name not in found.classes]:
            classes = ", ".join(map(repr, empty))
            raise CohortError(
                f"{folder.name}: no readable scan in class {classes}. Add scans or remove the folder."
            )


def _warn_if_enlarged(card: Card, recipe: Recipe, folder: Path) -> None:
    side = variant(card, folder, recipe.size)
    published = [file.pixels for file in card.source.files if file.pixels]
    if side is not None and side < recipe.size and any(p > side for p in published):
        _log.warning(
            "%s: %d-pixel images are enlarged to %d. `workbench data fetch %s --size %d` gets larger ones.",
            card.name, side, recipe.size, card.name, min(p for p in published if p > side),
        )  # fmt: skip


def _key(card: Card, recipe: Recipe, folder: Path, files: Iterable[Path]) -> str:
    """Names a cached cohort; anything in the card that changes no pixel, label or patient is left out."""
    read = card.model_dump_json(include={"classes", "layout", "patient", "task", "modality"})
    sha = hashlib.sha256(f"{FORMAT}\0{read}\0{json.dumps(recipe.to_json())}".encode())
    for path in files:
        stat = path.stat()
        sha.update(f"{path.relative_to(folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return sha.hexdigest()[:16]
