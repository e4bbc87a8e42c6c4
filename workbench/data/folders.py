"""Labelled and unlabelled scans from a user's own files, one after another.

`read_examples` makes the support of an adaptation from class folders or a CSV; `iter_examples` does the
same for a cohort too large to hold; `iter_scans` walks new cases to be read. A bad file is refused on its
own and never takes the good ones down. Called by the command line, the web UI and notebooks.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.data.examples import Example
from workbench.data.labelled import labelled_items
from workbench.data.layouts import Item
from workbench.errors import CohortError, ScanRefused, SupportError
from workbench.imaging.digest import copy_digest, pixel_digest
from workbench.imaging.identity import patient_key
from workbench.imaging.modality import UNKNOWN_MODALITY
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.read import natural, read_scans
from workbench.imaging.recipe import Recipe
from workbench.imaging.region import Region
from workbench.imaging.scan import Scan
from workbench.imaging.sniff import Kind, is_companion, sniff

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """One labelled file.

    Attributes:
        name: path below the folder or table, for the user's own screen only.
        label: class name.
        outcome: the example, or why the file could not become one.
    """

    name: str
    label: str
    outcome: Example | ScanRefused


@dataclass(frozen=True, slots=True, eq=False)
class LabelledScans:
    """Everything read from a labelled folder or table.

    Attributes:
        classes: names in natural order, also of classes without a readable scan.
        examples: the readable scans, each once.
        names: path of each example below the folder, for the user's own screen only.
        refused: files left out, each with the reason and the fix; `source` is the path below the folder.
    """

    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    names: tuple[str, ...]
    refused: tuple[ScanRefused, ...]


def read_examples(
    path: str | Path,
    progress: Progress | None = None,
    options: ReadOptions = DEFAULTS,
    recipe: Recipe | None = None,
    region: Region | None = None,
) -> LabelledScans:
    """Labelled scans from class folders or a CSV.

    Args:
        path: a folder with one subfolder per class (its name is the class), or a CSV with the columns
            ``file`` (relative to the CSV), ``label`` and, optionally, ``patient``, ``slices`` and ``box``.
        progress: called with the number of files done and in all.
        options: how to read the files.
        recipe: of the learner; of a volume, no more than it takes is kept (the middle slice by default).
        region: marked on every scan that the table marks nothing on.

    The patient of a scan is, in this order: the table's patient column or the subfolder of the class folder
    the scan lies in (the same name in two classes is the same patient); the DICOM PatientID; the scan
    itself. Keys are pseudonyms (see `workbench.imaging.identity`). An exact copy of a scan of the same class
    is left out, so that it cannot count as a second patient.

    Raises:
        RegionError: a cell of the table is no region.
        SupportError: there is no such folder, a column or cell is missing, there are fewer than two classes,
            a class has no readable scan, or a scan is given twice under different labels.
    """
    place = Path(path)
    try:
        read = list(iter_examples(place, progress, options, recipe, region))
    except CohortError as error:
        raise SupportError(str(error)) from error
    classes = _classes(place, read)
    seen: dict[str, Labelled] = {}
    kept: list[tuple[str, Example]] = []
    refused: list[ScanRefused] = []
    for one in read:
        if isinstance(one.outcome, ScanRefused):
            refused.append(one.outcome)
            continue
        first = seen.setdefault(copy_digest(one.outcome.scan), one)
        if first is one:
            kept.append((one.name, one.outcome))
        elif first.label == one.label:
            refused.append(
                ScanRefused(
                    one.name,
                    "It is an exact copy of another scan.",
                    "It is counted once; remove it.",
                    first.name,
                )
            )
        else:
            raise SupportError(
                f"{one.name} is labelled {one.label!r}, and the same picture ({first.name}) is labelled "
                f"{first.label!r}. Keep one of the two, or remove both if the label is unknown."
            )
    _refuse_unusable(place, classes, {e.label for _, e in kept}, refused)
    return LabelledScans(classes, tuple(e for _, e in kept), tuple(name for name, _ in kept), tuple(refused))


def iter_examples(
    path: str | Path,
    progress: Progress | None = None,
    options: ReadOptions = DEFAULTS,
    recipe: Recipe | None = None,
    region: Region | None = None,
) -> Iterator[Labelled]:
    """Labelled files one after another, decoded when their turn comes; see `read_examples`.

    Nothing is compared between files: copies and contradictions are the caller's business.

    Raises:
        CohortError: there is no such folder, it has no class folders, or a column or cell is missing.
    """
    place = Path(path)
    total = _count(place) if progress is not None else 0
    try:
        for done, item in enumerate(labelled_items(place, options, recipe, region), start=1):
            yield Labelled(item.name, item.label, _decode(item))
            if progress is not None:
                progress(min(done, total), total)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CohortError(
            f"{place.name}: cannot be read as a table ({error}). Save it as CSV in UTF-8."
        ) from error


def iter_scans(
    paths: Sequence[str | Path], progress: Progress | None = None, options: ReadOptions = DEFAULTS
) -> Iterator[tuple[str, Scan | ScanRefused]]:
    """Scans of files, folders (with subfolders) and zips, read when their turn comes.

    Args:
        paths: what to read; the DICOM files of one folder, or of those given directly, are read together,
            since they may be slices of a series.
        progress: called with the number of files done and in all.
        options: how to read the files.

    Yields:
        what to call the scan (its path below the folder given, or its base name), and the scan or why it
        could not be read.
    """
    closed: list[OSError] = []
    folders = [Path(path) for path in paths if Path(path).is_dir()]
    batches = [batch for folder in folders for batch in _folder_batches(folder, closed)]
    loose = [Path(path) for path in paths if not Path(path).is_dir()]
    batches = [("", files) for files in _apart(loose)] + batches
    total, done = sum(len(files) for _, files in batches), 0
    for prefix, files in batches:
        result = read_scans(files, options=options)
        for scan in result.scans:
            yield f"{prefix}{scan.provenance.source}", scan
        for refusal in result.refused:
            yield f"{prefix}{refusal.source}", refusal
        done += len(files)
        if progress is not None:
            progress(done, total)
    for error in closed:
        name = Path(str(error.filename)).name
        yield name, ScanRefused(name, "The folder may not be opened.", "Change its permissions.")


def scan_key(scan: Scan) -> str:
    """Keyed hash of a scan's pixels, all of them: names a scan to this installation only.

    Also the patient of a scan of which no patient is known.
    """
    return patient_key(f"scan {pixel_digest(scan)}")


def _decode(item: Item) -> Example | ScanRefused:
    try:
        scan = item.scan(UNKNOWN_MODALITY)
    except ScanRefused as refusal:
        return ScanRefused(item.name, refusal.reason, refusal.fix, refusal.about)
    patient = patient_key(item.patient) if item.patient else scan.patient or scan_key(scan)
    return Example(scan, item.label, patient)


def _classes(place: Path, read: Sequence[Labelled]) -> tuple[str, ...]:
    named = {one.label for one in read}
    if place.is_dir():
        named |= {p.name for p in place.iterdir() if p.is_dir() and not p.name.startswith(".")}
    return tuple(sorted(named, key=natural))


def _refuse_unusable(
    place: Path, classes: Sequence[str], present: set[str], refused: Sequence[ScanRefused]
) -> None:
    """Say which class is missing or empty, and why its files were refused."""
    why = f" First file left out: {refused[0]}" if refused else ""
    if not classes:
        raise SupportError(f"{place.name}: holds no labelled scans. Add at least two classes.{why}")
    if len(classes) < 2:
        raise SupportError(
            f"{place.name}: there is one class only ({classes[0]!r}). Add scans of at least one other class, "
            "for example of normal findings."
        )
    empty = [name for name in classes if name not in present]
    if empty:
        raise SupportError(
            f"{place.name}: no readable scan in class {', '.join(map(repr, empty))}. Add scans to it or "
            f"remove the class.{why}"
        )


def _count(place: Path) -> int:
    if place.is_dir():
        return sum(len(files) for _, _, files in os.walk(place))
    if place.is_file():
        return max(0, place.read_bytes().count(b"\n") - 1)
    return 0


def _folder_batches(folder: Path, closed: list[OSError]) -> Iterator[tuple[str, list[Path]]]:
    """Files to be read together, with the path of their folder below the one given.

    Folders that cannot be opened are added to `closed`.
    """
    for root, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)
        below = Path(root).relative_to(folder).as_posix()
        prefix = "" if below == "." else f"{below}/"
        found = [Path(root, name) for name in sorted(files, key=natural) if not name.startswith(".")]
        for batch in _apart([path for path in found if not is_companion(path)]):
            yield prefix, batch


def _apart(files: Sequence[Path]) -> list[list[Path]]:
    """DICOM files together, every other file on its own; in the order of their first members."""
    batches: list[list[Path]] = []
    dicom: list[Path] = []
    for path in files:
        if _is_dicom(path):
            if not dicom:
                batches.append(dicom)
            dicom.append(path)
        else:
            batches.append([path])
    return batches


def _is_dicom(path: Path) -> bool:
    try:
        return sniff(path) is Kind.DICOM
    except OSError:
        return False
