"""The query that nearly every function begins with: the scans of a condition that nobody took out."""

from __future__ import annotations

from sqlalchemy import Select, select

from workbench.store.schema import ScanRow


def present(condition_id: str, role: str) -> Select[ScanRow]:
    """Its scans of a role (``support``, ``case`` or ``cohort``), by number; refine it with `where`."""
    return (
        select(ScanRow)
        .where(ScanRow.condition_id == condition_id, ScanRow.role == role, ScanRow.removed.is_(None))
        .order_by(ScanRow.number)
    )
