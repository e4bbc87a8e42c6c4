"""`workbench users` and `workbench tokens`: who may sign in, and what programs sign in with.

Whoever may read the data folder may run these; each change goes into the audit trail as by ``console``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from workbench.cli_ui import DatabaseOption, DataDirOption

if TYPE_CHECKING:
    from workbench.store.database import Store

users = typer.Typer(no_args_is_help=True, help="Add, list and change the people who may sign in.")
tokens = typer.Typer(no_args_is_help=True, help="Issue, list and revoke tokens for the HTTP API.")
NameArgument = Annotated[str, typer.Argument(help="Name the person signs in with.")]


class RoleName(StrEnum):
    """As `workbench.service.kinds.Role`, without importing it for ``--help``."""

    READER = "reader"
    EDITOR = "editor"
    ADMIN = "admin"


RoleOption = Annotated[
    RoleName,
    typer.Option(
        "--role",
        "-r",
        help="reader: opens what is shared. editor: makes conditions, too. admin: manages people, too.",
    ),
]


@users.command("add")
def add(
    name: NameArgument,
    role: RoleOption = RoleName.EDITOR,
    display: Annotated[str, typer.Option(help="Shown to others and on labels; the name by default.")] = "",
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Signs in by OpenID Connect only; give --subject.")
    ] = False,
    subject: Annotated[
        str, typer.Option(help="Of OpenID Connect, as ISSUER|SUB, where it is known already.")
    ] = "",
    data_dir: DataDirOption = None,
    database: DatabaseOption = "",
) -> None:
    """Add somebody. Asks for the password twice, or reads one line where standard input is no terminal.

    Examples:

        workbench users add jane --role admin
        workbench users add lee --role reader --display "Dr Lee"
    """
    from workbench.service import accounts
    from workbench.service.kinds import Role

    password = "" if no_password else _password()
    with _store(data_dir, database) as store:
        made = accounts.create_user(
            store, accounts.CONSOLE, name, Role(role.value), password, display, subject or None
        )
    print(f"{made.name} may sign in as {made.role.value}.")


@users.command("list")
def list_users(data_dir: DataDirOption = None, database: DatabaseOption = "") -> None:
    """List everybody, with what their conditions hold."""
    from workbench.service import accounts

    with _store(data_dir, database) as store:
        found = accounts.users(store, accounts.CONSOLE)
    table = Table("Name", "Shown as", "Role", "Held", "Quota", "Last here", box=box.SIMPLE)
    for one in found:
        quota = "site's" if one.quota is None else f"{one.quota / 1e9:.1f} GB"
        name = one.name if one.active else f"{one.name} (closed)"
        table.add_row(
            name, one.display, one.role.value, f"{one.used / 1e9:.2f} GB", quota, _day(one.signed_in)
        )
    Console().print(table)


@users.command("password")
def password(name: NameArgument, data_dir: DataDirOption = None, database: DatabaseOption = "") -> None:
    """Give somebody another password; they are signed out everywhere."""
    from workbench.service import accounts

    with _store(data_dir, database) as store:
        user = accounts.user_named(store, accounts.CONSOLE, name)
        accounts.set_password(store, accounts.CONSOLE, user.id, _password())
    print(f"{user.name} has another password and is signed out everywhere.")


@users.command("role")
def set_role(
    name: NameArgument,
    role: Annotated[RoleName, typer.Argument(help="reader, editor or admin.")],
    data_dir: DataDirOption = None,
    database: DatabaseOption = "",
) -> None:
    """Give somebody another role; it counts at once."""
    from workbench.service import accounts
    from workbench.service.kinds import Role

    with _store(data_dir, database) as store:
        user = accounts.user_named(store, accounts.CONSOLE, name)
        accounts.set_role(store, accounts.CONSOLE, user.id, Role(role.value))
    print(f"{user.name} is {role.value} now.")


@users.command("quota")
def quota(
    name: NameArgument,
    gigabytes: Annotated[
        float | None, typer.Argument(min=0, help="What their conditions may hold; the site's if left out.")
    ] = None,
    data_dir: DataDirOption = None,
    database: DatabaseOption = "",
) -> None:
    """Say how much somebody's conditions may hold."""
    from workbench.service import accounts

    held = None if gigabytes is None else round(gigabytes * 1e9)
    with _store(data_dir, database) as store:
        user = accounts.user_named(store, accounts.CONSOLE, name)
        accounts.set_quota(store, accounts.CONSOLE, user.id, held)
    print(f"{user.name}: {'the site’s quota' if gigabytes is None else f'{gigabytes:g} GB'}.")


@users.command("close")
def close(
    name: NameArgument,
    reopen: Annotated[bool, typer.Option("--reopen", help="Open it again.")] = False,
    data_dir: DataDirOption = None,
    database: DatabaseOption = "",
) -> None:
    """Close an account: signed out, tokens revoked; its conditions stay."""
    from workbench.service import accounts

    with _store(data_dir, database) as store:
        user = accounts.user_named(store, accounts.CONSOLE, name)
        accounts.deactivate(store, accounts.CONSOLE, user.id, active=reopen)
    print(f"{user.name} {'may sign in again' if reopen else 'may no longer sign in'}.")


@tokens.command("issue")
def issue(
    name: NameArgument,
    purpose: Annotated[str, typer.Option("--for", help="What will use it.")],
    days: Annotated[float, typer.Option(min=0, help="Until it ends; 0 for never.")] = 90,
    data_dir: DataDirOption = None,
    database: DatabaseOption = "",
) -> None:
    """Make a token with somebody's rights, and print it this once.

    Without login the one person is called `local`.

    Example:

        workbench tokens issue jane --for "nightly import" --days 30
    """
    from workbench.service import accounts

    with _store(data_dir, database) as store:
        if name == accounts.LOCAL:
            accounts.local_actor(store)
        user = accounts.user_named(store, accounts.CONSOLE, name)
        print(accounts.issue_token(store, accounts.CONSOLE, purpose, days or None, user.id))


@tokens.command("list")
def list_tokens(data_dir: DataDirOption = None, database: DatabaseOption = "") -> None:
    """List tokens, never their values."""
    from workbench.service import accounts

    with _store(data_dir, database) as store:
        found = accounts.tokens(store, accounts.CONSOLE)
    table = Table(box=box.SIMPLE)
    table.add_column("Identifier", min_width=32)
    for heading in ("Whose", "For", "Made", "Ends", "Last used"):
        table.add_column(heading)
    for one in found:
        ends = "never" if one.expires is None else _day(one.expires)
        table.add_row(one.id, one.user, one.name, _day(one.created), ends, _day(one.used))
    Console().print(table)


@tokens.command("revoke")
def revoke(
    token: Annotated[str, typer.Argument(help="Identifier, from `workbench tokens list`.")],
    data_dir: DataDirOption = None,
    database: DatabaseOption = "",
) -> None:
    """End a token now."""
    from workbench.service import accounts

    with _store(data_dir, database) as store:
        accounts.revoke_token(store, accounts.CONSOLE, token)
    print("Revoked.")


@contextmanager
def _store(data_dir: DataDirOption, database: str) -> Iterator[Store]:
    from workbench.store.database import Store, default_data_dir

    store = Store.open(data_dir or default_data_dir(), database or None)
    try:
        yield store
    finally:
        store.close()


def _password() -> str:
    """Typed twice; one line where nobody sits at the terminal (for scripts)."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    typed: str = typer.prompt(
        "Password (12 characters or more)", hide_input=True, confirmation_prompt="The same again"
    )
    return typed


def _day(at: float | None) -> str:
    return "never" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
