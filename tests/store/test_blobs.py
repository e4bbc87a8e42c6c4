"""Content-addressed files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from tests.stores import a_user
from workbench.errors import StoreError
from workbench.store.database import Store
from workbench.store.schema import Artefact, Blob, Condition


def _put(store: Store, content: bytes | Path) -> str:
    with store.session() as session:
        return store.blobs.put(content, session)


def _collect(store: Store, grace: float = 0.0) -> int:
    with store.session() as session:
        return store.blobs.collect(session, grace)


def _files(store: Store) -> set[str]:
    names = (p.parent.name + p.name for p in store.blobs.folder.glob("??/*"))
    return set(names)


def test_content_comes_back_under_its_digest_whether_bytes_or_file(store: Store, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    digest = _put(store, tmp_path / "file")
    assert digest == hashlib.sha256(content).hexdigest() == _put(store, content)
    with store.blobs.open(digest) as stream:
        assert stream.read() == content
    store.blobs.verify(digest)
    with store.read() as session:
        assert session.get_one(Blob, digest).size == 3_000_000
        assert session.query(Blob).count() == 1
    assert _files(store) == {digest}
    assert list((store.blobs.folder / "drafts").iterdir()) == []


def test_content_whose_file_was_lost_is_written_again(store: Store) -> None:
    digest = _put(store, b"pixels")
    store.blobs.path(digest).unlink()
    with pytest.raises(StoreError, match="missing"):
        store.blobs.open(digest)
    assert _put(store, b"pixels") == digest
    store.blobs.verify(digest)


@pytest.mark.parametrize("damage", [b"", b"pixelx", b"pixels and more"])
def test_damage_is_found_and_named_without_a_path(sqlite_store: Store, damage: bytes) -> None:
    digest = _put(sqlite_store, b"pixels")
    sqlite_store.blobs.path(digest).write_bytes(damage)
    with pytest.raises(StoreError, match=f"{digest[:12]} is damaged") as raised:
        sqlite_store.blobs.verify(digest)
    assert str(sqlite_store.data_dir) not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "/" + "a" * 63]
)
def test_no_path_but_that_of_a_digest(sqlite_store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="not a SHA-256"):
        sqlite_store.blobs.path(name)


def test_only_what_no_row_refers_to_is_collected_and_only_after_a_while(store: Store) -> None:
    owner = a_user(store)
    with store.session() as session:
        used, unused = store.blobs.put(b"used", session), store.blobs.put(b"unused", session)
        session.add(Condition(id="c" * 32, owner_id=owner, title="Cysts"))
        session.flush()
        session.add(
            Artefact(
                condition_id="c" * 32,
                kind="k",
                name="n",
                media_type="m",
                blob=used,
                user_id=owner,
                job_id=None,
            )
        )
    assert _collect(store, grace=60) == 0
    assert _files(store) == {used, unused}
    assert _collect(store) == 1
    assert _files(store) == {used}
    with store.session() as session:
        session.delete(session.get_one(Condition, "c" * 32))
    assert _collect(store) == 1
    assert _files(store) == set()
    with store.read() as session:
        assert session.query(Blob).count() == 0


def test_the_file_of_a_transaction_that_failed_is_collected(store: Store) -> None:
    digest = ""
    with contextlib.suppress(ZeroDivisionError), store.session() as session:
        digest = store.blobs.put(b"pixels", session)
        raise ZeroDivisionError
    draft = store.blobs.folder / "drafts" / "left by a kill"
    draft.write_bytes(b"pix")
    assert _files(store) == {digest}
    assert _collect(store, grace=60) == 0
    assert _collect(store) == 1
    assert _files(store) == set()
    assert draft.exists()  # its process may live
    os.utime(draft, (0, 0))
    assert _collect(store) == 1
    assert not draft.exists()


def test_putting_again_what_is_old_and_unused_keeps_it_from_being_collected(store: Store) -> None:
    """Collection waits for, or goes before, the transaction that puts; it never goes through its middle."""
    _put(store, b"pixels")
    digest = hashlib.sha256(b"pixels").hexdigest()
    long_ago = time.time() - 1000
    os.utime(store.blobs.path(digest), (long_ago, long_ago))
    with store.session() as session:
        session.get_one(Blob, digest).created = long_ago
    put, commit = threading.Event(), threading.Event()

    def put_slowly() -> None:
        with store.session() as session:
            store.blobs.put(b"pixels", session)
            put.set()
            commit.wait(10)

    thread = threading.Thread(target=put_slowly)
    thread.start()
    assert put.wait(10)
    threading.Timer(0.3, commit.set).start()
    assert _collect(store, grace=60) == 0
    thread.join()
    store.blobs.verify(digest)
    with store.read() as session:
        assert session.get(Blob, digest) is not None


def test_nothing_is_collected_while_a_backup_holds_the_files(store: Store) -> None:
    digest = _put(store, b"pixels")
    with store.blobs.held(alone=False) as held:
        assert held
        assert _collect(store) == 0
    assert _files(store) == {digest}
    assert _collect(store) == 1


def test_threads_that_put_and_collect_the_same_content_never_lose_what_is_referred_to(store: Store) -> None:
    owner = a_user(store)
    with store.session() as session:
        session.add(Condition(id="c" * 32, owner_id=owner, title="Cysts"))
    stop = threading.Event()
    failures: list[BaseException] = []

    def collect() -> None:
        while not stop.is_set():
            _collect(store)

    def put(number: int) -> None:
        try:
            for turn in range(12):
                with store.session() as session:
                    blob = store.blobs.put(b"%d" % (turn % 3), session)
                    session.add(
                        Artefact(
                            condition_id="c" * 32,
                            kind="k",
                            name=f"{number}-{turn}",
                            media_type="m",
                            blob=blob,
                            user_id=owner,
                            job_id="j",
                        )
                    )
                store.blobs.verify(blob)
                with store.session() as session:
                    session.query(Artefact).filter_by(name=f"{number}-{turn}").delete()
        except BaseException as error:
            failures.append(error)

    collector = threading.Thread(target=collect)
    putters = [threading.Thread(target=put, args=(n,)) for n in range(3)]
    for thread in (collector, *putters):
        thread.start()
    for thread in putters:
        thread.join()
    stop.set()
    collector.join()
    assert failures == []
