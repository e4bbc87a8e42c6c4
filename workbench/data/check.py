"""Look a dataset over before believing a number computed on it.

`check` decodes every image once and reports counts, unreadable files, exact duplicates (equal pixels),
near-duplicates and patients on both sides of an official split.
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
from workbench.data.near import LIMIT, near_pairs, thumbnail
from workbench.data.store import Row, decode, linked
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
        near: groups of images that look the same and are not exact duplicates (see `near`); None where the
            set is too large to compare every pair.
        refused: files that cannot be read, or whose class is not on the card.
        straddling: patients in more than one official split.
    """

    name: str
    counts: tuple[ClassCount, ...]
    duplicates: tuple[Group, ...]
    near: tuple[Group, ...] | None
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
    thumbnails: list[npt.NDArray[np.float32]] = []
    refused: list[ScanRefused] = []
    items, total = iter_items(card, folder), count_items(card, folder)
    for outcome in decode(items, _RECIPE, card.modality, named, card.name, total, progress):
        if isinstance(outcome, ScanRefused):
            refused.append(outcome)
        else:
            rows.append(outcome.row)
            thumbnails.append(thumbnail(outcome.image[..., 0]))
    return CheckReport(
        name=card.name,
        counts=_counts(rows, named),
        duplicates=_groups(rows, [row.digest for row in rows], named),
        near=_near(rows, thumbnails, named),
        refused=tuple(refused),
        straddling=_straddling(rows),
    )


def _groups(rows: Sequence[Row], keys: Sequence[bytes], named: dict[str, str]) -> tuple[Group, ...]:
    """Rows with equal keys, where there is more than one."""
    same: dict[bytes, list[Row]] = defaultdict(list)
    for row, key in zip(rows, keys, strict=True):
        same[key].append(row)
    return tuple(_group(found, named) for found in same.values() if len(found) > 1)


def _near(
    rows: Sequence[Row], thumbnails: Sequence[npt.NDArray[np.float32]], named: dict[str, str]
) -> tuple[Group, ...] | None:
    """Images that look the same; of exact duplicates only the first is compared."""
    firsts = list({row.digest: index for index, row in reversed(list(enumerate(rows)))}.values())[::-1]
    if len(firsts) > LIMIT:
        return None
    if not firsts:
        return ()
    pairs = near_pairs(np.stack([thumbnails[index] for index in firsts]))
    keys: list[list[int]] = [[] for _ in firsts]
    for number, (first, second) in enumerate(pairs.tolist()):
        keys[first].append(number)
        keys[second].append(number)
    codes = linked(keys)
    return _groups([rows[index] for index in firsts], [code.tobytes() for code in codes], named)


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
