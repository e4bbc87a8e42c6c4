"""Work that outlives whoever asked for it: a queue in the database, each job's effect at most once.

A worker claims a job for `LEASE_SECONDS` and renews that while it works. The effect is written in one
transaction with `finish`, which fails if another worker has taken the job meanwhile: the effect is undone
then. A job whose worker died is taken by another. Whose turn it is, `workbench.store.turns` says.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import and_, func, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from workbench.errors import WorkbenchError
from workbench.store.schema import JobRow, new_id
from workbench.store.turns import in_turn, rank

if TYPE_CHECKING:
    from workbench.store.database import Store

LEASE_SECONDS = 15.0
MOST_ATTEMPTS = 3
"""A job that fails for reasons of ours is tried so often."""
MOST_DEATHS = 5
"""A job whose worker died each time is taken so often: it may be what kills them."""
BACK_OFF_SECONDS = (1.0, 5.0)
REPORT_SECONDS = 0.3
"""Progress is written no more often than this; it is for people."""
Change = dict[str, object]
"""New values of columns of a job, by name."""


class Cancelled(Exception):
    """Somebody wants the job stopped; raised by `Claim.report` for the handler to let through."""


class Stopped(Exception):
    """The worker is being ended; the job goes back to the queue as if it had not been taken."""


class LeaseLost(Exception):
    """Another worker has the job now, or it is over; whatever this one did must not be kept."""


@dataclass
class _Pulse:
    reported: float = 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this process does now.

    Attributes:
        given: the arguments, as the kind's dataclass serialises.
        lease: token of this claim.
        attempts: how often the job was taken, this time included.
    """

    id: str
    kind: str
    user_id: str
    condition_id: str | None
    given: dict[str, Any]
    lease: str
    attempts: int
    store: Store = field(repr=False, compare=False)
    stop: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    _pulse: _Pulse = field(default_factory=_Pulse, repr=False, compare=False)

    def report(self, done: int, total: int, said: str = "") -> None:
        """Say how far it is; call it often, and never within a writing session of one's own.

        Raises:
            Cancelled: somebody wants it stopped.
            Stopped: the worker is being ended.
            LeaseLost: another worker has the job.
        """
        if self.stop.is_set():
            raise Stopped
        now = time.monotonic()
        if now - self._pulse.reported < REPORT_SECONDS and done < total:
            return
        self._pulse.reported = now
        with self.store.session() as session:
            _renew(self.store, session, self, {"done": done, "total": total, "said": said[:200]})
            cancel = session.scalar(select(JobRow.cancel).where(JobRow.id == self.id))
        if cancel:
            raise Cancelled

    def renew(self) -> None:
        """Hold it for another `LEASE_SECONDS`.

        Raises:
            LeaseLost: another worker has the job.
        """
        with self.store.session() as session:
            _renew(self.store, session, self)


def enqueue(
    session: Session,
    kind: str,
    user_id: str,
    condition_id: str | None,
    given: dict[str, Any],
    priority: int = 0,
    job_id: str | None = None,
) -> str:
    """Ask for a job, in the caller's transaction: once that commits, it will be done.

    Args:
        session: a writing one.
        kind: see `workbench.store.turns`; another kind goes last.
        user_id: who asks.
        condition_id: what it is about, or None.
        given: the arguments, as JSON.
        priority: added to the kind's place in the order; below 0 for sooner.
        job_id: reserved earlier; asking twice under one identifier is asking once.

    Returns:
        The job's identifier.
    """
    if job_id is not None:
        there = session.get(JobRow, job_id)
        if there is not None:
            if (there.kind, there.user_id) != (kind, user_id):
                raise ValueError("the identifier belongs to another job")
            return job_id
    row = JobRow(
        id=job_id or new_id(),
        kind=kind,
        user_id=user_id,
        condition_id=condition_id,
        given=given,
        priority=rank(kind) + priority,
    )
    session.add(row)
    session.flush()
    return row.id


def claim(store: Store, worker: str, stop: threading.Event | None = None) -> Claim | None:
    """Take the next job, or None where none waits. `worker` names this process and no other."""
    with store.read() as session:
        if not _anything(store, session):
            return None
    with store.session() as session:
        _recover(store, session)
        now = store.now(session)
        for job_id in in_turn(session, now):
            query = select(JobRow).where(JobRow.id == job_id, JobRow.state == "queued")
            row = session.scalar(query.with_for_update(skip_locked=True))
            if row is None:
                continue
            row.state, row.worker, row.lease = "running", worker, secrets.token_hex(16)
            row.leased_until, row.attempts = now + LEASE_SECONDS, row.attempts + 1
            row.started = now
            return Claim(
                row.id,
                row.kind,
                row.user_id,
                row.condition_id,
                row.given,
                row.lease,
                row.attempts,
                store,
                stop or threading.Event(),
            )
    return None


