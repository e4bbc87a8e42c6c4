"""How the files of a dataset are laid out: one generator per layout, all yielding `Item`.

Called by `cohort` and `check`. Nothing is decoded until `Item.scan` is called, and archives are streamed,
so that a set larger than memory can be walked. A layout is added by a card model in `card`, a generator
here and a line in `_READERS`.
"""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from workbench.data import card as cards
from workbench.data.items import ArrayImage, CropImage, FileImage, Item, ZipImage, open_zip
from workbench.data.npz import Archive
from workbench.errors import CohortError

__all__ = ["FileImage", "Item", "count_items", "files_of", "is_present", "iter_items", "variant"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm", ".nii", ".gz", ""})
SPLITS = ("train", "val", "test")


def iter_items(card: cards.Card, folder: Path, pixels: int = 0) -> Iterator[Item]:
    """Every labelled image of a dataset, in a fixed order.

    Args:
        card: the dataset's card.
        folder: where its files lie.
        pixels: wanted image side; where a set is published in several sizes, the smallest that is at least
            this large is read, else the largest.

    Raises:
        CohortError: if the files are not laid out as the card says.
    """
    yield from _READERS[type(card.layout)](card, folder, pixels)


def files_of(card: cards.Card, folder: Path, pixels: int = 0) -> list[Path]:
    """The files that `iter_items` would read, sorted; for fingerprints."""
    layout = card.layout
    if isinstance(layout, cards.Npz | cards.Npz3d):
        return [npz_file(layout.file, folder, pixels)]
    return sorted(path for path in folder.rglob("*") if path.is_file())


def count_items(card: cards.Card, folder: Path, pixels: int = 0) -> int:
    """How many images `iter_items` will yield at most; for progress bars."""
    if isinstance(card.layout, cards.Npz | cards.Npz3d):
        with Archive(npz_file(card.layout.file, folder, pixels)) as archive:
            return sum(archive.length(f"{split}_images") for split in SPLITS)
    return sum(1 for _ in iter_items(card, folder, pixels))


def variant(card: cards.Card, folder: Path, pixels: int) -> int | None:
    """Image side that `iter_items` would read, where a set is published in several sizes."""
    if not isinstance(card.layout, cards.Npz | cards.Npz3d):
        return None
    return _best(card.layout.file, folder, pixels)[0]


def is_present(card: cards.Card, folder: Path) -> bool:
    """Whether a folder holds what the card's layout needs."""
    layout = card.layout
    if isinstance(layout, cards.Npz | cards.Npz3d):
        return bool(_variants(layout.file, folder))
    if isinstance(layout, cards.ClassFolders):
        return all((folder / layout.root / one.spelled).is_dir() for one in card.classes)
    return all((folder / part).exists() for part in layout.parts)


def _patient(card: cards.Card, name: str) -> str | None:
    return card.patient.key(name) if isinstance(card.patient, cards.PatientInName) else None


def _class_folders(card: cards.Card, folder: Path, _: int) -> Iterator[Item]:
    layout = card.layout
    assert isinstance(layout, cards.ClassFolders)
    for one in card.classes:
        place = folder / layout.root / one.spelled
        if not place.is_dir():
            raise CohortError(f"{card.name}: there is no folder '{one.spelled}' in {folder.name}.")
        for path in sorted(p for p in place.rglob("*") if p.is_file() and not p.name.startswith(".")):
            if path.suffix.lower() in SUFFIXES:
                name = path.relative_to(folder / layout.root).as_posix()
                yield Item(FileImage(path), one.spelled, _patient(card, name), name)


def _csv_images(card: cards.Card, folder: Path, _: int) -> Iterator[Item]:
    layout = card.layout
    assert isinstance(layout, cards.CsvImages)
    with (folder / layout.table).open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        column = card.patient.column if isinstance(card.patient, cards.PatientColumn) else None
        wanted = {layout.image_column, layout.label_column, column, layout.split_column} - {None}
        if missing := sorted(str(c) for c in wanted - set(table.fieldnames or ())):
            raise CohortError(f"{card.name}: {layout.table} has no column {', '.join(map(repr, missing))}.")
        for row in table:
            name = row[layout.image_column] + layout.suffix
            patient = (row[column] or None) if column else _patient(card, name)
            split = row[layout.split_column] if layout.split_column else ""
            yield Item(
                FileImage(folder / layout.images / name), row[layout.label_column], patient, name, split
            )


def _npz(card: cards.Card, folder: Path, pixels: int) -> Iterator[Item]:
    layout = card.layout
    assert isinstance(layout, cards.Npz | cards.Npz3d)
    volume = isinstance(layout, cards.Npz3d)
    path = npz_file(layout.file, folder, pixels)
    with Archive(path) as archive:
        for split in SPLITS:
            labels = archive.array(f"{split}_labels")
            for row, image in enumerate(archive.rows(f"{split}_images")):
                name = f"{path.stem}/{split}/{row:06d}"
                if card.task == "multilabel":
                    # One label per image: those with several findings, or none, belong to no one class.
                    positive = np.flatnonzero(labels[row])
                    if len(positive) != 1:
                        continue
                    label = str(positive[0])
                else:
                    label = str(int(labels[row].item()))
                yield Item(ArrayImage(image, volume), label, _patient(card, name), name, split)


def npz_file(file: str, folder: Path, pixels: int) -> Path:
    """The .npz of the size that fits best; see `iter_items`.

    Raises:
        CohortError: if there is none.
    """
    return _best(file, folder, pixels)[1]


def _best(file: str, folder: Path, pixels: int) -> tuple[int, Path]:
    variants = sorted(_variants(file, folder).items())
    if not variants:
        raise CohortError(f"{file} is not in {folder.name}.")
    return next(((side, path) for side, path in variants if side >= pixels), variants[-1])


def _variants(file: str, folder: Path) -> dict[int, Path]:
    """Image side to path: MedMNIST calls the 28-pixel file ``x.npz`` and others ``x_64.npz``."""
    stem = Path(file).stem
    found: dict[int, Path] = {}
    for path in folder.glob(f"{stem}*.npz"):
        match = re.fullmatch(re.escape(stem) + r"(?:_(\d+))?", path.stem)
        if match:
            found[int(match[1] or 28)] = path
    return found


def _voc_boxes(card: cards.Card, folder: Path, _: int) -> Iterator[Item]:
    layout = card.layout
    assert isinstance(layout, cards.VocBoxes)
    splits = _split_lists(folder / layout.splits) if layout.splits else {}
    for path in sorted((folder / layout.annotations).glob("*.xml")):
        # Standard library parser: expat refuses entity bombs since 2.4.1, and nothing external is loaded.
        root = ElementTree.parse(path).getroot()  # noqa: S314
        image = folder / layout.images / f"{path.stem}.jpg"
        for index, box in enumerate(root.iter("object")):
            corners = [int(float(box.findtext(f"bndbox/{c}", "0"))) for c in ("xmin", "ymin", "xmax", "ymax")]
            left, top, right, bottom = corners
            name = f"{image.name}#{index}"
            source = CropImage(image, (left, top, right, bottom))
            label = box.findtext("name", "")
            yield Item(source, label, _patient(card, name), name, splits.get(path.stem, ""))


def _omniglot(card: cards.Card, folder: Path, _: int) -> Iterator[Item]:
    layout = card.layout
    assert isinstance(layout, cards.Omniglot)
    splits = _split_lists(folder / layout.splits)
    for archive in layout.archives:
        path = folder / archive
        for member in sorted(n for n in open_zip(path).namelist() if n.endswith(".png")):
            character = "/".join(member.split("/")[-3:-1])
            for degrees in layout.rotations:
                label = f"{character}/rot{degrees:03d}"
                name = f"{member}@{degrees}" if degrees else member
                source = ZipImage(path, member, degrees)
                yield Item(source, label, _patient(card, name), name, splits.get(label, ""))


def _medimeta(card: cards.Card, folder: Path, _: int) -> Iterator[Item]:
    layout = card.layout
    assert isinstance(layout, cards.Medimeta)
    labels = np.load(folder / "task_labels" / f"{layout.task}.npy", allow_pickle=False)
    splits = {
        int(Path(line).stem): split
        for line, split in _split_lists(folder / "splits").items()
        if Path(line).stem.isdigit()
    }
    patients = _medimeta_patients(card, folder)
    for path in sorted((folder / "images").glob("*.tiff")):
        row = int(path.stem)
        positive = np.flatnonzero(labels[row]) if card.task == "multilabel" else np.atleast_1d(labels[row])
        if len(positive) == 1:
            name = f"images/{path.name}"
            label = str(int(positive[0]))
            yield Item(FileImage(path), label, patients.get(row), name, splits.get(row, ""))


def _medimeta_patients(card: cards.Card, folder: Path) -> dict[int, str]:
    """Image number to patient key, from ``annotations.csv``, whose first column is the image's path."""
    if not isinstance(card.patient, cards.PatientColumn):
        return {}
    with (folder / "annotations.csv").open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        if card.patient.column not in (table.fieldnames or ()):
            if card.patient.required:
                raise CohortError(f"{card.name}: annotations.csv has no column '{card.patient.column}'.")
            return {}
        keys = [(Path(row["filepath"]).stem, row[card.patient.column]) for row in table]
    return {int(stem): key for stem, key in keys if key}


def _split_lists(folder: Path) -> dict[str, str]:
    """Line to split, from ``train.txt``, ``val.txt`` and ``test.txt``."""
    found: dict[str, str] = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if path.is_file():
            found.update(dict.fromkeys(path.read_text(encoding="utf-8").split(), split))
    return found


_Reader = Callable[[cards.Card, Path, int], Iterator[Item]]
_READERS: dict[type, _Reader] = {
    cards.ClassFolders: _class_folders,
    cards.CsvImages: _csv_images,
    cards.Npz: _npz,
    cards.Npz3d: _npz,
    cards.VocBoxes: _voc_boxes,
    cards.Omniglot: _omniglot,
    cards.Medimeta: _medimeta,
}
