"""Judging the scans to be labelled beside each other, without their labels.

Labels are left out on purpose: what a finding says about one scan is seen by readers who are blind to the
labels of others. Contradictory labels of near-copies are found when adapting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from workbench.data.examples import Example
from workbench.data.quality import set_findings
from workbench.imaging.scan import Finding
from workbench.service.engine import Engine
from workbench.service.rows import present
from workbench.service.scanfile import open_scan
from workbench.service.serial import dumped
from workbench.store import jobs
from workbench.store.database import Store
from workbench.store.schema import ScanRow

Compared = Mapping[str, tuple[Finding, ...]]
"""Findings from comparing, by scan."""


def run(engine: Engine, store: Store, claim: jobs.Claim) -> None:
    """Judge them again after one came or went."""
    found = compared(store, claim.condition_id or "", ())
    with store.session() as session:
        for row in session.scalars(select(ScanRow).where(ScanRow.id.in_(found))):
            row.beside = dumped(found[row.id])
        jobs.finish(session, claim)


def compared(store: Store, condition_id: str, new: Sequence[ScanRow]) -> Compared:
    """Findings of each scan to be labelled that come from comparing it with the others.

    Args:
        store, condition_id: whose.
        new: rows that are not in the database yet; copies of those that are may be among them.
    """
    with store.read() as session:
        rows = session.scalars(present(condition_id, "support")).all()
    seen: dict[str, ScanRow] = {}
    for row in (*rows, *new):
        seen.setdefault(row.copy, row)
    kept = list(seen.values())
    examples = [Example(open_scan(store.blobs.path(row.blob)).middle(), "", row.patient) for row in kept]
    return {row.id: found for row, found in zip(kept, set_findings(examples), strict=True)}
