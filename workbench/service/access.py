"""Who may do what with a condition. Every service function asks here first.

Whoever may not look is told that there is nothing (`NotFound`), in the same words as where there is nothing.
Administrators manage people and see no other's scans.
"""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import Session

from workbench.errors import NotAllowed, NotFound
from workbench.service.kinds import Actor, Level, Role
from workbench.store.schema import EVERYBODY, Condition, ScanRow, Share, Version

_Part = TypeVar("_Part", ScanRow, Version)
_RANK = {Level.READ: 0, Level.EDIT: 1, Level.OWN: 2}
_NOTHING = "There is no such {}, or it is not shared with you."
_NEEDS = {
    Level.EDIT: "You may look at this condition and label it. Ask its owner for the right to edit.",
    Level.OWN: "Only the owner of a condition may do that.",
}


def level_of(
    session: Session, actor: Actor, condition_id: str, need: Level = Level.READ, what: str = "condition"
) -> Condition:
    """The condition, if the actor may do with it what is needed.

    Args:
        session: of the caller's transaction.
        actor: who asks.
        condition_id: of which condition.
        need: what for.
        what: what is asked for, in the words of the message (a condition by default).

    Raises:
        NotFound: there is no such condition, or the actor may not look at it.
        NotAllowed: the actor may look at it and not do that.
    """
    condition = session.get(Condition, condition_id)
    held = None if condition is None else held_level(session, actor, condition)
    if condition is None or held is None:
        raise NotFound(_NOTHING.format(what))
    if _RANK[held] < _RANK[need]:
        raise NotAllowed(_NEEDS[need])
    return condition


def scan_of(session: Session, actor: Actor, scan_id: str, need: Level = Level.READ) -> ScanRow:
    """The scan, if the actor may do with its condition what is needed; raises as `level_of`."""
    return _part_of(session, actor, ScanRow, scan_id, need, "scan")


def version_of(session: Session, actor: Actor, version_id: str, need: Level = Level.READ) -> Version:
    """The version, if the actor may do with its condition what is needed; raises as `level_of`."""
    return _part_of(session, actor, Version, version_id, need, "version")


def _part_of(
    session: Session, actor: Actor, kind: type[_Part], part_id: str, need: Level, what: str
) -> _Part:
    part = session.get(kind, part_id)
    if part is None:
        raise NotFound(_NOTHING.format(what))
    level_of(session, actor, part.condition_id, need, what)
    return part


def held_level(session: Session, actor: Actor, condition: Condition) -> Level | None:
    """What the actor may do with a condition, None for nothing; somebody with role reader reads at most."""
    if condition.owner_id == actor.user_id:
        return Level.OWN if actor.role is not Role.READER else Level.READ
    levels = session.scalars(
        select(Share.level).where(
            Share.condition_id == condition.id, Share.user_id.in_((actor.user_id, EVERYBODY))
        )
    ).all()
    if not levels:
        return None
    if actor.role is Role.READER:
        return Level.READ
    return max((Level(level) for level in levels), key=_RANK.__getitem__)


def visible(actor: Actor) -> ColumnElement[bool]:
    """Which rows of `Condition` the actor may look at, for a query."""
    shared = exists().where(Share.condition_id == Condition.id, Share.user_id.in_((actor.user_id, EVERYBODY)))
    return or_(Condition.owner_id == actor.user_id, shared)


def require_role(actor: Actor, *roles: Role) -> None:
    """Refuse whoever has none of the roles.

    Raises:
        NotAllowed: the message names what is needed.
    """
    if actor.role not in roles:
        named = " or ".join(role.value for role in roles)
        raise NotAllowed(f"That takes the role of {named}, and yours is {actor.role.value}.")
