"""Makes a store of a backup: in an empty place, for either database, all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Connection, Integer, MetaData, Table, insert, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from workbench.errors import StoreError
from workbench.store import archive, audit, migrate
from workbench.store.archive import Manifest
from workbench.store.backup import ROWS, BackedUp, Progress
from workbench.store.blobs import Blobs, free_bytes, sync_folder
from workbench.store.database import UNFINISHED, Store, engine_of, opening_error, prepare_folder


def restore(
    file: Path, data_dir: Path, url: str | None = None, progress: Progress = lambda done, total: None
) -> BackedUp:
    """Make a store of a backup, in an empty place; all of it or nothing.

    Jobs that ran when the backup was made wait again. People sign in again.

    Args:
        file: written by `backup`.
        data_dir: empty, or made.
        url: of an empty PostgreSQL database, or None for SQLite; which of them was backed up is no matter.
        progress: called with files done and in all.

    Raises:
        StoreError: the place is not empty, or the backup is damaged, hostile or of a newer version.
    """
    prepare_folder(data_dir)
    if any(data_dir.iterdir()):
        raise StoreError("The data directory is not empty. Name a new folder; nothing was changed.")
    marker = data_dir / UNFINISHED
    marker.touch(mode=0o600)
    try:
        with archive.opened(file) as (zipped, manifest):
            _check_room(data_dir, manifest)
            made = _bring_files(data_dir, zipped, manifest, progress)
            rows = _bring_rows(data_dir, url, zipped, manifest)
    except BaseException:
        _empty(data_dir)
        raise
    marker.unlink()
    sync_folder(data_dir)
    store = Store.open(data_dir, url)
    with store.session() as session:
        audit.record(session, "system", "store.restore", detail={"rows": rows, "blobs": made})
    store.close()
    return BackedUp(rows, made, manifest.audit, manifest.lacking)


def _check_room(data_dir: Path, manifest: Manifest) -> None:
    needed = sum(member.size for member in manifest.members)
    free = free_bytes(data_dir)
    if needed * 1.1 > free:
        raise StoreError(
            f"The backup takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. Name a folder on a "
            "larger disk."
        )


def _bring_files(data_dir: Path, zipped: zipfile.ZipFile, manifest: Manifest, progress: Progress) -> int:
    blobs = Blobs(data_dir / "blobs")
    files = [member for member in manifest.members if member.name.startswith("blobs/")]
    for number, member in enumerate(files, start=1):
        digest = member.name.removeprefix("blobs/")
        with archive.stream(zipped, member) as content:
            blobs.bring(content, digest)
        progress(number, len(files))
    for member in manifest.members:
        if member.name.startswith("keys/"):
            place = data_dir / member.name.removeprefix("keys/")
            handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as target:
                target.write(archive.read(zipped, member))
                target.flush()
                os.fsync(target.fileno())
    return len(files)


def _bring_rows(data_dir: Path, url: str | None, zipped: zipfile.ZipFile, manifest: Manifest) -> int:
    engine = engine_of(data_dir, url)
    try:
        with migrate.alone(engine) as connection:
            if migrate.current(connection) is not None:
                raise StoreError("The database holds a workbench already. Name an empty database.")
            migrate.upgrade(connection, manifest.revision)
            rows = _load(connection, zipped, manifest)
            migrate.upgrade(connection, migrate.HEAD)
    except (DBAPIError, sqlite3.Error) as error:
        raise opening_error(error, bool(url)) from error
    finally:
        engine.dispose()
    return rows


def _load(connection: Connection, zipped: zipfile.ZipFile, manifest: Manifest) -> int:
    """Fill the tables, which are those of the backup's own revision: hence read from the database."""
    tables = MetaData()
    tables.reflect(connection)
    kept = {member.name: member for member in manifest.members}
    count = 0
    for table in tables.sorted_tables:
        member = kept.pop(f"tables/{table.name}.jsonl", None)
        if member is not None:
            count += _load_table(connection, table, archive.lines(zipped, member))
    if any(name.startswith("tables/") for name in kept):
        raise StoreError("The backup holds tables that its revision does not have. Nothing was restored.")
    jobs = tables.tables["jobs"]
    again = {"state": "queued", "worker": "", "lease": "", "leased_until": 0.0}
    connection.execute(update(jobs).where(jobs.c.state == "running").values(again))
    return count


def _load_table(connection: Connection, table: Table, lines: Iterator[bytes]) -> int:
    names = {column.name for column in table.columns}
    for column in table.columns:
        if isinstance(column.type, JSON):
            column.type = JSON(none_as_null=True)
    # A row may refer to a later one of its own table, so these come when all are there.
    own = {k.parent.name for k in table.foreign_keys if k.column.table is table}
    later: list[dict[str, Any]] = []
    batch: list[dict[str, Any]] = []
    count = 0
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise StoreError(
                f"The backup's table {table.name} cannot be read. Nothing was restored."
            ) from error
        if not isinstance(row, dict) or set(row) != names:
            raise StoreError(f"The backup's table {table.name} has other columns. Nothing was restored.")
        if any(row[name] is not None for name in own):
            later.append(row)
            row = row | dict.fromkeys(own)
        batch.append(row)
        count += 1
        if len(batch) == ROWS:
            _insert(connection, table, batch)
            batch = []
    if batch:
        _insert(connection, table, batch)
    keys = list(table.primary_key)
    for row in later:
        matches = [key == row[key.name] for key in keys]
        connection.execute(update(table).where(*matches).values({name: row[name] for name in own}))
    if connection.dialect.name == "postgresql" and len(keys) == 1 and isinstance(keys[0].type, Integer):
        _count_on(connection, table.name, keys[0].name)
    return count


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    try:
        connection.execute(insert(table), rows)
    except (SQLAlchemyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StoreError(
            f"The backup's table {table.name} does not fit the database. Nothing was restored."
        ) from error


def _count_on(connection: Connection, table: str, column: str) -> None:
    """New rows are numbered on from the last one (PostgreSQL's sequences know nothing of rows brought in)."""
    names = {"table": table, "column": column}
    sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), names)
    last = connection.scalar(text(f'SELECT max("{column}") FROM "{table}"'))  # noqa: S608 - names of ours
    if sequence is not None and last is not None:
        connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})


def _empty(data_dir: Path) -> None:
    for entry in data_dir.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
