"""A consistent copy of everything, taken while people work, which `workbench.store.restore` makes a store of.

Rows are written as JSON, so that a backup of SQLite restores to PostgreSQL and the other way round, at the
revision they had; later revisions are applied after that. Not in it: who is signed in, raw uploads that were
not imported yet, and the key of patients' pseudonyms, which lies outside the data directory.
"""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from workbench.errors import StoreError
from workbench.store import archive, audit, migrate, settings
from workbench.store.archive import Manifest, Member
from workbench.store.blobs import CHUNK, sync_folder
from workbench.store.database import Store
from workbench.store.schema import Base, Blob, FailedSignIn, SignIn

NOT_KEPT = frozenset({SignIn.__tablename__, FailedSignIn.__tablename__})
KEYS = ("signing.key", "secret.key")
"""Of the data directory: without them, nobody can tell that what comes after is by the same site."""
ROWS = 500
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds.

    Attributes:
        rows: of all tables.
        blobs: files.
        audit: the head of the audit trail; noted elsewhere, it shows later whether the trail was cut.
        lacking: digests of files that were missing or damaged already.
    """

    rows: int
    blobs: int
    audit: str
    lacking: tuple[str, ...]


def backup(store: Store, file: Path, progress: Progress = lambda done, total: None) -> BackedUp:
    """Write everything to `file` (0600), which appears whole or not at all.

    Args:
        store: may be in use; what is committed later is not in the backup.
        file: must not exist.
        progress: called with files done and in all.

    Raises:
        StoreError: `file` exists.
        OSError: it cannot be written.
    """
    if file.exists():
        raise StoreError(f"{file.name} exists already. Name a new file.")
    draft = file.with_name(f".{file.name}.{os.urandom(4).hex()}.part")
    handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w+b") as target:
            # Files are kept from being collected from before the rows are read until they are copied.
            with zipfile.ZipFile(target, "w") as zipped, store.blobs.held(alone=False):
                made = _write(store, zipped, progress)
            target.flush()
            os.fsync(target.fileno())
        os.link(draft, file)  # refuses where somebody else was quicker
        sync_folder(file.parent)
    finally:
        draft.unlink(missing_ok=True)
    with store.session() as session:
        audit.record(session, "system", "store.backup", detail={"rows": made.rows, "blobs": made.blobs})
    return made


def _write(store: Store, zipped: zipfile.ZipFile, progress: Progress) -> BackedUp:
    members: list[Member] = []
    rows = [0]
    with store.read() as session:
        for table in Base.metadata.sorted_tables:
            if table.name not in NOT_KEPT:
                source = _rows(session, table, rows)
                members.append(archive.add(zipped, f"tables/{table.name}.jsonl", source, squeeze=True))
        digests = session.scalars(select(Blob.sha256).order_by(Blob.sha256)).all()
        head = settings.get(session, audit.HEAD, f"0:{audit.FIRST}")
    lacking = []
    for number, digest in enumerate(digests, start=1):
        try:
            # Read twice, so that no damaged file gets into the archive under a good one's name.
            store.blobs.verify(digest)
            source = _chunks(store.blobs.path(digest))
            members.append(archive.add(zipped, f"blobs/{digest}", source, squeeze=False))
        except StoreError:
            lacking.append(digest)
        progress(number, len(digests))
    for name in KEYS:
        if (store.data_dir / name).is_file():
            source = _chunks(store.data_dir / name)
            members.append(archive.add(zipped, f"keys/{name}", source, squeeze=False))
    archive.add_manifest(zipped, Manifest(migrate.HEAD, time.time(), head, tuple(members), tuple(lacking)))
    return BackedUp(rows[0], len(digests) - len(lacking), head, tuple(lacking))


def _rows(session: Session, table: Table, count: list[int]) -> Iterator[bytes]:
    found = session.execute(select(table).order_by(*table.primary_key).execution_options(yield_per=ROWS))
    for row in found:
        count[0] += 1
        yield json.dumps(dict(row._mapping), ensure_ascii=False).encode() + b"\n"


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(CHUNK):
            yield chunk
