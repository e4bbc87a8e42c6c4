"""Opens the data directory and its database, and gives out sessions.

Whatever `Store.session` committed is on disk: SQLite runs in WAL mode with ``synchronous=FULL``, PostgreSQL
with its own ``synchronous_commit``. A process killed at any point loses nothing that was acknowledged.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_data_path
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from workbench.errors import StoreError
from workbench.store import audit, migrate
from workbench.store.address import postgres_engine
from workbench.store.blobs import Blobs
from workbench.store.sqlite import Checkpoint, sqlite_engine

DATABASE_FILE, UNFINISHED = "workbench.sqlite3", "restoring"
OURS = frozenset({DATABASE_FILE, UNFINISHED, "blobs", "spool", "secret.key", "signing.key"})
"""What a data directory may be known by."""
_NAME = re.compile(r"[0-9a-f]{32}")


def default_data_dir() -> Path:
    """``WORKBENCH_HOME``, or the user's own data folder."""
    named = os.environ.get("WORKBENCH_HOME")
    return Path(named) if named else user_data_path("fewshot-workbench") / "workbench"


class Store:
    """Database, content-addressed files and spool of one data directory; safe to share between threads.

    Attributes:
        data_dir: readable by its owner only (0700).
        blobs: pixels and models by their SHA-256.
        dialect: ``sqlite`` or ``postgresql``.
    """

    def __init__(self, data_dir: Path, engine: Engine) -> None:
        self.data_dir = data_dir
        self.blobs = Blobs(data_dir / "blobs")
        self.dialect = engine.dialect.name
        self._engine = engine
        self._writers: set[int] = set()
        self._checkpoint = Checkpoint(engine, data_dir / f"{DATABASE_FILE}-wal")
        self._writing = sessionmaker(engine, expire_on_commit=False)
        self._reading = sessionmaker(engine.execution_options(reading=True), expire_on_commit=False)
        audit.append_at_commit(self._writing)

    @classmethod
    def open(cls, data_dir: Path, url: str | None = None) -> Store:
        """The store in `data_dir`, made or brought up to this version's tables as needed.

        Any number of processes may do so at once.

        Args:
            data_dir: made with mode 0700 where it is missing.
            url: of a PostgreSQL database (``postgresql://user:password@host/name``); None or empty for
                SQLite in the data directory.

        Raises:
            StoreError: the folder holds something else or cannot be used, the database cannot be reached, is
                damaged, or was written by a newer version of the workbench. Nothing was changed then.
        """
        prepare_folder(data_dir)
        if (data_dir / UNFINISHED).exists():
            raise StoreError(
                "The data directory holds a restore that was interrupted. Empty it and restore again."
            )
        engine = engine_of(data_dir, url)
        try:
            migrate.to_revision(engine)
        except (DBAPIError, sqlite3.Error) as error:
            engine.dispose()
            raise opening_error(error, bool(url)) from error
        except BaseException:
            engine.dispose()
            raise
        return cls(data_dir, engine)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction that may write: committed at the end, rolled back whole on any exception.

        Takes the database's write lock at its first statement (SQLite), so keep it short: compute first.

        Raises:
            RuntimeError: this thread writes already; pass that session on instead.
        """
        thread = threading.get_ident()
        if thread in self._writers:
            raise RuntimeError("this thread is in a writing session already; pass that session on")
        self._writers.add(thread)
        try:
            with self._writing.begin() as session:
                yield session
        finally:
            self._writers.discard(thread)
        if self.dialect == "sqlite":
            self._checkpoint.if_due()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent view of the database that waits for nobody and cannot write."""
        with self._reading() as session:
            yield session

    def now(self, session: Session) -> float:
        """UTC seconds since 1970 on the one clock that all workers share: the database's."""
        if self.dialect == "sqlite":
            return time.time()
        return float(session.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)

    def spool(self, job_id: str) -> Path:
        """Folder (0700) for the raw files of an import job, made where it is missing."""
        if not _NAME.fullmatch(job_id):
            raise ValueError("not a job identifier")
        folder = self.data_dir / "spool" / job_id
        for part in (folder.parent, folder):
            part.mkdir(mode=0o700, exist_ok=True)
        return folder

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()


def prepare_folder(data_dir: Path) -> None:
    """Make the data directory, or close it to others; refuses a folder that holds something else."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        inside = {entry.name for entry in data_dir.iterdir()}
        if inside and not inside & OURS:
            raise StoreError(
                "The data directory holds files that are not the workbench's. Name a new or empty folder."
            )
        data_dir.chmod(0o700)
    except OSError as error:
        raise StoreError(
            f"The data directory cannot be used: {error.strerror}. Name a folder you may write to."
        ) from error


def engine_of(data_dir: Path, url: str | None) -> Engine:
    """The database of a data directory, as `Store.open` takes it; nothing is read yet.

    Raises:
        StoreError: the URL cannot be used.
    """
    return postgres_engine(url) if url else sqlite_engine(data_dir / DATABASE_FILE)


def opening_error(error: Exception, remote: bool) -> StoreError:
    """What a person is told when the database (SQLite, or a `remote` one) does not open."""
    if remote:
        return StoreError(
            f"The database cannot be opened ({type(error).__name__}). Check that it runs, its address, name "
            "and password."
        )
    if "not a database" in str(error) or "malformed" in str(error):
        return StoreError(
            f"{DATABASE_FILE} is damaged or no database. Restore a backup into an empty folder."
        )
    return StoreError(f"{DATABASE_FILE} cannot be opened. Check the folder's permissions and free space.")
