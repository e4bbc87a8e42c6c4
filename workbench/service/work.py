"""Jobs as their asker sees them: progress, cancelling, waiting."""

from __future__ import annotations

import time

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.errors import NotFound
from workbench.service.access import level_of
from workbench.service.kinds import Actor, JobInfo, Level
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import JobRow

_UNFINISHED = ("queued", "running")
_POLL_SECONDS = 0.05


def job(store: Store, actor: Actor, job_id: str) -> JobInfo:
    """A job of a condition the actor may look at, or one the actor asked for.

    Raises:
        NotFound: there is none, or not for this actor.
    """
    with store.read() as session:
        return info(_row(session, actor, job_id))


def of_condition(
    store: Store, actor: Actor, condition_id: str, unfinished: bool = True
) -> tuple[JobInfo, ...]:
    """Jobs of a condition, newest first; those that wait or run only, unless all are asked for.

    Raises:
        NotFound: there is no such condition, or not for this actor.
    """
    with store.read() as session:
        level_of(session, actor, condition_id)
        query = select(JobRow).where(JobRow.condition_id == condition_id)
        if unfinished:
            query = query.where(JobRow.state.in_(_UNFINISHED))
        rows = session.scalars(query.order_by(JobRow.created.desc(), JobRow.id))
        return tuple(info(row) for row in rows)


def cancel(store: Store, actor: Actor, job_id: str) -> JobInfo:
    """Ask for a job to be stopped; it may end first. Whoever asked for it, or may edit the condition, may.

    Raises:
        NotFound: there is none, or not for this actor.
        NotAllowed: it is somebody else's and the actor may only look.
    """
    with store.session() as session:
        row = _row(session, actor, job_id)
        if row.user_id != actor.user_id and row.condition_id is not None:
            level_of(session, actor, row.condition_id, Level.EDIT)
        jobs.cancel(session, job_id)
        audit.record(session, actor.user_id, "job.cancel", "job", job_id, {"kind": row.kind})
        session.flush()
        session.refresh(row)
        return info(row)


def wait(store: Store, actor: Actor, job_id: str, seconds: float) -> JobInfo:
    """The job once it is over, or as it stands after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        found = job(store, actor, job_id)
        if found.over or time.monotonic() >= until:
            return found
        time.sleep(_POLL_SECONDS)


def info(row: JobRow) -> JobInfo:
    """A row as it is shown."""
    said = "Stopping" if row.cancel and row.state == "running" else row.said
    return JobInfo(
        row.id,
        row.kind,
        row.condition_id,
        row.state,
        row.done,
        row.total,
        said,
        row.error,
        row.created,
        row.finished,
    )


def _row(session: Session, actor: Actor, job_id: str) -> JobRow:
    row = session.get(JobRow, job_id)
    if row is None:
        raise NotFound("There is no such job, or it is not shared with you.")
    if row.user_id != actor.user_id:
        if row.condition_id is None:
            raise NotFound("There is no such job, or it is not shared with you.")
        level_of(session, actor, row.condition_id, what="job")
    return row
