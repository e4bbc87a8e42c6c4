"""Processes killed with SIGKILL: acknowledged jobs stay, and each one's effect happens once."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, select, text

from tests.stores import a_user
from workbench.store import audit, jobs, loop
from workbench.store.database import Store
from workbench.store.schema import JobRow, User

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
processes = multiprocessing.get_context("fork")
MOMENTS = ("before_cursor_execute", "commit", "rollback")


def _effect(store: Store, claim: jobs.Claim) -> None:
    claim.report(1, 2)
    with store.session() as session:
        store.blobs.put(os.urandom(64), session)
        audit.record(session, "system", "effect", "job", claim.id)
        jobs.finish(session, claim, {})


def _effects(store: Store) -> Counter[str]:
    return Counter(
        line["object_id"] for line in map(json.loads, audit.export(store)) if line["action"] == "effect"
    )


def _check(store: Store, acknowledged: list[str]) -> None:
    with store.read() as session:
        rows = session.scalars(select(JobRow)).all()
        states = {row.id: row.state for row in rows}
        if store.dialect == "sqlite":
            assert session.scalar(text("PRAGMA integrity_check")) == "ok"
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []
    assert set(acknowledged) <= set(states)
    assert [(row.state, row.error, row.attempts) for row in rows if row.state != "done"] == []
    assert _effects(store) == Counter(list(states))
    assert audit.verify(store).broken is None


def _drain(store: Store) -> None:
    stop = threading.Event()
    worker = threading.Thread(target=loop.run, args=(store, {"read": _effect}, stop, "last"))
    worker.start()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with store.read() as session:
            if jobs.waiting(session) == 0:
                break
        time.sleep(0.05)
    stop.set()
    worker.join()


def _die_at(place: Path, url: str | None, moment: int) -> None:
    """Do one job, and be killed at the moment-th thing that happens between this process and the database."""
    store = Store.open(place, url)
    count = itertools.count(1)

    def happens(*_: object) -> None:
        if next(count) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in MOMENTS:
        event.listen(Engine, name, happens)
    claim = jobs.claim(store, f"w{moment}")
    assert claim is not None
    loop.do(store, {"read": _effect}, claim)
    os._exit(0)


def test_killed_at_each_statement_of_a_job_in_turn(
    tmp_path: Path, database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at random: before every statement and commit from the claim to the end."""
    monkeypatch.setattr(jobs, "MOST_DEATHS", 1000)
    asked: list[str] = []
    place = tmp_path / "data"
    for moment in itertools.count(1):
        store = Store.open(place, database_url)
        jobs.release(store, f"w{moment - 1}")
        with store.session() as session:
            if jobs.waiting(session) == 0:
                session.add(User(id=f"{moment:032}", name=f"user{moment}"))
                session.flush()
                asked.append(jobs.enqueue(session, "read", f"{moment:032}", None, {}))
        store.close()  # no connection crosses the fork
        child = processes.Process(target=_die_at, args=(place, database_url, moment))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
    assert moment > 20, "a job takes more statements than that"
    assert len(asked) >= 2, "the last kills come after the commit"
    store = Store.open(place, database_url)
    _check(store, asked)
    store.close()


def _work(place: Path, url: str | None, name: str) -> None:
    loop.run(Store.open(place, url), {"read": _effect}, threading.Event(), name)


def _ask(place: Path, url: str | None, user: str, answers: Path) -> None:
    store = Store.open(place, url)
    heard = os.open(answers, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        with store.session() as session:
            job = jobs.enqueue(session, "read", user, None, {})
        os.write(heard, f"{job}\n".encode())
        time.sleep(0.01)


def _kill_at_random(place: Path, url: str | None, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    store = Store.open(place, url)
    user = a_user(store)
    store.close()
    answers = place.with_name("acknowledged")
    workers: list[multiprocessing.process.BaseProcess] = []
    for turn in range(kills):
        asker = processes.Process(target=_ask, args=(place, url, user, answers))
        workers += [
            processes.Process(target=_work, args=(place, url, f"w{turn}-{n}"))
            for n in range(2 - len(workers))
        ]
        for child in (asker, *workers):
            if child.pid is None:
                child.start()
        time.sleep(draw.uniform(0.1, 0.5))
        dies = workers.pop(draw.randrange(2))
        for child in (asker, dies):
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join()
    for child in workers:
        child.kill()
        child.join()
    acknowledged = answers.read_text().split()
    assert acknowledged
    store = Store.open(place, url)
    for turn in range(kills):
        for n in range(2):
            jobs.release(store, f"w{turn}-{n}")
    _drain(store)
    _check(store, acknowledged)
    store.close()


@pytest.fixture
def _quick_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here and in what is forked from here; the job is not to blame for its deaths."""
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(jobs, "MOST_DEATHS", 1000)


@pytest.mark.usefixtures("_quick_leases")
def test_killed_at_random(tmp_path: Path, database_url: str | None) -> None:
    _kill_at_random(tmp_path / "data", database_url, kills=6, seed=0)


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_leases")
@pytest.mark.parametrize("seed", range(1, 6))
def test_killed_at_random_many_times(tmp_path: Path, database_url: str | None, seed: int) -> None:
    _kill_at_random(tmp_path / "data", database_url, kills=60, seed=seed)
