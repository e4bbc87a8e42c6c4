"""Reading files, folders and zips: the one door through which images enter the workbench.

Called by cohort folders, the command line and the web UI. Everything is judged by content; only
`ScanRefused` leaves, and a bad file never takes a good one down. Files are decoded by `workers`, several at a
time and each read once; here they are found, told apart, and put together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from workbench.errors import ScanRefused
from workbench.imaging.archive import is_clutter, unpacked
from workbench.imaging.decoding import open_decoded, open_header, read_file
from workbench.imaging.dicom import scan_of
from workbench.imaging.dicomdir import referenced_files
from workbench.imaging.dicomfile import DicomFile, interpret, quiet, refusing
from workbench.imaging.foreign import refuse_foreign
from workbench.imaging.held import Held
from workbench.imaging.limits import LIMITS
from workbench.imaging.nifti import has_header
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.quality import checked
from workbench.imaging.scan import Scan
from workbench.imaging.series import Group, group_series, read_group
from workbench.imaging.sniff import Kind, sniff
from workbench.imaging.workers import Call, Stopped, call, run, run_all

_DICOM = (Kind.DICOM, Kind.DICOMDIR)
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


Outcome = Scan | DicomFile | ScanRefused
"""What a worker makes of a file."""


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
    """A file to be read: its place, the name shown, kind, size in bytes, and its zip's name (or empty)."""

    path: Path
    source: str
    kind: Kind
    size: int
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
        outcome = run(_reading(_Entry(path, source, kind, path.stat().st_size, ""), options))
        with quiet():
            return checked(scan_of(outcome, options) if isinstance(outcome, DicomFile) else outcome)


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
        room = _Room(paths)
        for batch in batches:
            _read_batch(batch, counter, room, scans, refused, options)
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


class _Room:
    """How many more pixel values one call of `read_scans` may hold.

    Each file keeps within its own budget, but a small zip may hold thousands that all reach it.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._left = LIMITS.readable(sum(map(_bytes, paths)))
        self.is_full = False

    def take(self, outcome: Outcome, entry: _Entry) -> Outcome:
        """The outcome, or a refusal in place of pixels for which there is no room."""
        if isinstance(outcome, ScanRefused):
            return outcome
        held = outcome.held if isinstance(outcome, DicomFile) else None
        values = outcome.pixels.size if isinstance(outcome, Scan) else held.size if held else 0
        if values <= self._left:
            self._left -= values
            return outcome
        self.is_full = True
        refusal = _no_room(entry.source)
        return replace(outcome, held=Held(refusal)) if isinstance(outcome, DicomFile) else refusal


def _no_room(source: str) -> ScanRefused:
    return ScanRefused(
        source,
        "Together with the scans read before it, it takes more memory than is allowed.",
        "Read fewer scans at a time.",
    )


def _bytes(path: Path) -> int:
    """Size of a file, or of all files in a folder; what cannot be looked at counts nothing."""
    try:
        if path.is_dir():
            return sum(file.lstat().st_size for file in _walk(path))
        return path.stat().st_size
    except OSError:
        return 0


def _reading(entry: _Entry, options: ReadOptions) -> Call[Scan | DicomFile]:
    """What a worker is to do for a file."""
    if entry.kind in _DICOM:
        return call(open_decoded, entry.source, entry.size, entry.path, entry.source, options)
    shown = _shown(entry.source, entry.archive)
    return call(read_file, entry.source, entry.size, entry.kind, entry.path, shown, options)


def _outcomes(batch: Sequence[_Entry], room: _Room, options: ReadOptions) -> Iterator[Outcome]:
    """What became of each file, in order; where decoding was stopped its header is read again, alone."""
    # Once there is no room nothing more is decoded: thousands of files might each take a second.
    outcomes = run_all(_reading(entry, options) for entry in takewhile(lambda _: not room.is_full, batch))
    for entry in batch:
        outcome = next(outcomes, None)
        if outcome is None:
            outcome = _no_room(entry.source)
        outcome = room.take(outcome, entry)
        if not (isinstance(outcome, Stopped) and entry.kind in _DICOM):
            yield outcome
            continue
        # The series must know that a slice of it is missing.
        again = call(open_header, entry.source, entry.size, entry.path, entry.source, options)
        for header in run_all([again]):
            yield replace(header, held=Held(outcome)) if isinstance(header, DicomFile) else outcome


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
        files, absent = run(
            call(referenced_files, directory.source, directory.size, directory.path, directory.source)
        )
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
            return _Entry(path, source, _kind(path, source), path.stat().st_size, archive)
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
    room: _Room,
    scans: list[Scan],
    refused: list[ScanRefused],
    options: ReadOptions,
) -> None:
    archive_of = {entry.path: entry.archive for entry in batch}
    found: list[tuple[str, Scan]] = []
    files: list[DicomFile] = []
    for entry, outcome in zip(batch, _outcomes(batch, room, options), strict=True):
        if isinstance(outcome, DicomFile):
            files.append(outcome)
        elif isinstance(outcome, Scan):
            found.append((entry.source, outcome))
        else:
            refused.append(outcome)
        counter.advance()
    with quiet():
        groups, dropped = _grouped(files, options)
        refused += dropped
        for group in groups:
            first = min((file.source for file in group.files), key=natural)
            try:
                archive = archive_of[group.files[0].path]
                name = _group_name(group, first, archive)
                found.append((first, read_group(group, name, options=options)))
            except ScanRefused as error:
                refused.append(error)
    scans += [checked(scan) for _, scan in sorted(found, key=lambda pair: natural(pair[0]))]


def _grouped(files: list[DicomFile], options: ReadOptions) -> tuple[list[Group], list[ScanRefused]]:
    """`group_series`, without the files whose headers are damaged where it looks.

    Elements are interpreted when they are first used, so that damage may show here. First the files are
    tried that fail alone, then those of which any element cannot be interpreted.
    """
    refused: list[ScanRefused] = []
    checks: tuple[Callable[[DicomFile], object], ...] = (
        lambda _: None,
        lambda file: group_series([file], options),
        interpret,
    )
    for check in checks:
        sound: list[DicomFile] = []
        for file in files:
            try:
                with refusing(file.source):
                    check(file)
                sound.append(file)
            except ScanRefused as error:
                refused.append(error)
        try:
            with refusing(sound[0].source if sound else ""):
                groups, dropped = group_series(sound, options)
                return groups, [*refused, *dropped]
        except ScanRefused:
            files = sound
    reason, fix = "Its header contradicts those of the files beside it.", "Give it alone."
    return [], [*refused, *(ScanRefused(file.source, reason, fix) for file in files)]


def _group_name(group: Group, first: str, archive: str) -> str:
    more = len(group.files) - 1
    return _shown(f"{first} (+{more} more)" if more else first, archive)


def _shown(source: str, archive: str) -> str:
    return f"{archive}: {source}" if archive else source


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key under which ``scan2`` comes before ``scan10``."""
    parts = re.split(r"(\d+)", name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
