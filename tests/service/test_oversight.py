"""What an administrator looks at, and that nobody else does."""

from __future__ import annotations

import pytest

from tests.service.conftest import person
from workbench.errors import NotAllowed
from workbench.service import oversight
from workbench.service.kinds import Actor, Role
from workbench.store import audit, jobs
from workbench.store.database import Store


def lines(store: Store, actor: Actor, count: int) -> None:
    """Some lines of the trail."""
    with store.session() as session:
        for number in range(count):
            kind = "scan" if number % 2 else "version"
            detail = {"sha256": "f" * 64, "number": number}
            audit.record(session, actor.user_id, f"{kind}.touch", kind, f"id{number}", detail)


@pytest.fixture
def root(store: Store) -> Actor:
    return person(store, "root", Role.ADMIN)


def test_only_an_administrator_looks(store: Store, ada: Actor) -> None:
    for look in (oversight.trail, oversight.verify_trail, oversight.health):
        with pytest.raises(NotAllowed):
            look(store, ada)


def test_the_trail_comes_newest_first_with_names_and_pages(store: Store, root: Actor) -> None:
    lines(store, root, 130)
    page = oversight.trail(store, root)
    assert (len(page.lines), page.total, page.more) == (100, 130, True)
    assert [line.seq for line in page.lines] == list(range(130, 30, -1))
    assert {line.who for line in page.lines} == {"Root"}
    rest = oversight.trail(store, root, before=page.lines[-1].seq)
    assert (len(rest.lines), rest.more) == (30, False)
    assert "ffffffffffff…" in rest.lines[0].detail, "digests are shortened on the screen"


def test_the_trail_is_filtered_by_what_and_who(store: Store, root: Actor, ada: Actor) -> None:
    lines(store, root, 4)
    lines(store, ada, 3)
    assert {line.kind for line in oversight.trail(store, root, what="version").lines} == {"version"}
    assert {line.who for line in oversight.trail(store, root, who="ada").lines} == {"Ada"}
    assert [line.object_id for line in oversight.trail(store, root, what="id3").lines] == ["id3"]
    assert oversight.trail(store, root, what="%").lines == ()


def test_a_whole_trail_verifies(store: Store, root: Actor) -> None:
    lines(store, root, 3)
    verdict = oversight.verify_trail(store, root)
    assert (verdict.lines, verdict.broken) == (3, None)


def test_health_counts_what_waits_and_what_runs(store: Store, root: Actor) -> None:
    with store.session() as session:
        for _ in range(3):
            jobs.enqueue(session, "adapt", root.user_id, None, {})
    assert jobs.claim(store, "test") is not None
    found = oversight.health(store, root)
    assert (found.queued, len(found.workers), found.stuck) == (2, 1, 0)
    assert found.workers[0].kind == "adapt"
    assert found.free > 0
    assert found.database > 0
