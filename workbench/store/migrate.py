"""Brings a database's tables to this version's, one process at a time and in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from workbench.errors import StoreError

HEAD = "0001"
"""The newest revision in `migrations/versions`."""
LOCK = 0x776F726B62656E63
"""PostgreSQL's advisory lock of whoever migrates."""


def to_revision(engine: Engine, revision: str = HEAD) -> None:
    """Upgrade to `revision`; does nothing where the database is there already.

    Raises:
        StoreError: a newer version of the workbench wrote the database, or it holds other tables.
    """
    with alone(engine) as connection:
        upgrade(connection, revision)


@contextmanager
def alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that nobody else migrates during, in which foreign keys may be broken for a while.

    Raises:
        StoreError: they are broken at its end (SQLite; PostgreSQL checks each statement); it is undone.
    """
    with engine.connect() as connection:
        sqlite = engine.dialect.name == "sqlite"
        if sqlite:
            # Tables are rebuilt by copy and drop, which must not cascade into those that refer to them.
            # The setting has no effect within a transaction, which SQLAlchemy would begin.
            cursor = connection.connection.cursor()
            cursor.execute("PRAGMA foreign_keys=OFF")
            cursor.close()
        try:
            with connection.begin():
                if not sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
                before = current(connection)
                yield connection
                if sqlite and (before is None or before != current(connection)):
                    _check_references(connection)
        finally:
            # Its settings are not for anybody else.
            connection.invalidate()


def current(connection: Connection) -> str | None:
    """The revision of the tables that are there; None where there are none."""
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        if tables:
            raise StoreError("The database holds tables of another program. Name an empty database.")
        return None
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def upgrade(connection: Connection, revision: str) -> None:
    """Upgrade to `revision` within a transaction of `alone`.

    Raises:
        StoreError: a newer version of the workbench wrote the database, or `revision` is a newer version's.
    """
    before = current(connection)
    if before == revision:
        return
    config = Config()
    config.set_main_option("script_location", "workbench.store:migrations")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision not in known or (before is not None and before not in known):
        raise StoreError(
            "A newer version of the workbench wrote this; nothing was changed. Install that version, or open "
            "another data directory."
        )
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _check_references(connection: Connection) -> None:
    if connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise StoreError("The database would hold rows that refer to missing ones; nothing was changed.")
