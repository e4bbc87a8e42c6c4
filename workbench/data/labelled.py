"""Walk a user's own labelled scans: class folders, or a CSV with file, label, patient and marked region.

Called by `cohort.folder_cohort`. Yields the same `Item` as the catalogue's layouts.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.data.items import FileImage, ImageSource, Item
from workbench.errors import CohortError, RegionError, ScanRefused
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.read import read_scans
from workbench.imaging.recipe import Recipe
from workbench.imaging.region import Region, parse_region
from workbench.imaging.scan import Scan
from workbench.imaging.sniff import Kind, is_companion, sniff

_COLUMNS = ("file", "label")


@dataclass(frozen=True, slots=True, eq=False)
class ReadImage:
    """A scan that had to be read with its neighbours (a slice belongs to a series)."""

    read: Scan

    def scan(self, name: str, modality: str) -> Scan:  # noqa: D102
        return self.read


@dataclass(frozen=True, slots=True)
class PartOfImage:
    """What is kept of a scan: the marked region, and of that no more than the recipe takes."""

    source: ImageSource
    region: Region | None
    recipe: Recipe

    def scan(self, name: str, modality: str) -> Scan:  # noqa: D102
        return _part(self.source.scan(name, modality), self.region, self.recipe)


@dataclass(frozen=True, slots=True)
class RefusedImage:
    """A file that is known to be unreadable."""

    refusal: ScanRefused

    def scan(self, name: str, modality: str) -> Scan:  # noqa: D102
        raise self.refusal


@dataclass(frozen=True, slots=True)
class _How:
    """How labelled files are read, and what is kept of them; see `labelled_items`."""

    options: ReadOptions
    recipe: Recipe
    region: Region | None


def labelled_items(
    place: Path,
    options: ReadOptions = DEFAULTS,
    recipe: Recipe | None = None,
    region: Region | None = None,
) -> Iterator[Item]:
    """Every labelled scan below a folder, or named by a CSV file.

    Args:
        place: class folders or a CSV.
        options: how to read them.
        recipe: of a volume, only what it takes is kept; the middle slice where none is given.
        region: marked on every scan; a table's columns ``slices`` and ``box`` come before it.

    Raises:
        CohortError: if there are no class folders, a column is missing, or a file lies outside the folder.
        RegionError: a cell of a table is no region.
    """
    how = _How(options, recipe or Recipe(), region)
    if place.is_file():
        yield from _table(place, how)
    elif place.is_dir():
        yield from _folders(place, how)
    else:
        raise CohortError(f"{place.name}: there is no such folder or CSV file.")


def _folders(root: Path, how: _How) -> Iterator[Item]:
    classes = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        raise CohortError(
            f"{root.name}: has no class folders. Make one subfolder per class and put its scans in."
        )
    for one in classes:
        folders = [one, *sorted(p for p in one.rglob("*") if p.is_dir())]
        for folder in folders:
            # Studies and series of one patient may have folders of their own within the patient's.
            patient = folder.relative_to(one).parts[0] if folder != one else None
            try:
                files = sorted(p for p in folder.iterdir() if not (p.is_dir() or p.name.startswith(".")))
            except OSError:
                name = folder.relative_to(root).as_posix()
                refusal = ScanRefused(name, "The folder may not be opened.", "Change its permissions.")
                yield Item(RefusedImage(refusal), one.name, patient, name)
                continue
            files = [path for path in files if not is_companion(path)]
            yield from _read_together(files, one.name, patient, root, how)


def _read_together(
    files: Sequence[Path], label: str, patient: str | None, root: Path, how: _How
) -> Iterator[Item]:
    """Files of one folder: DICOM slices and zips may hold series, the rest stand alone."""
    series = [path for path in files if _may_hold_slices(path)]
    for path in files:
        if path not in series:
            name = path.relative_to(root).as_posix()
            part = PartOfImage(FileImage(path, how.options), how.region, how.recipe)
            yield Item(part, label, patient, name)
    if series:
        folder = series[0].parent.relative_to(root).as_posix()
        result = read_scans(series, options=how.options)
        for scan in result.scans:
            name = f"{folder}/{scan.provenance.source}"
            try:
                # Now, not when its turn comes: the volumes of a whole folder would not fit into memory.
                source: ImageSource = ReadImage(_part(scan, how.region, how.recipe))
            except ScanRefused as error:
                source = RefusedImage(error)
            yield Item(source, label, patient, name)
        for refusal in result.refused:
            yield Item(RefusedImage(refusal), label, patient, f"{folder}/{refusal.source}")


def _may_hold_slices(path: Path) -> bool:
    try:
        return sniff(path) in (Kind.DICOM, Kind.ZIP)
    except OSError:
        return False  # refused with its reason when its turn comes


def _part(scan: Scan, region: Region | None, recipe: Recipe) -> Scan:
    """What is kept of a scan; see `PartOfImage`."""
    return recipe.kept(region.apply(scan) if region is not None else scan)


def _table(table: Path, how: _How) -> Iterator[Item]:
    root = table.parent.resolve()
    with table.open(newline="", encoding="utf-8-sig") as file:
        # Spreadsheets write semicolons where the comma is the decimal sign.
        head = file.readline()
        file.seek(0)
        rows = csv.DictReader(file, delimiter=max(",;\t", key=head.count))
        rows.fieldnames = [name.strip().lower() for name in rows.fieldnames or ()]
        if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
            columns = ", ".join(map(repr, missing))
            raise CohortError(
                f"{table.name}: has no column {columns}. It needs file, label and, if known, patient."
            )
        for number, row in enumerate(rows, start=2):
            name, label = (row["file"] or "").strip(), (row["label"] or "").strip()
            if not name or not label:
                raise CohortError(f"{table.name}, line {number}: file or label is empty.")
            path = (root / name).resolve()
            if not path.is_relative_to(root):
                raise CohortError(
                    f"{table.name}, line {number}: '{name}' lies outside the table's folder. "
                    "Put the table above the scans and name them relative to it."
                )
            try:
                own = parse_region(row.get("slices") or "", row.get("box") or "")
            except RegionError as error:
                raise RegionError(f"{table.name}, line {number}: {error}") from error
            source = PartOfImage(FileImage(path, how.options), own or how.region, how.recipe)
            yield Item(source, label, (row.get("patient") or "").strip() or None, name)
