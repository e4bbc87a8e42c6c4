"""Opening, migrating and sharing a store."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import stat
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm.exc import StaleDataError

from tests.stores import PostgresServer, a_user
from workbench.errors import StoreError
from workbench.store import migrate, settings
from workbench.store.database import Store
from workbench.store.schema import Base, Condition, Label, Setting, User
from workbench.store.sqlite import JOURNAL_BYTES


def test_the_migrations_make_exactly_the_tables(store: Store) -> None:
    with store.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == migrate.HEAD


def test_the_newest_revision_is_named_in_the_code() -> None:
    folder = Path(migrate.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_heads() == [migrate.HEAD]


def test_what_was_committed_is_there_after_opening_again(tmp_path: Path, database_url: str | None) -> None:
    first = Store.open(tmp_path / "data", database_url)
    a_user(first, "ada")
    first.close()
    again = Store.open(tmp_path / "data", database_url)
    with again.read() as session:
        assert session.scalars(select(User.name)).all() == ["ada"]
    again.close()


def test_a_session_is_undone_whole_on_an_error(store: Store) -> None:
    with contextlib.suppress(ZeroDivisionError), store.session() as session:
        session.add(User(name="ada"))
        session.flush()
        raise ZeroDivisionError
    with store.read() as session:
        assert session.scalar(select(func.count()).select_from(User)) == 0


def test_reading_cannot_write_and_does_not_see_later_commits(store: Store) -> None:
    with store.read() as session:
        assert settings.get(session, "site", "none") == "none"
        with store.session() as writing:
            settings.put(writing, "site", "north")
        assert session.scalar(select(func.count()).select_from(Setting)) == 0
        with pytest.raises(DBAPIError):
            session.execute(text("DELETE FROM settings"))
    with store.read() as session:
        assert settings.get(session, "site") == "north"
    with store.session() as session:
        settings.put(session, "site", "south")
    with store.read() as session:
        assert settings.get(session, "site") == "south"


def test_a_second_writing_session_in_one_thread_is_a_mistake_that_shows(store: Store) -> None:
    with store.session(), pytest.raises(RuntimeError, match="pass that session on"), store.session():
        pass
    a_user(store)


def test_foreign_keys_hold(store: Store) -> None:
    # pg8000 calls it a ProgrammingError.
    with pytest.raises(DBAPIError, match=r"(?i)foreign key"), store.session() as session:
        session.add(Label(scan_id="0" * 32, user_id="0" * 32, reader="R"))


def test_two_edits_of_one_revision_cannot_both_succeed(store: Store) -> None:
    owner = a_user(store)
    with store.session() as session:
        session.add(Condition(id="c" * 32, owner_id=owner, title="Cysts"))
    with store.session() as session:
        row = session.get_one(Condition, "c" * 32)
        assert row.revision == 1
        other = update(Condition.__table__).values(revision=2)
        session.execute(other)
        row.title = "Other"
        with pytest.raises(StaleDataError):
            session.flush()
        session.rollback()


def test_an_error_does_not_quote_what_people_wrote(sqlite_store: Store) -> None:
    a_user(sqlite_store, "a-name-of-somebody")
    with pytest.raises(IntegrityError) as raised:
        a_user(sqlite_store, "a-name-of-somebody")
    assert "somebody" not in str(raised.value)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_nobody_else_may_read_the_data_directory(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store.open(tmp_path / "data")
        a_user(store)
        with store.session() as session:
            store.blobs.put(b"pixels", session)
        store.spool("0" * 32)
        modes = {p: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "data").rglob("*")}
        store.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert {"workbench.sqlite3", "workbench.sqlite3-wal", "spool"} <= {p.name for p in modes}
    assert {mode & 0o077 for mode in modes.values()} == {0}


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(StoreError, match="not the workbench's"):
        Store.open(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.doc"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StoreError, match="cannot be used") as raised:
        Store.open(tmp_path / "data")
    assert str(tmp_path) not in str(raised.value)


def test_a_database_of_a_newer_version_is_refused_and_left_alone(
    tmp_path: Path, database_url: str | None
) -> None:
    store = Store.open(tmp_path / "data", database_url)
    with store.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer version"):
        Store.open(tmp_path / "data", database_url)
    with store.read() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "9999"
    store.close()


def test_the_journal_is_copied_while_nobody_commits_and_does_not_grow(sqlite_store: Store) -> None:
    journal = sqlite_store.data_dir / "workbench.sqlite3-wal"
    database = sqlite_store.data_dir / "workbench.sqlite3"
    longest = 0

    def write(number: int) -> None:
        nonlocal longest
        for turn in range(12):
            with sqlite_store.session() as session:
                settings.put(session, f"{number}-{turn}", "x" * 200_000)
            longest = max(longest, journal.stat().st_size)

    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(write, n) for n in range(4)]:
            one.result()
    # 9.6 MB were written.
    assert longest < 2 * JOURNAL_BYTES
    assert database.stat().st_size > JOURNAL_BYTES
    with sqlite_store.read() as session:
        assert session.scalar(text("PRAGMA wal_autocheckpoint")) == 0
        assert session.scalar(text("PRAGMA integrity_check")) == "ok"
        assert session.scalar(select(func.count()).select_from(Setting)) == 48


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "workbench.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="damaged"):
        Store.open(tmp_path)


def test_a_database_of_another_program_is_refused(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    store = Store.open(tmp_path / "data", url)
    with store.session() as session:
        session.execute(text("DROP TABLE alembic_version"))
    store.close()
    with pytest.raises(StoreError, match="another program"):
        Store.open(tmp_path / "data", url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u:secret@127.0.0.1:1/x", "cannot be opened"),
        ("mysql://u:secret@localhost/x", "Only PostgreSQL"),
        ("postgresql://u:secret@localhost", "Only PostgreSQL"),
        ("u:secret@localhost", "cannot be read"),
        ("postgresql://u:secret@db.example.org/x?sslmode=maybe", "sslmode"),
        ("postgresql://u:secret@db.example.org/x?sslrootcert=/none", "sslrootcert"),
    ],
)
def test_a_wrong_address_is_told_without_its_password(tmp_path: Path, url: str, told: str) -> None:
    with pytest.raises(StoreError, match=told) as raised:
        Store.open(tmp_path / "data", url)
    assert "secret" not in str(raised.value)


def test_a_server_elsewhere_must_encrypt_and_be_who_it_says(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    from workbench.store.address import _encryption

    checked = _encryption("", None, local=False)
    assert not isinstance(checked, bool)
    assert checked.check_hostname
    assert _encryption("", None, local=True) is False
    # The tests' own server offers no encryption, so asking for it must fail rather than go on without.
    url = postgres_server.url("postgres") + "?sslmode=require"
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(tmp_path / "data", url)


def test_a_spool_belongs_to_a_job(sqlite_store: Store) -> None:
    with pytest.raises(ValueError, match="not a job"):
        sqlite_store.spool("../../etc")


def _open_and_write(place: Path, url: str | None, number: int) -> str:
    store = Store.open(place, url)
    made = a_user(store, f"user{number}")
    store.close()
    return made


def test_processes_that_start_together_do_not_trip_over_each_other(
    tmp_path: Path, request: pytest.FixtureRequest, database_url: str | None
) -> None:
    if database_url is not None:
        database_url = request.getfixturevalue("postgres_server").new_database()  # without tables
    with ProcessPoolExecutor(4, multiprocessing.get_context("fork")) as pool:
        asked = [pool.submit(_open_and_write, tmp_path / "data", database_url, n) for n in range(8)]
        assert len({one.result() for one in asked}) == 8


def test_twenty_people_and_two_workers_never_find_the_database_locked(store: Store) -> None:
    """Twenty threads write and read while two more hold long transactions, as an import does."""
    start = threading.Barrier(22)

    def person(number: int) -> None:
        start.wait()
        for turn in range(8):
            a_user(store, f"person{number}-{turn}")
            with store.read() as session:
                session.scalars(select(User)).all()

    def worker(number: int) -> None:
        start.wait()
        for turn in range(6):
            with store.session() as session:
                for row in range(20):
                    session.add(User(name=f"worker{number}-{turn}-{row}"))
                    session.flush()
                    store.blobs.put(os.urandom(100), session)

    with ThreadPoolExecutor(22) as pool:
        asked = [pool.submit(person, n) for n in range(20)] + [pool.submit(worker, n) for n in range(2)]
        for one in asked:
            one.result()
    with store.read() as session:
        assert session.scalar(select(func.count()).select_from(User)) == 20 * 8 + 2 * 6 * 20
