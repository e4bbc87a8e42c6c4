"""Backup and restore, between both databases, and what a backup must not be able to do."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import threading
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from tests.stores import PostgresServer, a_user
from workbench.errors import StoreError
from workbench.store import archive, audit, jobs
from workbench.store.backup import backup
from workbench.store.check import check
from workbench.store.database import Store
from workbench.store.restore import restore
from workbench.store.schema import (
    Base,
    Blob,
    Condition,
    ConditionClass,
    JobRow,
    Label,
    Place,
    ScanRow,
    SignIn,
    User,
    Version,
)


def _fill(store: Store) -> None:
    """A row of each kind that is hard to carry: references within a table, JSON, numbers, nothing at all."""
    user = a_user(store, "ada")
    with store.session() as session:
        scan, preview = store.blobs.put(os.urandom(5000), session), store.blobs.put(b"", session)
        for name, parent in (("b", None), ("c", "b" * 32), ("a", "c" * 32)):
            row = Condition(id=name * 32, owner_id=user, title="Zysten – ≥ 3 mm", parent_id=parent)
            row.prevalence = [0.1, 0.9] if parent else None
            row.miss_cost = 0.1 + 0.2
            session.add(row)
            session.flush()
        session.add(ConditionClass(id="f" * 32, condition_id="c" * 32, position=0, name="cyst"))
        session.add(
            ScanRow(
                id="5" * 32,
                condition_id="c" * 32,
                number=1,
                role="support",
                blob=scan,
                preview=preview,
                bytes=2**40,
                slices=1,
                rows=2,
                columns=3,
                channels=1,
                modality="CT",
                units="HU",
                patient="p",
                identity="i",
                copy="k",
                findings=[{"code": "x"}],
                uploader_id=user,
            )
        )
        session.flush()
        for _ in range(3):
            session.add(Label(scan_id="5" * 32, user_id=user, reader="R1", class_id="f" * 32))
        session.add(SignIn(digest="d" * 64, user_id=user))
        session.add(Place(user_id=user, condition_id="a" * 32))
        session.add(
            Version(
                condition_id="c" * 32,
                number=1,
                model=scan,
                method="maml",
                result={"accuracy": 1 / 3},
                support=[["5" * 32, "f" * 32]],
                job_id="e" * 32,
                user_id=user,
            )
        )
        jobs.enqueue(session, "adapt", user, "c" * 32, {"method": ""}, job_id="1" * 32)
        jobs.enqueue(session, "read", user, "c" * 32, {}, job_id="2" * 32)
        audit.record(session, user, "label.set", "scan", "5" * 32, {"class": "cyst", "share": 0.1})
    claim = jobs.claim(store, "w1")
    assert claim is not None
    (store.data_dir / "signing.key").write_text("a key")


def _rows(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Everything that a backup is to bring back."""
    with store.read() as session:
        found = {
            table.name: [
                dict(r._mapping) for r in session.execute(select(table).order_by(*table.primary_key))
            ]
            for table in Base.metadata.sorted_tables
            if table.name not in ("sign_ins", "failed_sign_ins")
        }
    for row in found["jobs"]:
        if row["state"] == "running":
            row |= {"state": "queued", "lease": "", "worker": "", "leased_until": 0.0}
    return found


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_backup_brings_everything_back_to_either_database(
    store: Store, target: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    _fill(store)
    before, head = _rows(store), audit.verify(store).head
    calls: list[tuple[int, int]] = []
    made = backup(store, tmp_path / "b.zip", lambda done, total: calls.append((done, total)))
    assert (made.blobs, made.lacking, made.audit) == (2, (), head)
    assert calls[-1] == (2, 2)
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "b.zip").stat().st_mode) == 0o600
    url = request.getfixturevalue("postgres_server").new_database() if target == "postgresql" else None
    again = restore(tmp_path / "b.zip", tmp_path / "new", url)
    assert (again.rows, again.blobs) == (made.rows, made.blobs)
    restored = Store.open(tmp_path / "new", url)
    after = _rows(restored)
    assert [line["action"] for line in after["audit"]] == ["label.set", "store.restore"]
    for name in ("audit", "settings"):  # the restore itself is in the trail
        before.pop(name), after.pop(name)
    assert after == before
    assert check(restored, head).well
    assert (tmp_path / "new" / "signing.key").read_text() == "a key"
    with restored.read() as session:
        assert session.query(SignIn).count() == 0
    # Work and numbering go on.
    claim = jobs.claim(restored, "w2")
    assert claim is not None
    with restored.session() as session:
        session.add(Label(scan_id="5" * 32, user_id=claim.user_id, reader="R1"))
        session.flush()
        assert session.scalars(select(Label.id).order_by(Label.id)).all() == [1, 2, 3, 4]
        session.delete(session.get_one(Condition, "c" * 32))
    restored.close()