def finish(session: Session, claim: Claim, outcome: dict[str, Any] | None = None) -> None:
    """Mark the job done, in the transaction that writes its effect.

    Raises:
        LeaseLost: another worker has the job, or it is over. Let it through, so that the effect is undone.
    """
    if not _end(session, claim, {"state": "done", "outcome": outcome, "finished": time.time()}):
        raise LeaseLost


def fail(store: Store, claim: Claim, error: Exception) -> None:
    """Say that the job did not work.

    What is the input's fault (`WorkbenchError`) fails at once with its message; anything else is tried again
    after a pause, `MOST_ATTEMPTS` times in all. Does nothing if another worker has the job.
    """
    with store.session() as session:
        if isinstance(error, WorkbenchError):
            _end(session, claim, {"state": "failed", "error": str(error), "finished": time.time()})
        elif claim.attempts >= MOST_ATTEMPTS:
            said = (
                f"The workbench failed at this ({type(error).__name__}), {claim.attempts} times. Nothing "
                "else is lost; whoever runs it finds the place in its log."
            )
            _end(session, claim, {"state": "failed", "error": said, "finished": time.time()})
        else:
            pause = BACK_OFF_SECONDS[min(claim.attempts, len(BACK_OFF_SECONDS)) - 1]
            _end(session, claim, {"state": "queued", "leased_until": store.now(session) + pause})


def give_up(store: Store, claim: Claim) -> None:
    """Mark a job cancelled whose handler let `Cancelled` through."""
    with store.session() as session:
        _end(session, claim, {"state": "cancelled", "finished": time.time()})


def put_back(store: Store, claim: Claim) -> None:
    """Queue a job again whose handler let `Stopped` through, as if it had not been taken."""
    with store.session() as session:
        _end(session, claim, {"state": "queued", "leased_until": 0.0, "attempts": claim.attempts - 1})


def is_held(store: Store, claim: Claim) -> bool:
    """Whether the job is still this claim's to finish."""
    with store.read() as session:
        return session.scalar(select(JobRow.lease).where(JobRow.id == claim.id)) == claim.lease


def cancel(session: Session, job_id: str) -> bool:
    """Ask for a job to be stopped: at once if it waits; if it runs, at its next report, unless it ends first.

    Returns:
        Whether it is over already.
    """
    row = session.scalar(select(JobRow).where(JobRow.id == job_id).with_for_update())
    if row is None:
        return True
    if row.state == "queued":
        row.state, row.finished = "cancelled", time.time()
    elif row.state == "running":
        row.cancel = True
    return row.state != "running"


def waiting(session: Session, user_id: str | None = None) -> int:
    """How many jobs wait or run, of one user or of all."""
    query = select(func.count()).select_from(JobRow).where(JobRow.state.in_(("queued", "running")))
    if user_id is not None:
        query = query.where(JobRow.user_id == user_id)
    return session.scalar(query) or 0


def release(store: Store, worker: str) -> int:
    """Queue again at once what a worker held that is known to be dead; returns how many jobs."""
    with store.session() as session:
        held = update(JobRow).where(JobRow.state == "running", JobRow.worker == worker)
        session.execute(held.values(leased_until=0.0))
        return _recover(store, session)


def _anything(store: Store, session: Session) -> bool:
    due = and_(JobRow.state.in_(("queued", "running")), JobRow.leased_until <= store.now(session))
    return session.scalar(select(JobRow.id).where(due).limit(1)) is not None


def _recover(store: Store, session: Session) -> int:
    """Jobs whose lease ran out: their workers are dead, or too slow to be allowed an effect."""
    now = store.now(session)
    lapsed = select(JobRow).where(JobRow.state == "running", JobRow.leased_until <= now)
    rows = session.scalars(lapsed.with_for_update(skip_locked=True)).all()
    for row in rows:
        row.lease, row.leased_until = "", now
        if row.cancel:
            row.state, row.finished = "cancelled", now
        elif row.attempts >= MOST_DEATHS:
            row.state, row.finished = "failed", now
            row.error = (
                f"The process that did this ended without a word, {row.attempts} times: too little memory, "
                "perhaps. Try it with fewer or smaller scans."
            )
        else:
            row.state = "queued"
    session.flush()
    return len(rows)


def _renew(store: Store, session: Session, claim: Claim, progress: Change | None = None) -> None:
    until = store.now(session) + LEASE_SECONDS
    if not _changed(session, claim, {"leased_until": until} | (progress or {})):
        raise LeaseLost


def _end(session: Session, claim: Claim, change: Change) -> bool:
    return _changed(session, claim, {"lease": ""} | change)


def _changed(session: Session, claim: Claim, change: Change) -> bool:
    """Change the job's row if it is still this claim's, which the database decides."""
    held = update(JobRow).where(JobRow.id == claim.id, JobRow.state == "running", JobRow.lease == claim.lease)
    done = session.execute(held.values(change), execution_options={"synchronize_session": False})
    return cast(CursorResult[Any], done).rowcount == 1
