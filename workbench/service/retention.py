"""What goes after how many days, by the site's own rules; a worker sees to it once a day.

Nothing is removed unless an administrator says so, but for what failed imports leave in their private
folders. Each removal is a line of the audit trail, which itself is never shortened.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import Select, delete, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from workbench.errors import SupportError
from workbench.service import spools
from workbench.service.access import require_role
from workbench.service.kinds import Actor, Role
from workbench.store import audit, settings
from workbench.store.database import Store
from workbench.store.schema import Artefact, Condition, JobRow, ScanRow, Version

DAY = 24 * 3600.0
LAST = "retention.last"
MOST_DAYS = 36_500
SYSTEM = "system"
_LOOK_SECONDS = 600.0
_CHUNK = 500
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """Days after which something goes; 0 keeps it.

    Attributes:
        spools: raw uploads of failed imports, and names of refused files, after the import ended.
        cases: cases with their readings and opinions, after they came in; bundles of the condition go too, as
            they hold the cases' scans.
        removed: scans that somebody took out, after that; versions that stand on them go on working, and can
            no longer be bundled.
        conditions: archived conditions with everything in them, after they were archived.
        versions: versions that are not in use, with their readings and the opinions about these, after they
            were made.
        artefacts: reports, tables and bundles, after they were made.
    """

    spools: int = 7
    cases: int = 0
    removed: int = 0
    conditions: int = 0
    versions: int = 0
    artefacts: int = 0


@dataclass(frozen=True, slots=True)
class Removal:
    """What one rule removes: which rule, after how many days, how many things."""

    rule: str
    days: int
    count: int


def rules(store: Store, actor: Actor) -> Rules:
    """The rules in force.

    Raises:
        NotAllowed: the actor is no administrator.
    """
    require_role(actor, Role.ADMIN)
    with store.read() as session:
        return _rules(session)


def set_rules(store: Store, actor: Actor, wanted: Rules) -> Rules:
    """Change the rules; they act within a day.

    Raises:
        NotAllowed: the actor is no administrator.
        SupportError: a number of days is none.
    """
    require_role(actor, Role.ADMIN)
    for name, days in asdict(wanted).items():
        if not 0 <= days <= MOST_DAYS:
            raise SupportError(f"Days for {name} must lie between 0 (keep) and {MOST_DAYS}, not at {days}.")
    with store.session() as session:
        for name, days in asdict(wanted).items():
            settings.put(session, _setting(name), str(days))
        who = actor.user_id or actor.name
        audit.record(session, who, "retention.set", "site", "", asdict(wanted))
    return wanted


def preview(store: Store, actor: Actor) -> tuple[Removal, ...]:
    """What the rules would remove now; nothing is.

    Raises:
        NotAllowed: the actor is no administrator.
    """
    require_role(actor, Role.ADMIN)
    with store.read() as session:
        return tuple(
            Removal(rule, days, len(rule_ids(store, session, rule, time.time() - days * DAY)))
            for rule, days in asdict(_rules(session)).items()
            if days
        )


def apply(store: Store, now: float | None = None) -> tuple[Removal, ...]:
    """Remove what the rules say, each rule in a transaction of its own, then the files nobody refers to.

    Args:
        store: whose.
        now: UTC seconds since 1970; the present where not given.
    """
    at = time.time() if now is None else now
    with store.read() as session:
        wanted = {rule: days for rule, days in asdict(_rules(session)).items() if days}
    done = []
    for rule, days in wanted.items():
        with store.session() as session:
            ids = rule_ids(store, session, rule, at - days * DAY)
            _remove(store, session, rule, ids)
            if ids:
                detail = {"rule": rule, "days": days, "count": len(ids)}
                audit.record(session, SYSTEM, "retention.remove", "site", "", detail)
        done.append(Removal(rule, days, len(ids)))
    while True:
        with store.session() as session:
            if store.blobs.collect(session, most=_CHUNK) < _CHUNK:
                return tuple(done)


def apply_if_due(store: Store, now: float | None = None) -> tuple[Removal, ...] | None:
    """`apply` once a day, whichever of several workers comes first; None where it was done already."""
    at = time.time() if now is None else now
    with store.session() as session:
        if at - float(settings.get(session, LAST, "0")) < DAY:
            return None
        settings.put(session, LAST, str(at))
    return apply(store, at)


def watch(store: Store, stop: threading.Event) -> threading.Thread:
    """Look from time to time whether a day has passed, in a thread of its own, until `stop` is set."""

    def look() -> None:
        while True:
            try:
                apply_if_due(store)
            except (DBAPIError, OSError) as error:
                log.warning("Retention could not run (%s); it will try again.", type(error).__name__)
            if stop.wait(_LOOK_SECONDS):
                return

    thread = threading.Thread(target=look, name="retention", daemon=True)
    thread.start()
    return thread


def rule_ids(store: Store, session: Session, rule: str, before: float) -> list[str]:
    """What a rule removes: identifiers of everything that is older than a moment."""
    if rule == "spools":
        return _old_spools(store, session, before)
    return list(session.scalars(_QUERIES[rule](before)))


def _old_spools(store: Store, session: Session, before: float) -> list[str]:
    place = store.data_dir / "spool"
    found = []
    for folder in sorted(place.iterdir()) if place.is_dir() else ():
        row = session.get(JobRow, folder.name)
        if row is not None and row.finished is not None and row.finished < before:
            found.append(folder.name)
    return found


def _remove(store: Store, session: Session, rule: str, ids: list[str]) -> None:
    if rule == "spools":
        for job_id in ids:
            spools.remove(store, job_id)
        return
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        if rule in ("cases", "removed"):
            touched = select(ScanRow.condition_id).where(ScanRow.id.in_(some))
            held = (Artefact.kind == "bundle", Artefact.condition_id.in_(touched))
            session.execute(delete(Artefact).where(*held), execution_options=_UNSYNCHRONISED)
        table = _TABLES[rule]
        session.execute(delete(table).where(table.id.in_(some)), execution_options=_UNSYNCHRONISED)


def _rules(session: Session) -> Rules:
    defaults = Rules()
    days = {
        one.name: int(settings.get(session, _setting(one.name), str(getattr(defaults, one.name))))
        for one in fields(Rules)
    }
    return Rules(**days)


def _setting(rule: str) -> str:
    return f"retention.{rule}.days"


def _cases(before: float) -> Select[Any]:
    return select(ScanRow.id).where(ScanRow.role.in_(("case", "cohort")), ScanRow.created < before)


def _removed(before: float) -> Select[Any]:
    return select(ScanRow.id).where(ScanRow.removed.is_not(None), ScanRow.removed < before)


def _conditions(before: float) -> Select[Any]:
    return select(Condition.id).where(Condition.archived.is_not(None), Condition.archived < before)


def _versions(before: float) -> Select[Any]:
    return select(Version.id).where(~Version.active, Version.created < before)


def _artefacts(before: float) -> Select[Any]:
    return select(Artefact.id).where(Artefact.created < before)


_UNSYNCHRONISED = {"synchronize_session": False}
_QUERIES: dict[str, Callable[[float], Select[Any]]] = {
    "cases": _cases,
    "removed": _removed,
    "conditions": _conditions,
    "versions": _versions,
    "artefacts": _artefacts,
}
_TABLES: dict[str, type[ScanRow] | type[Condition] | type[Version] | type[Artefact]] = {
    "cases": ScanRow,
    "removed": ScanRow,
    "conditions": Condition,
    "versions": Version,
    "artefacts": Artefact,
}
