"""Opens SQLite so that what is committed is on disk, and writers take turns instead of failing."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from workbench.errors import StoreError

JOURNAL_BYTES = 1 << 22
"""SQLite's journal is copied into the database once it is that long."""
WAIT_SECONDS = 60
"""How long a writer waits for the others before it gives up."""


def sqlite_engine(file: Path) -> Engine:
    """An engine for the database in `file`, which is made (0600) where it is missing.

    Connections with the execution option ``reading`` see one moment and cannot write; the others take the
    write lock as they begin.
    """
    # The journal files take their mode from the database file, so it is made before SQLite sees it. One that
    # is there is not opened: closing it would drop all locks that other connections of this process hold on
    # it (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    file.chmod(0o600)
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(file)),
        connect_args={"timeout": WAIT_SECONDS, "isolation_level": None, "check_same_thread": False},
        hide_parameters=True,  # of errors: they hold what people wrote
        pool_size=8,
        max_overflow=40,
        pool_timeout=WAIT_SECONDS,
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        _journal(cursor)
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        # What is deleted is overwritten, not left in free pages.
        cursor.execute("PRAGMA secure_delete=ON")
        # `Checkpoint` does it.
        cursor.execute("PRAGMA wal_autocheckpoint=0")
        cursor.execute(f"PRAGMA journal_size_limit={JOURNAL_BYTES // 4}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = bool(connection.get_execution_options().get("reading"))
        connection.exec_driver_sql(f"PRAGMA query_only={'ON' if reading else 'OFF'}")
        # A transaction that reads first and writes later may fail at once when another wrote in between;
        # one that takes the write lock at its start waits its turn.
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _journal(cursor: DBAPICursor) -> None:
    """Set WAL mode; while another process does the same, SQLite refuses instead of waiting."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            row = cursor.fetchone()
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)
    if row is None or row[0] != "wal":
        raise StoreError(
            "The data directory lies on a file system without the shared memory that SQLite's WAL mode needs "
            "(a network share?). Name a folder on a local disk, or use PostgreSQL."
        )


class Checkpoint:
    """Copies SQLite's journal into the database where it has grown long, while nobody commits.

    SQLite does that by itself after any commit; before version 3.51.3 it may damage the database when another
    commit falls within (https://www.sqlite.org/wal.html#walresetbug). A write lock of a second connection
    rules that out.
    """

    def __init__(self, engine: Engine, journal: Path) -> None:
        self._engine = engine
        self._journal = journal
        self._turn = threading.Lock()

    def if_due(self) -> None:
        """Do it, unless another thread is at it; where it does not work, the next commit tries again."""
        with suppress(DBAPIError, sqlite3.Error, FileNotFoundError):
            if self._journal.stat().st_size < JOURNAL_BYTES or not self._turn.acquire(blocking=False):
                return
            try:
                with self._engine.begin():  # BEGIN IMMEDIATE
                    connection = self._engine.raw_connection()
                    try:
                        connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)")
                    finally:
                        connection.close()
            finally:
                self._turn.release()
