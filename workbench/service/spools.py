"""Raw uploads of one import, between the browser and the import job: a private folder that does not last.

    spool/<job>/import.json      who imports what
               /total            bytes taken so far
               /names.jsonl      what the uploader calls each file, one line for each
               /files/<folder>/  the files; one folder for each they were in, so that a series stays together
               /names.json       after the import: names of refused files and copies

File names may identify a patient. They lie in this folder and nowhere else, readable by the workbench's own
user only, are shown to the uploader only, and go with the folder: when the uploader dismisses the import, or
with retention. The files themselves go as soon as they are imported.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from workbench.errors import NotFound, QuotaExceeded, ScanRefused
from workbench.service.serial import dumped, loaded
from workbench.store.database import Store

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: one upload at a time there
    fcntl = None  # type: ignore[assignment]

_CHUNK = 1 << 20
_LONGEST_NAME = 150
_JOB = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class About:
    """Who imports what; `role` as of a scan."""

    user_id: str
    condition_id: str
    role: str


@dataclass(frozen=True, slots=True)
class SpooledFile:
    """An uploaded file.

    Attributes:
        path: on disk; its last part is the file's own name, as readers of pairs of files need it.
        name: path below what was dropped, as the uploader knows it.
    """

    path: Path
    name: str

    @property
    def folder(self) -> PurePosixPath:
        """Folder it was in."""
        return PurePosixPath(self.name).parent


@dataclass(frozen=True, slots=True)
class Kept:
    """Names for the uploader's own screen after the import, in the order of the outcome's lists."""

    refused: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


class Spool:
    """The folder of one import.

    Args:
        store: whose.
        job_id: reserved by `workbench.service.imports.begin`.

    Raises:
        NotFound: no import was begun under this identifier, or it is gone.
    """

    def __init__(self, store: Store, job_id: str) -> None:
        if not _JOB.fullmatch(job_id) or not (store.data_dir / "spool" / job_id / "import.json").is_file():
            raise NotFound("There is no such import, or it is not yours. Drop the files again.")
        self.folder = store.spool(job_id)
        self.about = loaded(About, json.loads((self.folder / "import.json").read_text(encoding="utf-8")))

    @staticmethod
    def begin(store: Store, job_id: str, about: About) -> Spool:
        """A new, empty one."""
        folder = store.spool(job_id)
        (folder / "files").mkdir(mode=0o700, exist_ok=True)
        _write(folder / "import.json", json.dumps(dumped(about)))
        return Spool(store, job_id)

    @property
    def bytes(self) -> int:
        """Bytes taken so far."""
        try:
            return int((self.folder / "total").read_text())
        except (OSError, ValueError):
            return 0

    def take(self, name: str, source: Path | BinaryIO, room: int, largest: int) -> int:
        """Keep a file that was uploaded; the same file sent again is kept once.

        Args:
            name: path below what was dropped, slashes between folders.
            source: a file, or a stream of its bytes.
            room: bytes this import may still take.
            largest: bytes of a single file.

        Returns:
            Its size in bytes.

        Raises:
            QuotaExceeded: it passes either; nothing of it is kept.
            ScanRefused: the name is none.
        """
        clean = clean_name(name)
        draft = self.folder / f"draft-{secrets.token_hex(8)}"
        try:
            size = _copied(source, draft, room, largest)
            with self._locked():
                self._place(draft, clean, size)
        finally:
            draft.unlink(missing_ok=True)
        return size

    def files(self) -> tuple[SpooledFile, ...]:
        """Everything taken, in the order of the names."""
        listed: dict[str, str] = {}
        try:
            for line in (self.folder / "names.jsonl").read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                listed[entry["at"]] = entry["name"]
        except FileNotFoundError:
            return ()
        found = [SpooledFile(self.folder / "files" / at, name) for at, name in listed.items()]
        return tuple(one for one in found if one.path.is_file())

    def keep_names(self, kept: Kept) -> None:
        """What to call what was left out, for the uploader's screen."""
        _write(self.folder / "names.json", json.dumps(dumped(kept)))

    def kept_names(self) -> Kept:
        """What `keep_names` kept; nothing where it is gone."""
        try:
            return loaded(Kept, json.loads((self.folder / "names.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return Kept()

    def clear(self) -> None:
        """Remove the raw files; what they are called stays."""
        shutil.rmtree(self.folder / "files", ignore_errors=True)
        (self.folder / "names.jsonl").unlink(missing_ok=True)

    def _place(self, draft: Path, name: str, size: int) -> None:
        parent, base = PurePosixPath(name).parent, PurePosixPath(name).name
        for turn in range(1000):
            folder = hashlib.sha256(f"{parent} {turn}".encode()).hexdigest()[:16]
            target = self.folder / "files" / folder / base
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not target.exists():
                _sync(draft)
                draft.rename(target)
                line = json.dumps({"at": f"{folder}/{base}", "name": name})
                _append(self.folder / "names.jsonl", line)
                _write(self.folder / "total", str(self.bytes + size))
                return
            if filecmp.cmp(draft, target, shallow=False):
                return  # sent twice, after a connection broke
        raise ScanRefused(base, "Too many different files have this name.", "Give them names of their own.")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def remove(store: Store, job_id: str) -> None:
    """Remove an import's folder with everything in it."""
    if _JOB.fullmatch(job_id):
        shutil.rmtree(store.data_dir / "spool" / job_id, ignore_errors=True)


def clean_name(name: str) -> str:
    """A name as a path below what was dropped: no way up, no control characters, each part of bounded length.

    Raises:
        ScanRefused: nothing is left of it.
    """
    printable = "".join(c if c.isprintable() else "_" for c in name.replace("\\", "/"))
    parts = [part for part in printable.split("/") if part not in ("", ".", "..")]
    if not parts:
        raise ScanRefused("a file", "It has no name.", "Give it one.")
    return "/".join(_shortened(part) for part in parts)


def _shortened(part: str) -> str:
    """At most `_LONGEST_NAME` bytes, its suffix kept; whatever is not UTF-8 is replaced."""
    raw = part.encode("utf-8", "replace")
    if len(raw) <= _LONGEST_NAME:
        return raw.decode()
    stem, dot, suffix = part.rpartition(".")
    tail = f"{dot}{suffix}" if dot and len(suffix) <= 10 else ""
    head = (stem if tail else part).encode("utf-8", "replace")[: _LONGEST_NAME - len(tail.encode())]
    return head.decode("utf-8", "ignore") + tail


def folders(files: Sequence[SpooledFile]) -> tuple[tuple[SpooledFile, ...], ...]:
    """Files that are to be read together: those that lie in one folder."""
    together: dict[tuple[Path, PurePosixPath], list[SpooledFile]] = {}
    for one in files:
        together.setdefault((one.path.parent, one.folder), []).append(one)
    return tuple(tuple(mine) for mine in together.values())


def _copied(source: Path | BinaryIO, draft: Path, room: int, largest: int) -> int:
    size = 0
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    stream = source.open("rb") if isinstance(source, Path) else source
    try:
        with os.fdopen(handle, "wb") as target:
            while chunk := stream.read(_CHUNK):
                size += len(chunk)
                if size > largest:
                    raise QuotaExceeded(
                        f"A file is larger than {largest / 2**20:,.0f} MiB. Give a smaller part of it."
                    )
                if size > room:
                    raise QuotaExceeded(
                        "There is no room for these files. Remove scans or conditions that are no longer "
                        "needed, or ask an administrator for more."
                    )
                target.write(chunk)
    finally:
        if isinstance(source, Path):
            stream.close()
    return size


def _sync(path: Path) -> None:
    """What is acknowledged survives a power cut."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _append(path: Path, line: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(line + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
