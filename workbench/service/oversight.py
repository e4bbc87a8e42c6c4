"""What an administrator looks at: lines of the audit trail, the workers, and how much room there is."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from workbench.service.access import require_role
from workbench.service.kinds import Actor, Role
from workbench.service.room import DEFAULT_QUOTA, QUOTA_SETTING
from workbench.store import audit, settings
from workbench.store.database import DATABASE_FILE, Store
from workbench.store.schema import AuditRow, Blob, JobRow, User

_DAY = 86_400.0
_PAGE = 100
_WHOLE = 40


@dataclass(frozen=True, slots=True)
class TrailLine:
    """A line of the audit trail as it is shown; `who` is the display name of a user who still exists."""

    seq: int
    at: float
    who: str
    action: str
    kind: str
    object_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class Trail:
    """Some lines of the trail, newest first.

    Attributes:
        lines: at most a hundred.
        total: lines of the whole trail.
        more: whether older ones fit the filter.
        what, who: the filter they fit.
    """

    lines: tuple[TrailLine, ...]
    total: int
    more: bool
    what: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True)
class Busy:
    """A job that runs; `since` is when a worker took it."""

    kind: str
    done: int
    total: int
    since: float


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the workers keep up, and how much room there is.

    Attributes:
        queued: jobs that wait.
        workers: jobs that run, longest first.
        stuck: of these, how many whose worker has given no sign of life.
        failed: jobs that failed within a day.
        blobs: bytes of scans, models and files.
        database: bytes of the database file; 0 where it is on a server.
        spool: bytes of uploads under way.
        free: bytes free on the disk.
    """

    queued: int
    workers: tuple[Busy, ...]
    stuck: int
    failed: int
    blobs: int
    database: int
    spool: int
    free: int


def trail(store: Store, actor: Actor, what: str = "", who: str = "", before: int | None = None) -> Trail:
    """Lines of the audit trail, newest first.

    Args:
        store, actor: an administrator.
        what: only lines whose action, kind of object or object identifier begins with or holds this.
        who: only lines of users whose name holds this.
        before: only lines with a smaller number.

    Raises:
        NotAllowed: the actor is no administrator.
    """
    require_role(actor, Role.ADMIN)
    with store.read() as session:
        query = select(AuditRow).order_by(AuditRow.seq.desc()).limit(_PAGE + 1)
        for part in _filters(what.strip(), who.strip()):
            query = query.where(part)
        if before is not None:
            query = query.where(AuditRow.seq < before)
        rows = session.scalars(query).all()
        names = _names(session, {row.actor for row in rows})
        total = session.scalar(select(func.count()).select_from(AuditRow)) or 0
        lines = tuple(_line(row, names) for row in rows[:_PAGE])
    return Trail(lines, total, len(rows) > _PAGE, what.strip(), who.strip())


def verify_trail(store: Store, actor: Actor) -> audit.Verdict:
    """Whether the trail is whole.

    Raises:
        NotAllowed: the actor is no administrator.
    """
    require_role(actor, Role.ADMIN)
    return audit.verify(store)


def health(store: Store, actor: Actor) -> Health:
    """Workers and room.

    Raises:
        NotAllowed: the actor is no administrator.
    """
    require_role(actor, Role.ADMIN)
    now = time.time()
    with store.read() as session:
        running = session.scalars(
            select(JobRow).where(JobRow.state == "running").order_by(JobRow.started, JobRow.id)
        ).all()
        queued = _count(session, JobRow.state == "queued")
        failed = _count(session, (JobRow.state == "failed") & (JobRow.finished > now - _DAY))
        blobs = session.scalar(select(func.coalesce(func.sum(Blob.size), 0))) or 0
        busy = tuple(Busy(row.kind, row.done, row.total, row.started or row.created) for row in running)
        stuck = sum(row.leased_until < now for row in running)
    folder = store.data_dir
    database = sum(_size(path) for path in folder.glob(f"{DATABASE_FILE}*"))
    spool = sum(_size(path) for path in (folder / "spool").rglob("*"))
    return Health(queued, busy, stuck, failed, int(blobs), database, spool, shutil.disk_usage(folder).free)


def site_quota(store: Store) -> int:
    """Bytes that the conditions of somebody without a quota of their own may hold."""
    with store.read() as session:
        named = settings.get(session, QUOTA_SETTING)
    return int(named) if named.isdecimal() else DEFAULT_QUOTA


def _count(session: Session, where: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(JobRow).where(where)) or 0


def _size(path: Path) -> int:
    """0 for a folder, and for what went away meanwhile."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _filters(what: str, who: str) -> Iterator[ColumnElement[bool]]:
    if what:
        yield or_(
            AuditRow.action.contains(what, autoescape=True),
            AuditRow.kind == what,
            AuditRow.object_id.startswith(what, autoescape=True),
        )
    if who:
        named = select(User.id).where(
            or_(User.name.contains(who.lower(), autoescape=True), User.display.contains(who, autoescape=True))
        )
        yield or_(AuditRow.actor.in_(named), AuditRow.actor == who)


def _names(session: Session, actors: set[str]) -> dict[str, str]:
    rows = session.execute(select(User.id, User.display, User.name).where(User.id.in_(actors)))
    return {user_id: display or name for user_id, display, name in rows}


def _line(row: AuditRow, names: dict[str, str]) -> TrailLine:
    detail = ", ".join(f"{key} {_told(value)}" for key, value in sorted(row.detail.items()))
    return TrailLine(
        row.seq, row.at, names.get(row.actor, row.actor), row.action, row.kind, row.object_id, detail
    )


def _told(value: object) -> str:
    """A value as it is shown; of a digest its beginning, the export has the whole of it."""
    if isinstance(value, str):
        return value if len(value) <= _WHOLE else f"{value[:12]}…"
    return json.dumps(value, ensure_ascii=False)
