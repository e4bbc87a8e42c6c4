"""Which scans to label next, by the query policy on the unlabelled ones: asked for, remembered, shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.errors import SupportError
from workbench.imaging.scan import Scan
from workbench.querying.suggest import pool_of, suggest
from workbench.service.access import level_of
from workbench.service.engine import Engine
from workbench.service.kinds import Actor, JobInfo, Suggested, SuggestedScans
from workbench.service.overview import active_version
from workbench.service.scanfile import open_scan
from workbench.service.serial import dumped, loaded
from workbench.service.standing import NOTHING, standings
from workbench.service.work import info
from workbench.store import jobs
from workbench.store.database import Store
from workbench.store.jobs import Claim
from workbench.store.schema import JobRow, ScanRow, Version

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
        if not _unlabelled(session, condition_id):
            raise SupportError("Every scan has a label. Add scans that are not labelled yet.")
        given = dumped(SuggestGiven(version.id, count))
        return info(
            session.get_one(JobRow, jobs.enqueue(session, "suggest", actor.user_id, condition_id, given))
        )


def run(engine: Engine, store: Store, claim: Claim) -> None:
    """Choose among the unlabelled scans.

    Raises:
        SupportError: none is left.
    """
    given = loaded(SuggestGiven, claim.given)
    condition_id = claim.condition_id or ""
    with store.read() as session:
        version = session.get(Version, given.version_id)
        rows = _unlabelled(session, condition_id)
    if version is None or not rows:
        raise SupportError("There is no scan to suggest any more. Look at the condition again.")
    model = engine.model(version.model, store.blobs.path(version.model))

    by_id = {row.id: row for row in rows}

    def scans() -> Iterator[tuple[str, Scan]]:
        for done, row in enumerate(rows):
            claim.report(done, len(rows), f"Looking at scan {done + 1} of {len(rows)}")
            yield row.id, open_scan(store.blobs.path(row.blob)).scan(f"scan {row.number}")

    pool = pool_of(model, scans(), {row.id: row.patient for row in rows})
    chosen = suggest(model, pool, given.count)
    found = SuggestedScans(
        tuple(
            Suggested(one.name, by_id[one.name].number, one.reason, one.label, one.probability)
            for one in chosen.suggestions
        ),
        str(chosen.outlook),
        chosen.strategy,
    )
    with store.session() as session:
        jobs.finish(session, claim, dumped(found))


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
        left = {scan.id for scan in _unlabelled(session, condition_id)}
    found = loaded(SuggestedScans, row.outcome)
    scans = tuple(one for one in found.scans if one.scan_id in left)
    return SuggestedScans(scans, found.outlook, found.strategy)


def _unlabelled(session: Session, condition_id: str) -> list[ScanRow]:
    """Scans to be labelled about which nobody has said anything."""
    known = standings(session, condition_id)
    rows = session.scalars(
        select(ScanRow)
        .where(ScanRow.condition_id == condition_id, ScanRow.role == "support", ScanRow.removed.is_(None))
        .order_by(ScanRow.number)
    )
    untouched = (row for row in rows if not known.get(row.id, NOTHING).readers)
    return [row for row in untouched if known.get(row.id, NOTHING).settled is None]
