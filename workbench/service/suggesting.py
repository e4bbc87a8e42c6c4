"""Which scans to label next, by the query policy on the unlabelled ones: asked for, remembered, shown.

What the job does is in `workbench.service.job_suggest`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.errors import SupportError
from workbench.service.access import level_of
from workbench.service.kinds import Actor, JobInfo, SuggestedScans
from workbench.service.overview import active_version
from workbench.service.rows import present
from workbench.service.serial import dumped, loaded
from workbench.service.standing import NOTHING, standings
from workbench.service.work import info
from workbench.store import jobs
from workbench.store.database import Store
from workbench.store.schema import JobRow, ScanRow

MOST = 50


@dataclass(frozen=True, slots=True)
class SuggestGiven:
    """Arguments of a suggestion."""

    version_id: str
    count: int


def next_to_label(store: Store, actor: Actor, condition_id: str, count: int = 5) -> JobInfo:
    """Ask which unlabelled scans would teach the active version most.

    Args:
        store, actor, condition_id: whose.
        count: how many, 1 to 50.

    Raises:
        SupportError: nothing has been adapted yet, or nothing is unlabelled.
    """
    if not 1 <= count <= MOST:
        raise SupportError(f"Ask for 1 to {MOST} scans.")
    with store.session() as session:
        level_of(session, actor, condition_id)
        version = active_version(session, condition_id)
        if version is None:
            raise SupportError("Suggestions come from an adapted model. Label a few of each class and adapt.")
        if not unlabelled(session, condition_id):
            raise SupportError("Every scan has a label. Add scans that are not labelled yet.")
        given = dumped(SuggestGiven(version.id, count))
        return info(
            session.get_one(JobRow, jobs.enqueue(session, "suggest", actor.user_id, condition_id, given))
        )


def suggested(store: Store, actor: Actor, condition_id: str) -> SuggestedScans:
    """What was last suggested, without the scans that have been labelled since.

    Raises:
        NotFound: there is no such condition, or not for the actor.
    """
    with store.read() as session:
        level_of(session, actor, condition_id)
        row = session.scalar(
            select(JobRow)
            .where(JobRow.condition_id == condition_id, JobRow.kind == "suggest", JobRow.state == "done")
            .order_by(JobRow.finished.desc())
            .limit(1)
        )
        if row is None or row.outcome is None:
            return SuggestedScans()
        left = {scan.id for scan in unlabelled(session, condition_id)}
    found = loaded(SuggestedScans, row.outcome)
    scans = tuple(one for one in found.scans if one.scan_id in left)
    return SuggestedScans(scans, found.outlook, found.strategy)


def unlabelled(session: Session, condition_id: str) -> list[ScanRow]:
    """Scans to be labelled about which nobody has said anything."""
    known = standings(session, condition_id)
    rows = session.scalars(present(condition_id, "support"))
    untouched = (row for row in rows if not known.get(row.id, NOTHING).readers)
    return [row for row in untouched if known.get(row.id, NOTHING).settled is None]
