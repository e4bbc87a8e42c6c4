"""Adapted models of a condition: list, compare, go back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from workbench.service.access import held_level, level_of, version_of
from workbench.service.asking import ask_to_read
from workbench.service.kinds import Actor, AdaptResult, Level, VersionInfo
from workbench.service.serial import loaded
from workbench.service.standing import labelled_by
from workbench.store import audit
from workbench.store.database import Store
from workbench.store.schema import User, Version


def all(store: Store, actor: Actor, condition_id: str) -> tuple[VersionInfo, ...]:
    """Every version of a condition, newest first.

    What it says of single labelled scans is left out where the actor has not labelled them, the owner apart.
    """
    with store.read() as session:
        condition = level_of(session, actor, condition_id)
        rows = session.scalars(
            select(Version).where(Version.condition_id == condition_id).order_by(Version.number.desc())
        )
        found = tuple(info(session, row) for row in rows)
        if held_level(session, actor, condition) is Level.OWN:
            return found
        own = labelled_by(session, actor, condition_id)
        return tuple(replace(one, result=_blinded(one.result, own)) for one in found)


def activate(store: Store, actor: Actor, version_id: str) -> VersionInfo:
    """Read new cases by this version from now on, and those that it has not read yet.

    Raises:
        NotFound: there is no such version, or not for this actor.
    """
    with store.session() as session:
        row = version_of(session, actor, version_id, Level.EDIT)
        make_active(session, row)
        ask_to_read(session, actor.user_id, row.condition_id, row.id)
        detail = {"number": row.number}
        audit.record(session, actor.user_id, "version.activate", "version", version_id, detail)
        return info(session, row)


def model_file(store: Store, actor: Actor, version_id: str) -> tuple[int, Path]:
    """A version's number and its model file, for somebody who takes it away; recorded in the trail.

    Raises:
        NotFound: there is no such version, or not for this actor.
    """
    with store.session() as session:
        row = version_of(session, actor, version_id)
        audit.record(session, actor.user_id, "version.take", "version", version_id, {"number": row.number})
        return row.number, store.blobs.path(row.model)


def make_active(session: Session, row: Version) -> None:
    """The one version of its condition that new cases are read by."""
    others = update(Version).where(Version.condition_id == row.condition_id, Version.id != row.id)
    session.execute(others.values(active=False))
    row.active = True
    session.flush()


def _blinded(result: AdaptResult, own: frozenset[str]) -> AdaptResult:
    return replace(
        result,
        judged=tuple(one for one in result.judged if one.scan_id in own),
        suspects=tuple(one for one in result.suspects if one[0] in own),
    )


def info(session: Session, row: Version) -> VersionInfo:
    """A row as it is shown."""
    user = session.get(User, row.user_id)
    by = (user.display or user.name) if user is not None else "somebody who left"
    return VersionInfo(
        id=row.id,
        number=row.number,
        method=row.method,
        active=row.active,
        by=by,
        created=row.created,
        result=loaded(AdaptResult, row.result),
    )
