"""A PostgreSQL of the tests' own, and stores to test with on it and on SQLite."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from workbench.store import migrate
from workbench.store.address import postgres_engine
from workbench.store.database import Store
from workbench.store.schema import User

TEMPLATE = "template_of_tests"


@dataclass(frozen=True)
class PostgresServer:
    """A server that listens on 127.0.0.1 only, with a password; its databases go with it."""

    port: int
    password: str

    def url(self, name: str) -> str:
        return f"postgresql://workbench:{self.password}@127.0.0.1:{self.port}/{name}"

    def run(self, statement: str) -> None:
        engine = create_engine(
            self.url("postgres").replace("postgresql", "postgresql+pg8000", 1), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def new_database(self, template: str = "template0") -> str:
        """The URL of an empty database, or of a copy of another."""
        name = f"test_{secrets.token_hex(8)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
        return self.url(name)


def binaries() -> Path | None:
    """Folder of PostgreSQL's programs, the newest where there are several."""
    named = shutil.which("initdb")
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    found = Path(named).resolve() if named else (packaged[-1] if packaged else None)
    return None if found is None else found.parent


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with tempfile.TemporaryDirectory(prefix="workbench-postgres-", ignore_cleanup_errors=True) as place:
        yield from _serve(programs, Path(place))


def _serve(programs: Path, place: Path) -> Iterator[PostgresServer]:
    # PostgreSQL refuses to run as root.
    user = _unprivileged() if os.geteuid() == 0 else None
    password, port = secrets.token_hex(12), _free_port()
    secret = place / "password"
    secret.write_text(password)
    if user is not None:
        for owned in (place, secret):
            os.chown(owned, user.pw_uid, user.pw_gid)

    def start(*command: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=place,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=(place / "log").open("ab"),
            stderr=subprocess.STDOUT,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
        )

    data = place / "data"
    made = start(
        *(programs / "initdb", "--pgdata", data, "--username=workbench", "--pwfile", secret),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--no-instructions"),
    )
    assert made.wait() == 0, (place / "log").read_text()
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": 60,
        "shared_buffers": "32MB",
        # The tests kill clients, never the server or the machine.
        "fsync": "off",
    }
    server = start(
        programs / "postgres", "-D", data, *(part for k, v in options.items() for part in ("-c", f"{k}={v}"))
    )
    try:
        yield _ready(PostgresServer(port, password), server, place / "log")
    finally:
        server.send_signal(signal.SIGINT)  # "fast": ends its clients
        server.wait(30)


def _ready(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> PostgresServer:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            server.run(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0 ENCODING 'UTF8'")
            break
        except DBAPIError:
            time.sleep(0.1)
    engine = postgres_engine(server.url(TEMPLATE))
    migrate.to_revision(engine)
    engine.dispose()
    return server


def _unprivileged() -> pwd.struct_passwd:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """A new store on SQLite."""
    store = Store.open(tmp_path / "data")
    yield store
    store.close()


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str | None:
    """None for SQLite, or the URL of a new PostgreSQL database: parametrise it indirectly, or use `store`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database(TEMPLATE)


@pytest.fixture
def store(tmp_path: Path, database_url: str | None) -> Iterator[Store]:
    """A new store on the database that `database_url` names."""
    opened = Store.open(tmp_path / "data", database_url)
    yield opened
    opened.close()


def a_user(store: Store, name: str = "ada") -> str:
    """Somebody to own things; returns the identifier."""
    with store.session() as session:
        user = User(name=name, display=name.title())
        session.add(user)
        session.flush()
        return user.id
