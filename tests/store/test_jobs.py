"""The queue: order, leases, ends, and what one effect at most means."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update

from tests.stores import a_user
from workbench.errors import SupportError
from workbench.store import jobs, loop, settings, turns
from workbench.store.database import Store
from workbench.store.schema import JobRow, Setting


def _ask(store: Store, kind: str, user: str, **more: str) -> str:
    with store.session() as session:
        return jobs.enqueue(session, kind, user, None, {"kind": kind}, **more)


def _row(store: Store, job_id: str) -> JobRow:
    with store.read() as session:
        return session.get_one(JobRow, job_id)


def _change(store: Store, job_id: str, **change: object) -> None:
    with store.session() as session:
        session.execute(update(JobRow).where(JobRow.id == job_id).values(change))


def _claim(store: Store, worker: str = "w1") -> jobs.Claim:
    found = jobs.claim(store, worker)
    assert found is not None
    return found


def _finish(store: Store, claim: jobs.Claim) -> None:
    with store.session() as session:
        jobs.finish(session, claim)


def _order(store: Store, count: int) -> list[str]:
    """Identifiers in the order one worker does them."""
    done = []
    for _ in range(count):
        claim = _claim(store)
        _finish(store, claim)
        done.append(claim.id)
    assert jobs.claim(store, "w1") is None
    return done


def test_a_job_goes_from_asked_to_done(store: Store) -> None:
    user = a_user(store)
    with store.session() as session:
        job = jobs.enqueue(session, "adapt", user, None, {"method": "maml", "n": [1, 2]})
    row = _row(store, job)
    assert (row.state, row.attempts, row.started) == ("queued", 0, None)
    claim = _claim(store)
    assert (claim.id, claim.kind, claim.user_id, claim.condition_id) == (job, "adapt", user, None)
    assert (claim.given, claim.attempts) == ({"method": "maml", "n": [1, 2]}, 1)
    claim.report(3, 10, "Reading scans " + "x" * 300)
    row = _row(store, job)
    assert (row.state, row.done, row.total, row.worker) == ("running", 3, 10, "w1")
    assert row.said.startswith("Reading scans")
    with store.session() as session:
        assert jobs.waiting(session) == jobs.waiting(session, user) == 1
        assert jobs.waiting(session, "nobody") == 0
        jobs.finish(session, claim, {"version": "v1"})
    row = _row(store, job)
    assert (row.state, row.outcome, row.lease) == ("done", {"version": "v1"}, "")
    assert row.finished is not None
    assert row.started is not None
    assert row.created <= row.started <= row.finished
    assert jobs.claim(store, "w1") is None


def test_a_job_of_a_transaction_that_failed_is_never_done(store: Store) -> None:
    user = a_user(store)

    def ask() -> None:
        with store.session() as session:
            job = jobs.enqueue(session, "read", user, None, {})
            jobs.enqueue(session, "adapt", user, None, {}, job_id=job)

    with pytest.raises(ValueError, match="another job"):
        ask()
    assert jobs.claim(store, "w1") is None


def test_asking_twice_under_one_identifier_is_asking_once(store: Store) -> None:
    user = a_user(store)
    assert _ask(store, "import", user, job_id="a" * 32) == "a" * 32
    _finish(store, _claim(store))
    assert _ask(store, "import", user, job_id="a" * 32) == "a" * 32
    assert _row(store, "a" * 32).state == "done"
    assert jobs.claim(store, "w1") is None


def test_reads_go_before_adapts_before_exports(store: Store) -> None:
    user = a_user(store)
    asked = {kind: _ask(store, kind, user) for kind in ("export", "other", "adapt", "import", "read")}
    assert _order(store, 5) == [asked[k] for k in ("read", "import", "adapt", "export", "other")]


def test_thirty_jobs_of_one_person_do_not_keep_another_waiting(store: Store) -> None:
    ada, ben = a_user(store, "ada"), a_user(store, "ben")
    for _ in range(30):
        _ask(store, "read", ada)
    first = _claim(store)
    late = [_ask(store, "read", ben), _ask(store, "adapt", ben)]
    # With another worker, whoever has nothing running goes first, whatever the kind.
    assert _claim(store, "w2").id == late[0]
    assert first.user_id == ada
    _finish(store, first)
    assert _claim(store).user_id == ada


def test_one_worker_serves_people_in_turn(store: Store) -> None:
    ada, ben = a_user(store, "ada"), a_user(store, "ben")
    hers = [_ask(store, "read", ada) for _ in range(4)]
    his = [_ask(store, "read", ben) for _ in range(2)]
    assert _order(store, 6) == [hers[0], his[0], hers[1], his[1], hers[2], hers[3]]


def test_whoever_waited_long_enough_goes_before_a_stream_of_quicker_jobs(store: Store) -> None:
    ada, ben = a_user(store, "ada"), a_user(store, "ben")
    adapt = _ask(store, "adapt", ben)
    reads = [_ask(store, "read", ada) for _ in range(3)]
    first = _claim(store)
    assert first.id == reads[0]
    _finish(store, first)
    _change(store, adapt, created=time.time() - turns.PATIENCE_SECONDS - 1)
    assert _order(store, 3) == [adapt, *reads[1:]]


def test_the_effect_of_a_worker_that_lost_its_lease_is_undone(store: Store) -> None:
    job = _ask(store, "read", a_user(store))
    slow = _claim(store, "slow")
    _change(store, job, leased_until=0.0)
    quick = _claim(store, "quick")
    assert (quick.id, quick.attempts) == (job, 2)

    def effect(claim: jobs.Claim) -> None:
        with store.session() as session:
            settings.put(session, "effect", claim.lease)
            jobs.finish(session, claim)

    effect(quick)
    with pytest.raises(jobs.LeaseLost):
        effect(slow)
    for late in (slow.renew, lambda: slow.report(1, 1)):
        with pytest.raises(jobs.LeaseLost):
            late()
    jobs.fail(store, slow, ValueError())
    jobs.give_up(store, slow)
    jobs.put_back(store, slow)
    with store.read() as session:
        assert settings.get(session, "effect") == quick.lease
    assert _row(store, job).state == "done"


def test_a_lease_that_ran_out_but_was_not_taken_still_counts(store: Store) -> None:
    """Late is no harm: the fencing token decides, not the clock."""
    job = _ask(store, "read", a_user(store))
    claim = _claim(store)
    _change(store, job, leased_until=0.0)
    _finish(store, claim)
    assert _row(store, job).state == "done"


def test_a_job_runs_with_one_worker_at_a_time(store: Store) -> None:
    user = a_user(store)
    asked = {_ask(store, "read", user) for _ in range(24)}
    start = threading.Barrier(6)

    def work(number: int) -> list[str]:
        start.wait()
        mine = []
        while (claim := jobs.claim(store, f"w{number}")) is not None:
            mine.append(claim.id)
        return mine

    with ThreadPoolExecutor(6) as pool:
        got = [job for one in [pool.submit(work, n) for n in range(6)] for job in one.result()]
    # On PostgreSQL a worker may find all that it saw taken by others; the next call would not.
    while (claim := jobs.claim(store, "late")) is not None:
        got.append(claim.id)
    assert sorted(got) == sorted(asked)


def test_what_is_the_inputs_fault_fails_at_once_and_says_why(store: Store) -> None:
    job = _ask(store, "adapt", a_user(store))
    jobs.fail(store, _claim(store), SupportError("Only one class is labelled."))
    row = _row(store, job)
    assert (row.state, row.error, row.attempts) == ("failed", "Only one class is labelled.", 1)
    assert row.finished is not None


def test_what_is_our_fault_is_tried_again_after_a_pause_and_told_without_details(store: Store) -> None:
    job = _ask(store, "adapt", a_user(store))
    for attempt in range(1, jobs.MOST_ATTEMPTS + 1):
        assert _row(store, job).state == "queued"
        claim = _claim(store)
        assert claim.attempts == attempt
        jobs.fail(store, claim, ValueError("Doe^John.dcm"))
        assert jobs.claim(store, "w1") is None
        if attempt < jobs.MOST_ATTEMPTS:
            pause = _row(store, job).leased_until - time.time()
            assert 0 < pause <= jobs.BACK_OFF_SECONDS[attempt - 1]
            _change(store, job, leased_until=0.0)
    row = _row(store, job)
    assert row.state == "failed"
    assert "ValueError" in row.error
    assert "Doe" not in row.error


def test_a_job_that_kills_its_workers_is_given_up(store: Store) -> None:
    job = _ask(store, "adapt", a_user(store))
    for attempt in range(1, jobs.MOST_DEATHS + 1):
        assert _claim(store, f"w{attempt}").attempts == attempt
        _change(store, job, leased_until=0.0)
    assert jobs.claim(store, "last") is None
    row = _row(store, job)
    assert row.state == "failed"
    assert "memory" in row.error


def test_a_dead_workers_job_is_taken_at_once_if_somebody_says_so(store: Store) -> None:
    job = _ask(store, "read", a_user(store))
    dead = _claim(store, "dead")
    assert jobs.release(store, "another") == 0
    assert jobs.claim(store, "w2") is None
    assert jobs.release(store, "dead") == 1
    assert _claim(store, "w2").id == job
    with pytest.raises(jobs.LeaseLost):
        _finish(store, dead)


def test_a_job_that_waits_is_cancelled_at_once_and_one_that_runs_at_its_next_report(store: Store) -> None:
    user = a_user(store)
    waits, runs = _ask(store, "export", user), _ask(store, "read", user)
    claim = _claim(store)
    with store.session() as session:
        assert jobs.cancel(session, waits)
        assert not jobs.cancel(session, runs)
        assert jobs.cancel(session, "0" * 32)
    assert _row(store, waits).state == "cancelled"
    with pytest.raises(jobs.Cancelled):
        claim.report(1, 2)
    jobs.give_up(store, claim)
    assert _row(store, runs).state == "cancelled"
    with store.session() as session:
        assert jobs.cancel(session, runs)
    assert jobs.claim(store, "w1") is None


def test_a_cancelled_job_whose_worker_died_is_not_done_again(store: Store) -> None:
    job = _ask(store, "read", a_user(store))
    _claim(store, "dead")
    with store.session() as session:
        jobs.cancel(session, job)
    jobs.release(store, "dead")
    assert _row(store, job).state == "cancelled"


def test_progress_is_written_only_now_and_then_but_always_at_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "REPORT_SECONDS", 3600.0)
    job = _ask(store, "read", a_user(store))
    claim = _claim(store)
    for done in range(1, 100):
        claim.report(done, 100)
    assert _row(store, job).done == 1
    claim.report(100, 100)
    assert _row(store, job).done == 100


def _run(store: Store, handler: loop.Handler, over: Callable[[], bool]) -> None:
    """Run a worker until `over`, which has to come true within half a minute."""
    stop = threading.Event()
    worker = threading.Thread(target=loop.run, args=(store, {"read": handler}, stop, "w1"))
    worker.start()
    try:
        until = time.monotonic() + 30
        while not over():
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        stop.set()
        worker.join(30)
    assert not worker.is_alive()


def test_the_loop_does_what_is_asked_meanwhile(store: Store) -> None:
    user = a_user(store)
    jobs_asked = [_ask(store, "read", user) for _ in range(3)]

    def effect(store: Store, claim: jobs.Claim) -> None:
        with store.session() as session:
            settings.put(session, f"effect {claim.id}", "done")
            jobs.finish(session, claim, {})

    _run(store, effect, lambda: all(_row(store, job).state == "done" for job in jobs_asked))
    with store.read() as session:
        assert session.scalar(select(func.count()).select_from(Setting)) == 3


def test_the_loop_fails_a_job_whose_handler_forgets_to_finish(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST_ATTEMPTS", 1)
    job = _ask(store, "read", a_user(store))
    _run(store, lambda _, __: None, lambda: _row(store, job).state == "failed")
    assert "RuntimeError" in _row(store, job).error


def test_the_loop_fails_a_job_it_knows_no_handler_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_ATTEMPTS", 1)
    job = _ask(store, "adapt", a_user(store))
    _run(store, lambda _, __: None, lambda: _row(store, job).state == "failed")


def test_the_loop_logs_no_message_of_an_error(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jobs, "MOST_ATTEMPTS", 1)
    job = _ask(store, "read", a_user(store))

    def fail(store: Store, claim: jobs.Claim) -> None:
        raise KeyError("Doe" + "^John")

    _run(store, fail, lambda: _row(store, job).state == "failed")
    assert "KeyError" in caplog.text
    assert "Doe^John" not in caplog.text


def test_the_loop_keeps_the_lease_of_a_job_that_computes_for_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LEASE_SECONDS", 0.6)
    job = _ask(store, "read", a_user(store))
    others: list[jobs.Claim | None] = []

    def compute(store: Store, claim: jobs.Claim) -> None:
        for _ in range(15):  # three leases
            time.sleep(0.12)
            others.append(jobs.claim(store, "other"))
        with store.session() as session:
            jobs.finish(session, claim)

    _run(store, compute, lambda: _row(store, job).state == "done")
    assert others == [None] * 15
    assert _row(store, job).attempts == 1


def test_the_loop_puts_a_job_back_when_it_is_ended(store: Store) -> None:
    job = _ask(store, "read", a_user(store))
    started, stop = threading.Event(), threading.Event()

    def endless(store: Store, claim: jobs.Claim) -> None:
        started.set()
        while True:
            claim.report(0, 100)
            time.sleep(0.02)

    worker = threading.Thread(target=loop.run, args=(store, {"read": endless}, stop, "w1"))
    worker.start()
    assert started.wait(30)
    stop.set()
    worker.join(30)
    row = _row(store, job)
    assert (row.state, row.attempts) == ("queued", 0)
    assert _claim(store, "w2").id == job


def test_the_loop_cancels_what_runs(store: Store) -> None:
    job = _ask(store, "read", a_user(store))
    asked: list[bool] = []

    def endless(store: Store, claim: jobs.Claim) -> None:
        with store.session() as session:
            asked.append(jobs.cancel(session, job))
        for done in range(10_000):
            claim.report(done, 10_000)
            time.sleep(0.02)

    _run(store, endless, lambda: _row(store, job).state == "cancelled")
    assert asked == [False]
