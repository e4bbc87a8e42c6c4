"""The audit trail."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.stores import a_user
from workbench.store import audit, settings
from workbench.store.database import Store

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    # PostgreSQL keeps no NUL in text.
    | st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def _fill(store: Store, lines: int = 5) -> audit.Verdict:
    for number in range(lines):
        with store.session() as session:
            audit.record(session, "u1", "label.set", "scan", f"s{number}", {"class": "c1", "n": number})
    verdict = audit.verify(store)
    assert (verdict.lines, verdict.broken) == (lines, None)
    return verdict


def _tamper(store: Store, *statements: str) -> None:
    """As somebody who may do anything to the database, triggers included."""
    with store.session() as session:
        if store.dialect == "sqlite":
            for name in ("audit_no_update", "audit_no_delete", "audit_no_replace"):
                session.execute(text(f"DROP TRIGGER {name}"))
        else:
            session.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        for statement in statements:
            session.execute(text(statement))


def test_a_new_trail_is_whole(store: Store) -> None:
    assert audit.verify(store) == audit.Verdict(0, f"0:{'0' * 64}")


def test_the_digest_can_be_computed_by_anybody_from_the_export(store: Store) -> None:
    """Independent of the code: SHA-256 of the line without its digest, keys sorted, no spaces, UTF-8."""
    head = _fill(store).head
    previous = "0" * 64
    for number, exported in enumerate(audit.export(store), start=1):
        line = json.loads(exported)
        digest = line.pop("digest")
        canonical = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert hashlib.sha256(canonical).hexdigest() == digest
        assert (line["seq"], line["previous"]) == (number, previous)
        previous = digest
    assert head == f"{number}:{previous}"


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(detail=st.dictionaries(st.text("abc", max_size=5), JSON, max_size=4))
def test_any_detail_reads_back_to_the_same_digest(store: Store, detail: dict[str, object]) -> None:
    with store.session() as session:
        audit.record(session, "system", "test", detail=detail)
    assert audit.verify(store).broken is None


def test_what_is_undone_leaves_no_line(store: Store) -> None:
    with contextlib.suppress(ZeroDivisionError), store.session() as session:
        audit.record(session, "u1", "condition.create")
        raise ZeroDivisionError
    with store.session() as session:
        audit.record(session, "u1", "kept")
        with contextlib.suppress(ZeroDivisionError), session.begin_nested():
            audit.record(session, "u1", "undone")
            raise ZeroDivisionError
        with session.begin_nested():
            audit.record(session, "u1", "kept too")
    actions = [json.loads(line)["action"] for line in audit.export(store)]
    assert sorted(actions) == ["kept", "kept too"]
    assert audit.verify(store).broken is None


def test_a_detail_that_json_cannot_hold_fails_where_it_is_recorded(sqlite_store: Store) -> None:
    with sqlite_store.session() as session, pytest.raises((TypeError, ValueError)):
        audit.record(session, "u1", "x", detail={"at": float("nan")})
    assert audit.verify(sqlite_store).lines == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'somebody else' WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 5",
        "DELETE FROM audit",
    ],
)
def test_the_database_refuses_to_change_a_line(store: Store, statement: str) -> None:
    _fill(store)
    with pytest.raises(DBAPIError, match="only added to"), store.session() as session:
        session.execute(text(statement))
    assert audit.verify(store).lines == 5


def test_sqlite_refuses_to_replace_a_line(sqlite_store: Store) -> None:
    _fill(sqlite_store)
    copied = (
        "INSERT OR REPLACE INTO audit SELECT seq, at, 'x', action, kind, object_id, detail, previous, digest "
    )
    with pytest.raises(DBAPIError, match="only added to"), sqlite_store.session() as session:
        session.execute(text(copied + "FROM audit WHERE seq = 2"))


@pytest.mark.parametrize("column", ["at", "actor", "action", "kind", "object_id", "detail"])
def test_a_changed_line_is_named(store: Store, column: str) -> None:
    _fill(store)
    value = {"at": "5.0", "detail": """'{"n": 7}'"""}.get(column, "'x'")
    _tamper(store, f"UPDATE audit SET {column} = {value} WHERE seq = 3")
    verdict = audit.verify(store)
    assert (verdict.broken, verdict.lines) == (3, 2)
    assert "line 3 was changed" in verdict.reason


@pytest.mark.parametrize(
    ("statement", "broken", "told"),
    [
        ("DELETE FROM audit WHERE seq = 3", 3, "line 3 is missing"),
        ("DELETE FROM audit WHERE seq = 1", 1, "line 1 is missing"),
        ("DELETE FROM audit WHERE seq > 3", 4, "ends at line 3"),
        ("DELETE FROM audit", 1, "ends at line 0"),
        ("UPDATE audit SET digest = previous WHERE seq = 3", 3, "line 3 was changed"),
        ("UPDATE audit SET previous = digest WHERE seq = 3", 3, "does not follow"),
        ("DELETE FROM settings WHERE name = 'audit.head'", 5, "another last line"),
    ],
)
def test_a_removed_line_is_named(store: Store, statement: str, broken: int, told: str) -> None:
    _fill(store)
    _tamper(store, statement)
    verdict = audit.verify(store)
    assert verdict.broken == broken
    assert told in verdict.reason


def test_only_a_head_noted_elsewhere_shows_a_trail_that_was_cut_with_its_setting(store: Store) -> None:
    """What the chain alone cannot detect, and what does."""
    noted = _fill(store)
    with store.read() as session:
        fourth = json.loads(list(audit.export(store))[3])["digest"]
        assert settings.get(session, audit.HEAD) == noted.head
    _tamper(
        store,
        "DELETE FROM audit WHERE seq > 4",
        f"UPDATE settings SET value = '4:{fourth}' WHERE name = 'audit.head'",
    )
    assert audit.verify(store).broken is None
    assert audit.verify(store, noted.head).broken == 5
    with store.session() as session:
        audit.record(session, "u1", "something else")
    assert audit.verify(store).broken is None
    verdict = audit.verify(store, noted.head)
    assert verdict.broken == 5
    assert "not the one that was noted" in verdict.reason


def test_lines_added_at_once_still_make_one_chain(store: Store) -> None:
    start = threading.Barrier(8)

    def add(number: int) -> None:
        start.wait()
        for turn in range(10):
            with store.session() as session:
                audit.record(session, f"u{number}", "a", "b", str(turn))
                audit.record(session, f"u{number}", "c", "d", str(turn))

    with ThreadPoolExecutor(8) as pool:
        for one in [pool.submit(add, n) for n in range(8)]:
            one.result()
    assert audit.verify(store).lines == 160


def test_a_line_waits_for_the_commit_so_that_two_transactions_cannot_block_each_other(store: Store) -> None:
    """Written at once, it would deadlock here: each would hold what the other waits for."""
    if store.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    first = a_user(store)
    held = threading.Event()

    def other() -> None:
        with store.session() as session:
            session.execute(text("UPDATE users SET display = 'B' WHERE id = :id"), {"id": first})
            held.set()
            audit.record(session, "u2", "b")

    with store.session() as session:
        audit.record(session, "u1", "a")
        thread = threading.Thread(target=other)
        thread.start()
        assert held.wait(10)
        session.execute(text("UPDATE users SET display = 'A' WHERE id = :id"), {"id": first})
    thread.join()
    assert audit.verify(store).lines == 2
