"""`workbench users`, `workbench tokens` and `workbench ui` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from argon2 import PasswordHasher
from typer.testing import CliRunner

from workbench.cli import app
from workbench.service import accounts
from workbench.service.accounts import passwords
from workbench.service.kinds import Role
from workbench.store.database import Store

GOOD = "correct horse battery\n"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("WORKBENCH_DATABASE", raising=False)
    # Argon2id as ever, with less of it.
    quick = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", quick)


def run(*words: str, typed: str = "") -> str:
    done = CliRunner().invoke(app, list(words), input=typed)
    assert done.exit_code == 0, done.output
    return done.output


def refused(*words: str, typed: str = "") -> str:
    done = CliRunner().invoke(app, list(words), input=typed)
    assert done.exit_code == 2
    return done.output


def test_the_first_administrator_is_made_on_the_command_line(tmp_path: Path) -> None:
    assert "jane may sign in as admin" in run("users", "add", "Jane", "--role", "admin", typed=GOOD)
    store = Store.open(tmp_path / "data")
    user = accounts.authenticate(store, "jane", GOOD.strip(), "here")
    assert user.role == Role.ADMIN
    store.close()


def test_people_are_listed_changed_and_closed(tmp_path: Path) -> None:
    for name, role in (("jane", "admin"), ("lee", "reader")):
        run("users", "add", name, "--role", role, typed=GOOD)
    run("users", "role", "lee", "editor")
    run("users", "quota", "lee", "2.5")
    listed = run("users", "list")
    assert "2.5 GB" in listed
    assert "editor" in listed
    run("users", "password", "lee", typed="another good password\n")
    run("users", "close", "lee")
    assert "lee (closed)" in run("users", "list")
    run("users", "close", "lee", "--reopen")
    store = Store.open(tmp_path / "data")
    accounts.authenticate(store, "lee", "another good password", "here")
    store.close()


def test_mistakes_are_told_in_words() -> None:
    assert "fewer than 12" in refused("users", "add", "jane", typed="short\n")
    run("users", "add", "jane", "--role", "admin", typed=GOOD)
    assert "already" in refused("users", "add", "jane", typed=GOOD)
    assert "cannot be a user's name" in refused("users", "add", "no spaces", typed=GOOD)
    assert "no user named 'max'" in refused("users", "role", "max", "admin")
    assert "only administrator" in refused("users", "close", "jane")


def test_a_token_is_printed_once_and_can_be_revoked(tmp_path: Path) -> None:
    value = run("tokens", "issue", "local", "--for", "a robot").strip()
    listed = run("tokens", "list")
    assert "a robot" in listed
    assert value not in listed
    store = Store.open(tmp_path / "data")
    actor = accounts.actor_of_token(store, value)
    assert actor is not None
    assert actor.name == "local"
    (about,) = accounts.tokens(store, actor)
    run("tokens", "revoke", about.id)
    assert accounts.actor_of_token(store, value) is None
    store.close()


def test_the_web_interface_is_not_served_to_others_without_login_and_tls() -> None:
    assert "Add --login" in refused("ui", "--host", "0.0.0.0")
    assert "in clear" in refused("ui", "--host", "0.0.0.0", "--login", "--allow-host", "wb.example.org")


def test_help_teaches() -> None:
    told = run("ui", "--help")
    for word in ("--login", "--tls-cert", "--proxy", "--allow-host", "--workers", "workbench users add"):
        assert word in told


def test_a_password_is_never_an_argument() -> None:
    assert "--password" not in run("users", "add", "--help")
    assert passwords.MIN_LENGTH == 12
