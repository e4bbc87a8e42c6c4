"""Scans that were read become rows of their condition: numbers are given out, exact copies held back.

Called by the import and demo jobs, within the transaction that ends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workbench.imaging.scan import Finding, Severity
from workbench.service.serial import dumped
from workbench.store.schema import Condition, Label, ScanRow

_CONTRADICTED = Finding(
    "copy-in-other-folder",
    Severity.WARNING,
    "An exact copy of it lay in the folder of another class.",
    "Label it yourself; its folder does not say.",
)


@dataclass(frozen=True, slots=True)
class Made:
    """A scan whose files are written, on its way to becoming a row."""

    name: str
    row: ScanRow


def add_rows(
    session: Session, condition_id: str, role: str, made: Sequence[Made]
) -> tuple[tuple[str, ...], tuple[tuple[str, int], ...]]:
    """Give scans their numbers; exact copies of scans of the same role are held back.

    Returns:
        identifiers of the scans added; and of each copy its name and the number of the scan it copies.
    """
    # Others that would count on from the same number wait here (PostgreSQL; SQLite has one writer).
    session.scalar(select(Condition.id).where(Condition.id == condition_id).with_for_update())
    highest = select(func.max(ScanRow.number)).where(ScanRow.condition_id == condition_id)
    number = session.scalar(highest) or 0
    there = _first_of(session, condition_id, role)
    stored: list[str] = []
    copies: list[tuple[str, int]] = []
    for one in made:
        first = there.get(one.row.copy)
        if first is not None:
            copies.append((one.name, first.number))
            _contradict(session, first, one.row)
            continue
        number += 1
        one.row.number = number
        session.add(one.row)
        there[one.row.copy] = one.row
        stored.append(one.row.id)
    session.flush()
    return tuple(stored), tuple(copies)


def _first_of(session: Session, condition_id: str, role: str) -> dict[str, ScanRow]:
    """Scans of a role by what exact copies share."""
    rows = session.scalars(
        select(ScanRow)
        .where(ScanRow.condition_id == condition_id, ScanRow.role == role, ScanRow.removed.is_(None))
        .order_by(ScanRow.number.desc())
    )
    return {row.copy: row for row in rows}


def _contradict(session: Session, first: ScanRow, copy: ScanRow) -> None:
    """A copy from another class's folder: the folder of the first may then not decide its label either."""
    if not copy.hint or not first.hint or copy.hint == first.hint:
        return
    session.flush()
    if session.scalar(select(Label.id).where(Label.scan_id == first.id).limit(1)) is None:
        first.hint = ""
    codes = {finding["code"] for finding in first.findings}
    if _CONTRADICTED.code not in codes:
        first.findings = [*first.findings, dumped(_CONTRADICTED)]
