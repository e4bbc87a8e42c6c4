"""The suggest job: `workbench.querying.suggest` on the unlabelled scans of a condition."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.errors import SupportError
from workbench.imaging.scan import Scan
from workbench.querying.suggest import pool_of, suggest
from workbench.service.engine import Engine
from workbench.service.kinds import Suggested, SuggestedScans
from workbench.service.scanfile import open_scan
from workbench.service.serial import dumped, loaded
from workbench.service.suggesting import SuggestGiven, unlabelled
from workbench.store import jobs
from workbench.store.database import Store
from workbench.store.jobs import Claim
from workbench.store.schema import Version


def run(engine: Engine, store: Store, claim: Claim) -> None:
    """Choose among the unlabelled scans.

    Raises:
        SupportError: none is left.
    """
    given = loaded(SuggestGiven, claim.given)
    condition_id = claim.condition_id or ""
    with store.read() as session:
        version = session.get(Version, given.version_id)
        rows = unlabelled(session, condition_id)
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
