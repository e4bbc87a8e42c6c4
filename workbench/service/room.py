"""How much an import may still take: by its own limit, its condition's owner's quota, and the disk."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workbench.errors import NotFound
from workbench.imaging.limits import LIMITS
from workbench.service.spools import Spool
from workbench.store import settings
from workbench.store.blobs import free_bytes
from workbench.store.database import Store
from workbench.store.schema import Condition, ScanRow, User

QUOTA_SETTING = "quota.bytes"
DEFAULT_QUOTA = 100 * 2**30
LARGEST_FILE = LIMITS.archive_bytes
LARGEST_IMPORT = 4 * LIMITS.archive_bytes
_SPARE = 2**30
"""Bytes that stay free on the disk."""


def room_for(store: Store, session: Session, spool: Spool) -> int:
    """Bytes that an import may still take: by its own limit, its condition's owner, and the disk."""
    condition = session.get(Condition, spool.about.condition_id)
    if condition is None:
        raise NotFound("The condition is gone. Drop the files into another.")
    owner = session.get(User, condition.owner_id)
    quota = owner.quota if owner is not None and owner.quota is not None else _site_quota(session)
    taken = spool.bytes
    free = free_bytes(store.data_dir) - _SPARE
    return min(LARGEST_IMPORT - taken, quota - used(session, condition.owner_id) - taken, free)


def used(session: Session, user_id: str) -> int:
    """Bytes that the scans of somebody's conditions hold."""
    total = session.scalar(
        select(func.sum(ScanRow.bytes))
        .join(Condition, Condition.id == ScanRow.condition_id)
        .where(Condition.owner_id == user_id)
    )
    return int(total or 0)


def _site_quota(session: Session) -> int:
    named = settings.get(session, QUOTA_SETTING)
    return int(named) if named.isdecimal() else DEFAULT_QUOTA
