"""Connects to PostgreSQL by URL, encrypted unless it is on this machine."""

from __future__ import annotations

import ipaddress
import ssl
from importlib.util import find_spec

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from workbench.errors import StoreError

FORM = "postgresql://user:password@host:5432/name"


def postgres_engine(url: str) -> Engine:
    """An engine for `url`; no connection is made yet.

    ``?sslmode=`` takes ``disable``, ``require`` (encrypted, the server is not verified) and ``verify-full``;
    ``?sslrootcert=`` names a file of trusted authorities; ``?unix_sock=`` a socket file. Without `sslmode`, a
    server elsewhere has to be verified, and one on this machine is not asked to encrypt.

    Raises:
        StoreError: the URL is no such address, or the driver is not installed. The URL is not quoted: it
            may hold a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError(f"The database's URL cannot be read. Write it as {FORM}.") from error
    if parsed.get_backend_name() not in ("postgresql", "postgres") or not parsed.database:
        raise StoreError(f"Only PostgreSQL is reached by URL. Write it as {FORM}.")
    if find_spec("pg8000") is None:
        raise StoreError("PostgreSQL needs the driver pg8000. Install fewshot-workbench[postgres].")
    query = dict(parsed.query)
    mode, trusted = str(query.pop("sslmode", "")), query.pop("sslrootcert", None)
    local = "unix_sock" in query or _on_this_machine(parsed.host or "localhost")
    engine = create_engine(
        parsed.set(drivername="postgresql+pg8000", query=query),
        connect_args={
            "ssl_context": _encryption(mode, None if trusted is None else str(trusted), local),
            "application_name": "workbench",
            "timeout": 20,
        },
        hide_parameters=True,  # of errors: they hold what people wrote
        isolation_level="READ COMMITTED",
        pool_size=5,
        max_overflow=25,
        pool_timeout=60,
        pool_pre_ping=True,
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("reading"):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    return engine


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _encryption(mode: str, trusted: str | None, local: bool) -> ssl.SSLContext | bool:
    if mode == "disable" or (not mode and local):
        return False
    if mode not in ("", "require", "verify-full"):
        raise StoreError("The database URL's sslmode is one of disable, require and verify-full.")
    try:
        context = ssl.create_default_context(cafile=trusted)
    except OSError as error:
        raise StoreError("The file that the database URL's sslrootcert names cannot be read.") from error
    if mode == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
