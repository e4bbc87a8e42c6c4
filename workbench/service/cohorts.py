"""A cohort fixed before anything reads it: which scans, of which classes, and how often they were looked at.

The list is hashed and written into the audit trail in the transaction that asks for the evaluation, so that
it cannot be chosen by its results. Scans count as looked at once somebody was given figures about them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.errors import CohortError
from workbench.service.standing import NOTHING, standings
from workbench.store.schema import AuditRow, Condition, ScanRow

LOCKED, LOOKED = "cohort.lock", "cohort.look"


@dataclass(frozen=True, slots=True)
class Member:
    """A scan of a cohort with its true class."""

    scan_id: str
    label: str


@dataclass(frozen=True, slots=True)
class LockedCohort:
    """Arguments of an evaluation.

    Attributes:
        digest: SHA-256 of the scans' identities and classes.
        version_id: that will read it.
        members: by number of the scan.
    """

    digest: str
    version_id: str
    members: tuple[Member, ...]


def locked(session: Session, condition: Condition, version_id: str, batch: str) -> LockedCohort:
    """The cohort of an import, or of the cases whose truth is known.

    Args:
        session: of the caller.
        condition: whose scans.
        version_id: that will read it.
        batch: the import whose folders name the classes, all of them; empty for those cases that came in
            folders called like a class.

    Raises:
        CohortError: there is none, or a folder is not called like a class.
    """
    rows = session.scalars(
        select(ScanRow)
        .where(ScanRow.condition_id == condition.id, ScanRow.removed.is_(None))
        .where(ScanRow.batch == batch if batch else ScanRow.role == "case")
        .order_by(ScanRow.number)
    ).all()
    names = {one.id: one.name for one in condition.classes}
    known = standings(session, condition.id)
    truth = []
    for row in rows:
        labelled = names.get(known.get(row.id, NOTHING).counts_as or "")
        label = labelled or _of_folder(row, tuple(names.values()))
        if label:
            truth.append((row, label))
        elif batch:
            raise CohortError(_unknown(row, tuple(names.values())))
    if not truth:
        raise CohortError(
            "The cohort is empty: none of its scans could be read. Import others."
            if batch
            else "Of no case the true class is known. Import a cohort in folders called like the classes."
        )
    listed = sorted([row.identity, label] for row, label in truth)
    digest = hashlib.sha256(json.dumps(listed, ensure_ascii=False).encode()).hexdigest()
    return LockedCohort(digest, version_id, tuple(Member(row.id, label) for row, label in truth))


def looks(session: Session, condition_id: str, digest: str) -> int:
    """How often figures about this cohort were given in this condition, by the audit trail."""
    rows = session.scalars(
        select(AuditRow.detail).where(AuditRow.action == LOOKED, AuditRow.object_id == condition_id)
    )
    return sum(detail.get("cohort") == digest for detail in rows)


def _of_folder(row: ScanRow, classes: tuple[str, ...]) -> str:
    """The class that a scan's folder names, or empty."""
    folder = row.hint.strip().casefold()
    return next((name for name in classes if name.casefold() == folder), "")


def _unknown(row: ScanRow, classes: tuple[str, ...]) -> str:
    where = f"lies in a folder called {row.hint!r}" if row.hint else "lies in no class folder"
    return (
        f"scan {row.number} {where}; a cohort's folders are called like the classes "
        f"({', '.join(classes)}). Rename the folders and import the cohort again."
    )
