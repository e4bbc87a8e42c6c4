"""`workbench backup`, `restore`, `audit` and `store check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from tests.stores import a_user
from workbench.cli import app
from workbench.store import audit
from workbench.store.database import Store


@pytest.fixture
def place(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with two lines of audit and a file, named by the environment."""
    monkeypatch.delenv("WORKBENCH_DATABASE", raising=False)
    monkeypatch.setenv("WORKBENCH_HOME", str(sqlite_store.data_dir))
    for name in ("ada", "ben"):
        user = a_user(sqlite_store, name)
        with sqlite_store.session() as session:
            audit.record(session, user, "user.create", "user", user)
            sqlite_store.blobs.put(name.encode(), session)
    return sqlite_store.data_dir


def _run(*args: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    assert done.exit_code == code, done.output
    return done.output


def test_backup_and_restore(place: Path, tmp_path: Path) -> None:
    said = _run("backup", tmp_path / "b.zip")
    assert "2 files" in said
    head = said.split()[-1]
    assert head.startswith("2:")
    assert "already" in _run("backup", tmp_path / "b.zip", code=2)
    assert "not empty" in _run("restore", tmp_path / "b.zip", code=2)
    assert "2 files" in _run("restore", tmp_path / "b.zip", "--data-dir", tmp_path / "new")
    said = _run("store", "check", "--data-dir", tmp_path / "new", "--head", head)
    assert "Database: whole" in said
    assert "2 files, 0 missing or damaged" in said
    assert "Audit trail: whole, 3 lines" in said


def test_audit_verify_and_export(place: Path, tmp_path: Path, sqlite_store: Store) -> None:
    assert "whole, 2 lines" in _run("audit", "verify")
    _run("audit", "export", "--out", tmp_path / "audit.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2]
    assert "File exists" in _run("audit", "export", "--out", tmp_path / "audit.jsonl", code=2)
    with sqlite_store.session() as session:
        session.execute(text("DROP TRIGGER audit_no_update"))
        session.execute(text("UPDATE audit SET actor = 'x' WHERE seq = 1"))
    assert "line 1 was changed" in _run("audit", "verify", code=1)
    assert "line 1 was changed" in _run("store", "check", code=1)


def test_a_mistyped_folder_does_not_become_an_empty_workbench(tmp_path: Path) -> None:
    for command in (("backup", tmp_path / "b.zip"), ("audit", "verify"), ("store", "check")):
        assert "no workbench" in _run(*command, "--data-dir", tmp_path / "typo", code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["backup"], ["restore"], ["audit", "verify"], ["store", "check"]])
def test_the_help_gives_examples(command: list[str]) -> None:
    said = _run(*command, "--help")
    assert "Examples" in said
    assert f"workbench {' '.join(command)}" in said
