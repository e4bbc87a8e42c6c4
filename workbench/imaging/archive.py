"""Unpacking a zip somebody uploaded.

Nothing in it is trusted: a worker writes the entries under names of our own into a private folder, counted
and capped while they inflate. Called by `read`.
"""

from __future__ import annotations

import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from workbench.errors import ScanRefused
from workbench.imaging.dicomfile import refusing
from workbench.imaging.limits import LIMITS, MIB, check_file_size
from workbench.imaging.workers import call, run

_NESTED = (b"PK\x03\x04", b"Rar!", b"7z\xbc\xaf")
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out of an archive.

    Attributes:
        files: each written file and the base name of its entry, in the archive's order.
        refused: entries that were left out.
        folders: of each written file's entry, slashes between folders; empty for none.
    """

    files: tuple[tuple[Path, str], ...]
    refused: tuple[ScanRefused, ...]
    folders: tuple[str, ...] = ()


@contextmanager
def unpacked(path: Path, source: str) -> Iterator[Unpacked]:
    """Unpack into a temporary folder that only this user may enter and that is removed afterwards.

    Encrypted entries and archives within the archive are left out and reported; an entry that tries to
    escape (absolute, ``..``, link) or a bomb condemns the whole archive.

    Raises:
        ScanRefused: the archive is damaged, hostile or past the budget.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-zip-") as folder:
        with refusing(source):
            size = path.stat().st_size
        yield run(call(_unpack, source, size, path, source, Path(folder)))


def _unpack(path: Path, source: str, folder: Path) -> Unpacked:
    files: list[tuple[Path, str]] = []
    refused: list[ScanRefused] = []
    folders: list[str] = []
    try:
        check_file_size(source, path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check(entries, source, path.stat().st_size)
            written = 0
            for index, entry in enumerate(entries):
                place = PurePosixPath(entry.filename.replace("\\", "/"))
                name = place.name
                if is_clutter(name) or entry.filename.startswith("__MACOSX/"):
                    continue
                if entry.flag_bits & 0x1:
                    refused.append(
                        ScanRefused(name, "It is encrypted inside the zip.", "Zip it without a password.")
                    )
                    continue
                target = folder / f"{index:06d}"
                written += _write(archive, entry, target, source, LIMITS.archive_bytes - written)
                with target.open("rb") as stream:
                    head = stream.read(4)
                if head in _NESTED or head.startswith(_NESTED):
                    target.unlink()
                    refused.append(
                        ScanRefused(name, "It is an archive inside the zip.", "Give it on its own.")
                    )
                    continue
                files.append((target, name))
                folders.append("" if place.parent == PurePosixPath(".") else place.parent.as_posix())
    except ScanRefused:
        raise
    except NotImplementedError as error:
        raise ScanRefused(
            source, "The zip is packed in a way that is not read.", "Zip the scans again, the plain way."
        ) from error
    except Exception as error:
        raise ScanRefused(
            source, f"The zip is damaged ({type(error).__name__}).", "Zip or download it again."
        ) from error
    return Unpacked(tuple(files), tuple(refused), tuple(folders))


def is_clutter(name: str) -> bool:
    """Files that operating systems leave behind and nobody misses."""
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


def _check(entries: list[zipfile.ZipInfo], source: str, size: int) -> None:
    if len(entries) > LIMITS.archive_entries:
        raise ScanRefused(
            source, f"The zip has more than {LIMITS.archive_entries:,} entries.", "Split it into several."
        )
    for entry in entries:
        raw = entry.filename.replace("\\", "/")
        kind = stat.S_IFMT(entry.external_attr >> 16)
        escapes = raw.startswith("/") or ".." in raw.split("/") or raw[1:2] == ":"
        if escapes or kind not in (0, stat.S_IFREG):
            raise ScanRefused(
                source,
                "An entry of the zip points outside of it.",
                "Do not trust this file; zip the scans yourself.",
            )
    if _overlap(entries):
        raise ScanRefused(
            source,
            "Entries of the zip share the same bytes, as only a bomb's do.",
            "Do not trust this file; zip the scans yourself.",
        )
    total = sum(entry.file_size for entry in entries)
    if total > LIMITS.archive_bytes:
        raise _too_large(source)
    if total > max(LIMITS.free_inflation, LIMITS.inflation * size):
        raise ScanRefused(
            source,
            f"The zip would inflate more than {LIMITS.inflation:g} times.",
            "Zip fewer scans, or give them unzipped.",
        )


def _overlap(entries: list[zipfile.ZipInfo]) -> bool:
    """Whether an entry's packed bytes reach into the next one's (APPNOTE 4.3.7: header of 30 bytes, name)."""
    placed = sorted(
        (entry.header_offset, entry.header_offset + 30 + len(entry.orig_filename) + entry.compress_size)
        for entry in entries
    )
    return any(end > start for (_, end), (start, _) in pairwise(placed))


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, source: str, room: int) -> int:
    """Inflate one entry, believing neither its declared size nor the archive's."""
    written = 0
    with archive.open(entry) as packed, target.open("xb") as plain:
        while chunk := packed.read(_CHUNK):
            written += len(chunk)
            if written > min(room, entry.file_size):
                raise _too_large(source)
            plain.write(chunk)
    return written


def _too_large(source: str) -> ScanRefused:
    return ScanRefused(
        source,
        f"The zip inflates to more than it says or than {LIMITS.archive_bytes / MIB:,.0f} MiB.",
        "Split it into several.",
    )
