"""Files named by the SHA-256 of their content: pixels, previews, models, reports.

A file appears whole or not at all, is never changed, and is there before the transaction that refers to it
commits. What no row refers to any more is removed by `Blobs.collect`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO

from sqlalchemy import Exists, delete, exists, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from workbench.errors import StoreError
from workbench.store.schema import Base, Blob

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, where nothing is collected
    fcntl = None  # type: ignore[assignment]

CHUNK = 1 << 20
GRACE_SECONDS = 3600.0
LOCK = 0x626C6F6273
"""PostgreSQL's advisory lock: shared by transactions that put, held alone by one that collects."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """The content-addressed files of one data directory; safe to share between threads and processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._drafts = folder / "drafts"
        for part in (folder, self._drafts):
            part.mkdir(mode=0o700, exist_ok=True)

    def put(self, content: bytes | Path, session: Session) -> str:
        """Keep `content` (bytes, or the file of that name, which stays) and return its SHA-256.

        Content that is there already is kept once. If the caller's transaction is rolled back, the file is
        left for `collect`.

        Raises:
            OSError: it cannot be read, or the disk is full.
        """
        with BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
            draft, digest, size = self._draft(source)
        try:
            if session.get_bind().dialect.name == "postgresql":
                session.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": LOCK})
                insert = postgresql.insert(Blob)
            else:
                insert = sqlite.insert(Blob)  # type: ignore[assignment]
            now = time.time()
            session.execute(
                insert.values(sha256=digest, size=size, created=now).on_conflict_do_update(
                    index_elements=[Blob.sha256], set_={"created": now}
                )
            )
            with self.held(alone=False):
                self._settle(draft, digest)
        finally:
            draft.unlink(missing_ok=True)
        return digest

    def bring(self, source: IO[bytes], sha256: str) -> None:
        """Keep what a backup holds under that digest; `workbench.store.backup` brings the row.

        Raises:
            StoreError: the content is another.
        """
        draft, digest, _ = self._draft(source)
        try:
            if digest != sha256:
                raise StoreError(f"File {sha256[:12]} is damaged.")
            self._settle(draft, digest)
        finally:
            draft.unlink(missing_ok=True)

    def path(self, sha256: str) -> Path:
        """Where the content of that digest lies.

        Raises:
            ValueError: `sha256` is no digest.
        """
        if not _SHA256.fullmatch(sha256):
            raise ValueError("not a SHA-256")
        return self.folder / sha256[:2] / sha256[2:]

    def open(self, sha256: str) -> BinaryIO:
        """The content, for reading.

        Raises:
            StoreError: it is not there.
        """
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError as error:
            raise StoreError(
                f"File {sha256[:12]} is missing from the data directory. Restore it from a backup."
            ) from error

    def verify(self, sha256: str) -> None:
        """Read it whole and compare it with its name.

        Raises:
            StoreError: it is missing or its content is another.
        """
        with self.open(sha256) as stream:
            if _digest(stream) != sha256:
                raise StoreError(f"File {sha256[:12]} is damaged. Restore it from a backup.")

    def collect(self, session: Session, grace: float = GRACE_SECONDS, most: int = 500) -> int:
        """Remove files that no row refers to by a foreign key, and that were last put `grace` seconds ago.

        Nothing put in a transaction that is still open is removed: a writing session excludes the others on
        SQLite, an advisory lock does on PostgreSQL. Does nothing while a backup is being made.

        Returns:
            How many were removed, `most` at a time.
        """
        if fcntl is None:
            return 0
        old = time.time() - grace
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        # Takes SQLite's write lock, even if there is nothing to delete.
        session.execute(update(Blob).where(Blob.sha256 == "").values(size=0))
        with self.held(alone=True, wait=False) as held:
            if not held:
                return 0
            unused = session.scalars(
                select(Blob.sha256).where(Blob.created < old, ~or_(*_references())).limit(most)
            ).all()
            session.execute(delete(Blob).where(Blob.sha256.in_(unused)))
            # Before the commit: until then, nobody else can put the same content.
            for digest in unused:
                self.path(digest).unlink(missing_ok=True)
            return len(unused) + self._collect_strays(session, old, most - len(unused))

    @contextmanager
    def held(self, alone: bool, wait: bool = True) -> Iterator[bool]:
        """Keep files from being removed (shared), or keep others from putting (alone); False if refused."""
        if fcntl is None:
            yield True
            return
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            how = (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB)
            try:
                fcntl.flock(handle, how)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)

    def _settle(self, draft: Path, digest: str) -> None:
        """Give a draft its name, unless that is there already."""
        place = self.path(digest)
        if place.exists():
            os.utime(place)
            return
        place.parent.mkdir(mode=0o700, exist_ok=True)
        draft.rename(place)
        sync_folder(place.parent)
        sync_folder(self.folder)

    def _draft(self, source: IO[bytes]) -> tuple[Path, str, int]:
        """A whole, synced copy under a temporary name, with its SHA-256 and size in bytes."""
        draft = self._drafts / os.urandom(16).hex()
        sha = hashlib.sha256()
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as target:
                while chunk := source.read(CHUNK):
                    sha.update(chunk)
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
                size = target.tell()
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        return draft, sha.hexdigest(), size

    def _collect_strays(self, session: Session, old: float, most: int) -> int:
        """Files of transactions that were rolled back, and drafts of processes that were killed."""
        removed = 0
        for place in self.folder.glob("*/*"):
            if removed >= most:
                break
            # Whoever else tidies up may have been quicker.
            with suppress(FileNotFoundError):
                if place.parent == self._drafts:
                    # No lock guards a draft: its process may be about to use it.
                    unused = place.stat().st_mtime < min(old, time.time() - GRACE_SECONDS)
                else:
                    known = session.get(Blob, place.parent.name + place.name) is not None
                    unused = not known and place.stat().st_mtime < old
                if unused:
                    place.unlink()
                    removed += 1
        return removed


def _digest(stream: BinaryIO) -> str:
    sha = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        sha.update(chunk)
    return sha.hexdigest()


def _references() -> list[Exists]:
    """One condition for each column that refers to a blob: that some row of its table does."""
    columns = [
        key.parent
        for table in Base.metadata.sorted_tables
        for key in table.foreign_keys
        if key.column.table.name == Blob.__tablename__
    ]
    return [exists().where(column == Blob.sha256) for column in columns]


def free_bytes(folder: Path) -> int:
    """Room left on the disk that `folder` lies on."""
    return shutil.disk_usage(folder).free


def sync_folder(folder: Path) -> None:
    """A new name survives a power cut only once its folder is on disk."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
