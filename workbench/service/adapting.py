"""Adapting a condition to its labelled scans: asking for it. What the job does is in `job_adapt`."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from workbench.errors import SupportError
from workbench.service.access import level_of
from workbench.service.drafts import known_method
from workbench.service.kinds import Actor, JobInfo, Level
from workbench.service.overview import overview
from workbench.service.serial import dumped
from workbench.service.work import info
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import JobRow


@dataclass(frozen=True, slots=True)
class AdaptGiven:
    """Arguments of an adapt job; an empty method stands for the condition's own, or the default."""

    method: str = ""


def start(store: Store, actor: Actor, condition_id: str, method: str = "") -> JobInfo:
    """Ask for a version from the labels that count now.

    Asked again while the first still waits, it is the same job. Scans that readers disagree about are left
    out; the version says on which scans it stands.

    Args:
        store, actor, condition_id: whose.
        method: empty for the condition's own, or the default of the weights.

    Raises:
        SupportError: a class has no labelled scan, or there is no such method.
    """
    chosen = known_method(method)
    with store.session() as session:
        condition = level_of(session, actor, condition_id, Level.EDIT)
        if said := overview(session, actor, condition).missing:
            raise SupportError(said)
        given = dumped(AdaptGiven(chosen))
        waiting = session.scalars(
            select(JobRow).where(
                JobRow.condition_id == condition_id, JobRow.kind == "adapt", JobRow.state == "queued"
            )
        )
        for row in waiting:
            if row.given == given:
                return info(row)
        job_id = jobs.enqueue(session, "adapt", actor.user_id, condition_id, given)
        detail = {"method": chosen}
        audit.record(session, actor.user_id, "condition.adapt", "condition", condition_id, detail)
        made = session.get(JobRow, job_id)
        assert made is not None
        return info(made)