def test_a_backup_is_of_one_moment_though_people_work(store: Store, tmp_path: Path) -> None:
    _fill(store)
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            with store.session() as session:
                user = User(name=f"u{number}")
                session.add(user)
                session.flush()
                session.add(Place(user_id=user.id))
                store.blobs.put(os.urandom(50), session)
                audit.record(session, "system", "x")
            number += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for turn in range(3):
            made = backup(store, tmp_path / f"{turn}.zip")
    finally:
        stop.set()
        thread.join()
    restore(tmp_path / "2.zip", tmp_path / "new")
    restored = Store.open(tmp_path / "new")
    assert check(restored, made.audit).well
    restored.close()


def test_a_backup_of_a_newer_version_is_refused(store: Store, tmp_path: Path) -> None:
    _fill(store)
    backup(store, tmp_path / "b.zip")
    _rewrite(tmp_path / "b.zip", lambda m: m | {"revision": "9999"})
    with pytest.raises(StoreError, match="newer version"):
        restore(tmp_path / "b.zip", tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_damaged_files_are_left_out_and_named(sqlite_store: Store, tmp_path: Path) -> None:
    _fill(sqlite_store)
    with sqlite_store.read() as session:
        digests = sorted(session.scalars(select(Blob.sha256)))
    sqlite_store.blobs.path(digests[0]).unlink()
    sqlite_store.blobs.path(digests[1]).write_bytes(b"x")
    made = backup(sqlite_store, tmp_path / "b.zip")
    assert (made.blobs, list(made.lacking)) == (0, digests)
    assert list(restore(tmp_path / "b.zip", tmp_path / "new").lacking) == digests
    restored = Store.open(tmp_path / "new")
    health = check(restored)
    assert sorted(health.damaged) == digests
    assert not health.well
    restored.close()


def test_nothing_is_overwritten(sqlite_store: Store, tmp_path: Path, postgres_server: PostgresServer) -> None:
    backup(sqlite_store, tmp_path / "b.zip")
    with pytest.raises(StoreError, match="exists already"):
        backup(sqlite_store, tmp_path / "b.zip")
    with pytest.raises(StoreError, match="not empty"):
        restore(tmp_path / "b.zip", sqlite_store.data_dir)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.doc").touch()
    with pytest.raises(StoreError):
        restore(tmp_path / "b.zip", other)
    assert (other / "thesis.doc").exists()
    url = postgres_server.new_database()
    Store.open(tmp_path / "used", url).close()
    with pytest.raises(StoreError, match="holds a workbench already"):
        restore(tmp_path / "b.zip", tmp_path / "new", url)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.zip", "data", "new", "other", "used"]


def test_an_interrupted_restore_is_not_opened(sqlite_store: Store, tmp_path: Path) -> None:
    (sqlite_store.data_dir / "restoring").touch()
    with pytest.raises(StoreError, match="interrupted"):
        Store.open(sqlite_store.data_dir)


def test_a_backup_that_fails_leaves_nothing(sqlite_store: Store, tmp_path: Path) -> None:
    _fill(sqlite_store)

    def full(done: int, total: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        backup(sqlite_store, tmp_path / "b.zip", full)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


Change = Callable[[dict[str, Any]], dict[str, Any]]


def _rewrite(
    file: Path,
    manifest: Change = lambda m: m,
    contents: Callable[[dict[str, bytes]], dict[str, bytes]] = lambda c: c,
    mode: int = 0o600,
    seal: bool = True,
) -> None:
    """As somebody who knows the format would: with `seal`, sizes and digests are made to fit again."""
    with zipfile.ZipFile(file) as old:
        kept = {name: old.read(name) for name in old.namelist()}
    said = json.loads(kept.pop(archive.MANIFEST))
    kept = contents(kept)
    if seal:
        said["members"] = [
            {"name": n, "size": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in kept.items()
        ]
    with zipfile.ZipFile(file, "w") as new:
        for name, content in kept.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            new.writestr(entry, content)
        new.writestr(archive.MANIFEST, json.dumps(manifest(said)))


def _with(name: str, content: bytes) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda contents: contents | {name: content}


def _first(contents: dict[str, bytes], prefix: str) -> str:
    return next(name for name in contents if name.startswith(prefix))


def _more(table: str, line: bytes) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    name = f"tables/{table}.jsonl"
    return lambda contents: contents | {name: contents[name] + line}


HOSTILE: dict[str, Callable[[Path], None]] = {
    "no zip": lambda f: f.write_bytes(b"not a zip"),
    "empty": lambda f: f.write_bytes(b""),
    "cut off": lambda f: f.write_bytes(f.read_bytes()[:-30]),
    "a bit flipped": lambda f: f.write_bytes(
        f.read_bytes()[:3000] + bytes([f.read_bytes()[3000] ^ 1]) + f.read_bytes()[3001:]
    ),
    "another zip": lambda f: zipfile.ZipFile(f, "w").close(),
    "a path upwards": lambda f: _rewrite(f, contents=_with("../outside", b"x")),
    "an absolute path": lambda f: _rewrite(f, contents=_with("/tmp/outside", b"x")),
    "a path within": lambda f: _rewrite(f, contents=_with("blobs/../../outside", b"x")),
    "the database itself": lambda f: _rewrite(f, contents=_with("workbench.sqlite3", b"x")),
    "another key": lambda f: _rewrite(f, contents=_with("keys/authorized.key", b"x")),
    "a folder": lambda f: _rewrite(f, contents=_with("blobs/", b"")),
    "links": lambda f: _rewrite(f, mode=stat.S_IFLNK | 0o777),
    "devices": lambda f: _rewrite(f, mode=stat.S_IFBLK | 0o600),
    "content not named": lambda f: _rewrite(f, contents=_with("blobs/" + "a" * 64, b"x"), seal=False),
    "a name without content": lambda f: _rewrite(
        f, contents=lambda c: {n: v for n, v in c.items() if not n.startswith("blobs/")}, seal=False
    ),
    "a blob of another name": lambda f: _rewrite(f, contents=_with("blobs/" + "a" * 64, b"x")),
    "a changed blob": lambda f: _rewrite(f, contents=lambda c: c | {_first(c, "blobs/"): b"x"}),
    "a changed table": lambda f: _rewrite(
        f, contents=lambda c: c | {"tables/users.jsonl": b" " + c["tables/users.jsonl"][1:]}, seal=False
    ),
    "a table that is not ours": lambda f: _rewrite(f, contents=_with("tables/sqlite_master.jsonl", b"{}\n")),
    "rows of no JSON": lambda f: _rewrite(f, contents=_more("users", b"{\n")),
    "rows nested too deep": lambda f: _rewrite(f, contents=_more("users", b"[" * 100_000 + b"\n")),
    "rows of other columns": lambda f: _rewrite(f, contents=_more("users", b'{"id": "x", "x; DROP": 1}\n')),
    "rows of other types": lambda f: _rewrite(f, contents=_more("settings", b'{"name": [1], "value": {}}\n')),
    "a row twice": lambda f: _rewrite(
        f, contents=lambda c: c | {"tables/users.jsonl": c["tables/users.jsonl"] * 2}
    ),
    "a row that refers to nothing": lambda f: _rewrite(f, contents=lambda c: c | {"tables/users.jsonl": b""}),
    "a manifest of no JSON": lambda f: _rewrite(f, lambda m: "x"),
    "a manifest without members": lambda f: _rewrite(f, lambda m: m | {"members": None}),
    "members counted twice": lambda f: _rewrite(f, lambda m: m | {"members": m["members"] * 2}),
    "negative sizes": lambda f: _rewrite(
        f, lambda m: m | {"members": [x | {"size": -1} for x in m["members"]]}
    ),
    "a newer format": lambda f: _rewrite(f, lambda m: m | {"format": "fewshot-workbench backup 2"}),
    "a revision that is a path": lambda f: _rewrite(f, lambda m: m | {"revision": "../0001"}),
    "a revision of alembic's": lambda f: _rewrite(f, lambda m: m | {"revision": "head"}),
}


@pytest.fixture(scope="module")
def good_backup(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("good")
    store = Store.open(place / "data")
    _fill(store)
    backup(store, place / "b.zip")
    store.close()
    return (place / "b.zip").read_bytes()


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_or_damaged_backup_is_refused_and_leaves_nothing(
    how: str, good_backup: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "b.zip"
    file.write_bytes(good_backup)
    HOSTILE[how](file)
    with pytest.raises(StoreError) as raised:
        restore(file, tmp_path / "new")
    assert str(tmp_path) not in str(raised.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.zip", "new"]
    assert list((tmp_path / "new").iterdir()) == []


def test_an_entry_twice_is_refused(good_backup: bytes, tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(good_backup)
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "b.zip", "a") as zipped:
        warnings.simplefilter("ignore")
        zipped.writestr("tables/users.jsonl", b"")
    with pytest.raises(StoreError, match="not those that its manifest names"):
        restore(tmp_path / "b.zip", tmp_path / "new")


def test_an_entry_that_unpacks_to_more_than_it_says_is_refused(good_backup: bytes, tmp_path: Path) -> None:
    """A bomb: 100 MB of zeros, where directory and manifest say 10 bytes."""
    (tmp_path / "b.zip").write_bytes(good_backup)
    bomb = archive.Member("blobs/" + "a" * 64, 10, "a" * 64)
    with zipfile.ZipFile(tmp_path / "b.zip") as old:
        kept = {name: old.read(name) for name in old.namelist()}
    said = json.loads(kept.pop(archive.MANIFEST))
    said["members"].append(asdict(bomb))
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in kept.items():
            new.writestr(name, content)
        new.writestr(bomb.name, bytes(100_000_000))
        new.writestr(archive.MANIFEST, json.dumps(said))
        new.getinfo(bomb.name).file_size = bomb.size
    with archive.opened(tmp_path / "b.zip") as (zipped, manifest):
        assert bomb in manifest.members
        with archive.stream(zipped, bomb) as content, contextlib.suppress(zipfile.BadZipFile):
            assert len(content.read()) <= bomb.size
    with pytest.raises(StoreError):
        restore(tmp_path / "b.zip", tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_backup_larger_than_the_disk_is_refused_first(
    good_backup: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.zip").write_bytes(good_backup)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(StoreError, match="larger disk"):
        restore(tmp_path / "b.zip", tmp_path / "new")


def test_a_store_check_names_what_is_wrong(store: Store) -> None:
    _fill(store)
    assert check(store).well
    with store.read() as session:
        digest = session.scalars(select(Blob.sha256)).first()
    assert digest is not None
    store.blobs.path(digest).write_bytes(b"x")
    with store.session() as session:
        session.execute(text("DELETE FROM settings WHERE name = 'audit.head'"))
    health = check(store)
    assert health.damaged == (digest,)
    assert health.trail.broken == 1
    assert not health.well
    assert health.files == 2
    assert store.dialect == "postgresql" or health.database == ()
    with store.read() as session:
        assert session.query(JobRow).count() == 2
