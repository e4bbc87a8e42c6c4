"""Asking for readings and evidence: the jobs' arguments, and not asking twice for what waits already."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workbench.service.serial import dumped
from workbench.store import jobs
from workbench.store.schema import JobRow, ReadingRow, ScanRow


@dataclass(frozen=True, slots=True)
class ReadGiven:
    """Arguments of a read job: the version that reads every case it has not read."""

    version_id: str


@dataclass(frozen=True, slots=True)
class EvidenceGiven:
    """Arguments of an evidence job."""

    scan_id: str
    version_id: str


def ask_to_read(session: Session, user_id: str, condition_id: str, version_id: str) -> str | None:
    """A job for the cases that a version has not read; None where there are none, or one waits already."""
    unread = session.scalar(
        select(func.count())
        .select_from(ScanRow)
        .where(
            ScanRow.condition_id == condition_id,
            ScanRow.role == "case",
            ScanRow.removed.is_(None),
            ~select(ReadingRow.id)
            .where(ReadingRow.scan_id == ScanRow.id, ReadingRow.version_id == version_id)
            .exists(),
        )
    )
    given = dumped(ReadGiven(version_id))
    if not unread or waiting_job(session, condition_id, "read", given) is not None:
        return None
    return jobs.enqueue(session, "read", user_id, condition_id, given)


def waiting_job(session: Session, condition_id: str, kind: str, given: object) -> str | None:
    """A job of that kind with these arguments that nobody has taken yet."""
    rows = session.scalars(
        select(JobRow).where(
            JobRow.condition_id == condition_id, JobRow.kind == kind, JobRow.state == "queued"
        )
    )
    return next((row.id for row in rows if row.given == given), None)
