"""Reading files, folders and zips: the one door through which images enter the workbench.

Called by cohort folders, the command line and the web UI. Everything is judged by content; only
`ScanRefused` leaves, and a bad file never takes a good one down.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import ScanRefused
from workbench.imaging.archive import is_clutter, unpacked
from workbench.imaging.dicom import read_dicom
from workbench.imaging.dicomdir import referenced_files
from workbench.imaging.dicomfile import DicomFile, open_dicom, refusing
from workbench.imaging.foreign import refuse_foreign
from workbench.imaging.nifti import has_header, read_nifti
from workbench.imaging.nrrd import read_nrrd
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.quality import checked
from workbench.imaging.raster import read_raster
from workbench.imaging.scan import Scan
from workbench.imaging.series import Group, group_series, read_group
from workbench.imaging.sniff import Kind, sniff

_READERS: dict[Kind, Callable[[Path, str, ReadOptions], Scan]] = {
    Kind.DICOM: read_dicom,
    Kind.DICOMDIR: read_dicom,
    Kind.NIFTI: read_nifti,
    Kind.NIFTI_IMAGE: read_nifti,
    Kind.NRRD: read_nrrd,
    Kind.RASTER: read_raster,
}
_REASONS: dict[Kind, tuple[str, str]] = {
    Kind.ZIP: ("It is a zip of several scans.", "Give it where several scans are expected."),
    Kind.GZIP: ("It is a gzip file without a NIfTI image in it.", "Unpack it first."),
    Kind.PDF: ("It is a PDF document, not a scan.", "Give the images themselves."),
    Kind.OTHER_PICTURE: ("It is a picture format that is not read.", "Save it as PNG, JPEG, BMP or TIFF."),
    Kind.EMPTY: ("The file is empty.", "Copy or export it again."),
    Kind.UNKNOWN: (
        "It is no image that is read here.",
        "Give DICOM, NIfTI, NRRD, PNG, JPEG, BMP or TIFF files, folders or zips of them.",
    ),
}


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What came of a number of paths.

    Attributes:
        scans: in the natural order of their names, path by path.
        refused: files that could not become scans, in the same order.
    """

    scans: tuple[Scan, ...]
    refused: tuple[ScanRefused, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file to be read: its place, the name shown, its kind, and the zip it came from (or empty)."""

    path: Path
    source: str
    kind: Kind
    archive: str


def read_scan(path: Path, *, name: str | None = None, options: ReadOptions = DEFAULTS) -> Scan:
    """Read one file into a `Scan`.

    Args:
        path: DICOM (any suffix), NIfTI, NRRD, PNG, JPEG, BMP or TIFF, or a zip that holds one scan.
        name: what to call it on screen; its base name where not given.
        options: what a person chose about reading.

    Raises:
        ScanRefused: and nothing else, whatever the file holds.
    """
    source = Path(name).name if name else path.name
    with refusing(source):
        kind = _kind(path, source)
        if kind is Kind.ZIP:
            return _only_scan(path, source, options)
        return checked(_READERS[kind](path, source, options))


def read_scans(
    paths: Sequence[Path],
    *,
    names: Mapping[Path, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    options: ReadOptions = DEFAULTS,
) -> ReadResult:
    """Read files, folders (with subfolders) and zips.

    The single-frame files of a DICOM series inside one folder, one zip, or among the files given directly
    become one volume; every other file one scan. A DICOMDIR given directly stands for the files it names.

    Args:
        paths: files, folders and zips.
        names: what to call files whose names on disk mean nothing to the user (uploads).
        progress: called with the number of files done and the number of files.
        options: what a person chose about reading.
    """
    scans: list[Scan] = []
    refused: list[ScanRefused] = []
    with ExitStack() as held:
        batches = _batches(paths, names or {}, held, refused)
        counter = _Counter(sum(map(len, batches)), progress)
        for batch in batches:
            _read_batch(batch, counter, scans, refused, options)
            counter.reach(len(batch))
    return ReadResult(tuple(scans), tuple(refused))


class _Counter:
    """Counts files done and tells the caller."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._total, self._progress = total, progress
        self._done = self._floor = 0

    def advance(self) -> None:
        """One more file is done."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)

    def reach(self, files: int) -> None:
        """A batch of so many files is done, those dropped on the way included."""
        self._floor += files
        while self._done < self._floor:
            self.advance()


def _only_scan(path: Path, source: str, options: ReadOptions) -> Scan:
    result = read_scans([path], names={path: source}, options=options)
    if len(result.scans) == 1:
        return result.scans[0]
    if not result.scans and result.refused:
        error = result.refused[0]
        raise ScanRefused(source, f"Nothing in it could be read. {error.reason}", error.fix, error.source)
    reason, fix = _REASONS[Kind.ZIP] if result.scans else ("The zip is empty.", "Zip the scans again.")
    raise ScanRefused(source, reason, fix)


def _kind(path: Path, source: str) -> Kind:
    kind = sniff(path)
    if kind in (Kind.GZIP, Kind.UNKNOWN):
        refuse_foreign(path, source)
    if kind in _REASONS and kind is not Kind.ZIP:
        raise ScanRefused(source, *_REASONS[kind])
    return kind


def _batches(
    paths: Sequence[Path], names: Mapping[Path, str], held: ExitStack, refused: list[ScanRefused]
) -> list[list[_Entry]]:
    """Files by the place they were given in: each folder, each zip, and the loose files together."""
    loose: list[_Entry] = []
    batches: list[list[_Entry]] = []
    for path in paths:
        is_folder = path.is_dir()
        plain: list[_Entry] = [] if is_folder else loose
        for file in _walk(path) if is_folder else (path,):
            entry = _entry(file, Path(names.get(file, file.name)).name, "", refused)
            if entry is None or _is_read_with_another(entry, is_folder, paths):
                continue
            if entry.kind is Kind.DICOMDIR:
                batches.append(_of_directory(entry, refused))
                continue
            if entry.kind is not Kind.ZIP:
                plain.append(entry)
                continue
            try:
                out = held.enter_context(unpacked(file, entry.source))
            except ScanRefused as error:
                refused.append(error)
                continue
            refused += out.refused
            inside = (_entry(inner, name, entry.source, refused) for inner, name in out.files)
            batches.append([inner for inner in inside if inner is not None])
        if is_folder:
            batches.append(plain)
    return [loose, *batches]


def _is_read_with_another(entry: _Entry, is_folder: bool, paths: Sequence[Path]) -> bool:
    """Whether it is the index of a folder that is walked, or the image to a NIfTI header that is given."""
    if entry.kind is Kind.DICOMDIR:
        return is_folder
    return entry.kind is Kind.NIFTI_IMAGE and (is_folder or has_header(entry.path) in paths)


def _of_directory(directory: _Entry, refused: list[ScanRefused]) -> list[_Entry]:
    """The files a DICOMDIR names."""
    try:
        files, absent = referenced_files(directory.path, directory.source)
    except ScanRefused as error:
        refused.append(error)
        return []
    refused += absent
    entries = (_entry(file, file.name, "", refused) for file in files)
    return [entry for entry in entries if entry is not None]


def _entry(path: Path, source: str, archive: str, refused: list[ScanRefused]) -> _Entry | None:
    """Look at a file's first bytes; what no reader exists for is refused."""
    try:
        with refusing(source):
            return _Entry(path, source, _kind(path, source), archive)
    except ScanRefused as error:
        refused.append(error)
        return None


def _walk(folder: Path) -> Iterator[Path]:
    """Files of a folder and its subfolders in natural order, without what systems leave behind."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted((name for name in folders if not name.startswith(".")), key=natural)
        for name in sorted(files, key=natural):
            if not is_clutter(name):
                yield Path(root, name)


def _read_batch(
    batch: list[_Entry],
    counter: _Counter,
    scans: list[Scan],
    refused: list[ScanRefused],
    options: ReadOptions,
) -> None:
    archive_of = {entry.path: entry.archive for entry in batch}
    found: list[tuple[str, Scan]] = []
    headers: list[DicomFile] = []
    for entry in batch:
        try:
            with refusing(entry.source):
                if entry.kind is Kind.DICOM:
                    headers.append(open_dicom(entry.path, entry.source, options))
                    continue
                shown = _shown(entry.source, entry.archive)
                found.append((entry.source, _READERS[entry.kind](entry.path, shown, options)))
        except ScanRefused as error:
            refused.append(error)
        counter.advance()
    groups, dropped = group_series(headers, options)
    refused += dropped
    for group in groups:
        first = min((file.source for file in group.files), key=natural)
        try:
            archive = archive_of[group.files[0].path]
            name = _group_name(group, first, archive)
            found.append((first, read_group(group, name, counter.advance, options)))
        except ScanRefused as error:
            refused.append(error)
    scans += [checked(scan) for _, scan in sorted(found, key=lambda pair: natural(pair[0]))]


def _group_name(group: Group, first: str, archive: str) -> str:
    more = len(group.files) - 1
    return _shown(f"{first} (+{more} more)" if more else first, archive)


def _shown(source: str, archive: str) -> str:
    return f"{archive}: {source}" if archive else source


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key under which ``scan2`` comes before ``scan10``."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
