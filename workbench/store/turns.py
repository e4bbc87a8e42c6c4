"""Whose turn it is: the order in which workers take the jobs that wait.

The next job is one of whoever has fewest running. Among those, kinds go in the order of `ORDER`, save that a
job that waited for `PATIENCE_SECONDS` ranks with the first; then the one whose user was served longest ago;
then the oldest. So nobody's thirty jobs keep another waiting.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workbench.store.schema import JobRow

PATIENCE_SECONDS = 20.0
ORDER = {
    "read": 10,
    "evidence": 10,
    "suggest": 20,
    "import": 20,
    "retrieve": 20,
    "adapt": 30,
    "evaluate": 40,
    "export": 40,
    "results": 40,
}
LAST = max(ORDER.values())


def rank(kind: str) -> int:
    """Place of a kind of job in the order; lower goes first, one that is not known last."""
    return ORDER.get(kind, LAST)


def in_turn(session: Session, now: float) -> list[str]:
    """Identifiers of the jobs that may be taken now, best first."""
    queued = session.execute(
        select(JobRow.id, JobRow.user_id, JobRow.priority, JobRow.created)
        .where(JobRow.state == "queued", JobRow.leased_until <= now)
        .order_by(JobRow.priority, JobRow.created)
    ).all()
    users = {job.user_id for job in queued}
    running = _by_user(session, func.count(), users, JobRow.state == "running")
    served = _by_user(session, func.max(JobRow.started), users, JobRow.started.is_not(None))

    def place(job: Any) -> tuple[float, int, float, float]:
        patient = job.priority if now - job.created < PATIENCE_SECONDS else min(job.priority, ORDER["read"])
        return running.get(job.user_id, 0), patient, served.get(job.user_id, 0.0), job.created

    return [job.id for job in sorted(queued, key=place)]


def _by_user(session: Session, what: Any, users: set[str], where: Any) -> dict[str, float]:
    query = select(JobRow.user_id, what).where(JobRow.user_id.in_(users), where).group_by(JobRow.user_id)
    return {user: float(value) for user, value in session.execute(query)}
