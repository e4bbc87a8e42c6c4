"""Look a dataset over before believing a number computed on it.

`check` decodes every image once and reports counts, unreadable files, exact duplicates (equal pixels),
near-duplicates (equal difference hash) and patients on both sides of an official split.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workbench.data.card import Card
from workbench.data.catalogue import find_data
from workbench.data.layouts import count_items, iter_items
from workbench.data.store import Row, decode
from workbench.errors import ScanRefused
from workbench.imaging.recipe import Recipe

SMALLEST = 10
"""Fewest images of a class for five-shot episodes with five queries."""

_RECIPE = Recipe(size=64, channels=1)


@dataclass(frozen=True, slots=True)
class Group:
    """Images that are the same, or nearly.

    Attributes:
        names: of the images.
        classes: their classes, without repetition.
        splits: their official splits, without repetition; empty where there are none.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[str, ...]

    @property
    def surplus(self) -> int:
        """Images beyond the first."""
        return len(self.names) - 1


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Images of one class.

    Attributes:
        name: class.
        images: readable images.
        patients: patients; where no key is known, each distinct image counts as one.
        splits: (split, images) pairs.
    """

    name: str
    images: int
    patients: int
    splits: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found.

    Attributes:
        name: of the dataset.
        counts: one per class, in label order.
        duplicates: groups of images with equal pixels.
        near: groups of images that look the same at 9 x 8 pixels and are not exact duplicates.
        refused: files that cannot be read, or whose class is not on the card.
        straddling: patients in more than one official split.
    """

    name: str
    counts: tuple[ClassCount, ...]
    duplicates: tuple[Group, ...]
    near: tuple[Group, ...]
    refused: tuple[ScanRefused, ...]
    straddling: tuple[str, ...]

    @property
    def images(self) -> int:
        """Readable images."""
        return sum(count.images for count in self.counts)

    @property
    def copies(self) -> int:
        """Images that repeat an earlier one exactly."""
        return sum(group.surplus for group in self.duplicates)

    @property
    def across_classes(self) -> tuple[Group, ...]:
        """Exact duplicates filed under more than one class: at least one label is wrong."""
        return tuple(group for group in self.duplicates if len(group.classes) > 1)

    @property
    def across_splits(self) -> tuple[Group, ...]:
        """Exact duplicates in more than one official split: a leak."""
        return tuple(group for group in self.duplicates if len(group.splits) > 1)

    @property
    def small(self) -> tuple[ClassCount, ...]:
        """Classes with fewer than `SMALLEST` images."""
        return tuple(count for count in self.counts if count.images < SMALLEST)

    @property
    def serious(self) -> tuple[str, ...]:
        """What would make a result wrong, one sentence each; empty if nothing would."""
        found = [
            (len(self.across_classes), "groups of identical images are filed under more than one class"),
            (len(self.across_splits), "groups of identical images are in more than one official split"),
            (len(self.straddling), "patients are in more than one official split"),
            (len(self.refused), "files cannot be used"),
            (len(self.small), f"classes have fewer than {SMALLEST} images"),
        ]
        return tuple(f"{number} {what}." for number, what in found if number)


def check(card: Card, data: Path | None = None, progress: bool = True) -> CheckReport:
    """Check the files of a dataset.

    Args:
        card: the dataset's card.
        data: data folder to look in first; see `catalogue.find_data`.
        progress: show a progress bar.

    Raises:
        FetchError: if the files are not on this machine.
        CohortError: if they are not laid out as the card says.
    """
    folder = find_data(card, data)
    named = {one.spelled: one.name for one in card.classes}
    rows: list[Row] = []
    alike: list[bytes] = []
    refused: list[ScanRefused] = []
    items, total = iter_items(card, folder), count_items(card, folder)
    for outcome in decode(items, _RECIPE, card.modality, named, card.name, total, progress):
        if isinstance(outcome, ScanRefused):
            refused.append(outcome)
        else:
            rows.append(outcome.row)
            alike.append(difference_hash(outcome.image[..., 0]))
    return CheckReport(
        name=card.name,
        counts=_counts(rows, named),
        duplicates=_groups(rows, [row.digest for row in rows], named),
        near=_near(rows, alike, named),
        refused=tuple(refused),
        straddling=_straddling(rows),
    )


def difference_hash(image: npt.NDArray[np.uint8]) -> bytes:
    """Signs of the horizontal differences of an image averaged to 8 x 9 blocks: 64 bits.

    After N. Krawetz, "Kind of Like That" (2013). Equal for copies that were re-compressed, scaled or
    slightly changed in brightness.

    Args:
        image: grey, ``(rows, columns)``, at least 8 x 9.
    """
    rows = np.array_split(image.astype(np.float32), 8, axis=0)
    blocks = np.array([[part.mean() for part in np.array_split(row, 9, axis=1)] for row in rows])
    return np.packbits(blocks[:, 1:] > blocks[:, :-1]).tobytes()


def _groups(rows: Sequence[Row], keys: Sequence[bytes], named: dict[str, str]) -> tuple[Group, ...]:
    """Rows with equal keys, where there is more than one."""
    same: dict[bytes, list[Row]] = defaultdict(list)
    for row, key in zip(rows, keys, strict=True):
        same[key].append(row)
    return tuple(_group(found, named) for found in same.values() if len(found) > 1)


def _near(rows: Sequence[Row], alike: Sequence[bytes], named: dict[str, str]) -> tuple[Group, ...]:
    """Images that look the same; exact duplicates are taken once, flat images left out."""
    first = {row.digest: (row, key) for row, key in reversed(list(zip(rows, alike, strict=True)))}
    kept = [(row, key) for row, key in reversed(first.values()) if any(key)]
    return _groups([row for row, _ in kept], [key for _, key in kept], named)


def _group(rows: Sequence[Row], named: dict[str, str]) -> Group:
    return Group(
        names=tuple(row.name for row in rows),
        classes=tuple(dict.fromkeys(named.get(row.label, row.label) for row in rows)),
        splits=tuple(dict.fromkeys(row.split for row in rows if row.split)),
    )


def _counts(rows: Sequence[Row], named: dict[str, str]) -> tuple[ClassCount, ...]:
    of_class: dict[str, list[Row]] = {label: [] for label in named or sorted({row.label for row in rows})}
    for row in rows:
        of_class[row.label].append(row)
    return tuple(
        ClassCount(
            name=named.get(label, label),
            images=len(members),
            patients=len({row.patients or (row.digest,) for row in members}),
            splits=tuple(sorted(Counter(row.split for row in members if row.split).items())),
        )
        for label, members in of_class.items()
    )


def _straddling(rows: Iterable[Row]) -> tuple[str, ...]:
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for patient in row.patients:
            splits[patient] |= {row.split} - {""}
    return tuple(sorted(key.split("\0")[-1] for key, found in splits.items() if len(found) > 1))
