"""Conditions: define, edit, share, extend, put away; and where somebody was last.

Every function takes the store and who asks, checks what that person may do, and leaves a line in the audit
trail for what it changed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from workbench.errors import NotAllowed, NotFound, StaleEdit, SupportError
from workbench.service import spools
from workbench.service.access import level_of, visible
from workbench.service.drafts import MAX_TITLE, checked
from workbench.service.extending import take_over
from workbench.service.kinds import Actor, ConditionInfo, Draft, Level, Role
from workbench.service.overview import overview
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import (
    EVERYBODY,
    Condition,
    ConditionClass,
    JobRow,
    Label,
    Place,
    ScanRow,
    Share,
    User,
    new_id,
)

SCREENS = ("worklist", "define", "scans", "label", "adapt", "read", "evaluate", "admin")
_STALE = "Somebody else edited this condition meanwhile; your changes were not saved. Look at it again."


def create(store: Store, actor: Actor, draft: Draft) -> ConditionInfo:
    """A new condition of the actor's own.

    Raises:
        SupportError: the draft cannot be; says which field and why.
        NotAllowed: readers make none.
    """
    draft = checked(draft)
    with store.session() as session:
        condition = _created(session, actor, draft)
        return overview(session, actor, condition)


def edit(store: Store, actor: Actor, condition_id: str, draft: Draft, revision: int) -> ConditionInfo:
    """Change a condition. A class keeps its labels if it keeps its name, or its place under a new name.

    Args:
        store, actor, condition_id: whose.
        draft: all of it, as it shall be.
        revision: of the condition that the actor looked at.

    Raises:
        StaleEdit: somebody else edited it meanwhile; nothing was changed.
        SupportError: the draft cannot be, or a class that is labelled would go.
    """
    draft = checked(draft)
    try:
        with store.session() as session:
            condition = level_of(session, actor, condition_id, Level.EDIT)
            if condition.revision != revision:
                raise StaleEdit(_STALE)
            _rename(session, condition, draft.classes)
            _describe(condition, draft)
            audit.record(
                session,
                actor.user_id,
                "condition.edit",
                "condition",
                condition_id,
                {"revision": revision + 1},
            )
            session.flush()
            return overview(session, actor, condition)
    except StaleDataError as error:
        raise StaleEdit(_STALE) from error


def get(store: Store, actor: Actor, condition_id: str) -> ConditionInfo:
    """One condition.

    Raises:
        NotFound: there is none, or not for this actor.
    """
    with store.read() as session:
        return overview(session, actor, level_of(session, actor, condition_id))


def mine(store: Store, actor: Actor, archived: bool = False) -> tuple[ConditionInfo, ...]:
    """The actor's conditions and those shared with the actor, last edited first."""
    with store.read() as session:
        query = select(Condition).where(visible(actor)).order_by(Condition.edited.desc(), Condition.id)
        if not archived:
            query = query.where(Condition.archived.is_(None))
        return tuple(overview(session, actor, condition) for condition in session.scalars(query))


def archive(store: Store, actor: Actor, condition_id: str, put_away: bool = True) -> ConditionInfo:
    """Take a condition off the worklist, or put it back. Nothing is removed."""
    with store.session() as session:
        condition = level_of(session, actor, condition_id, Level.OWN)
        condition.archived = time.time() if put_away else None
        action = "condition.archive" if put_away else "condition.restore"
        audit.record(session, actor.user_id, action, "condition", condition_id)
        session.flush()
        return overview(session, actor, condition)


def delete(store: Store, actor: Actor, condition_id: str) -> None:
    """Remove a condition with its scans, labels, versions and readings. The audit trail keeps that it was."""
    with store.session() as session:
        condition = level_of(session, actor, condition_id, Level.OWN)
        found = select(JobRow.id).where(JobRow.condition_id == condition_id, JobRow.kind == "import")
        imports = session.scalars(found).all()
        count = len(session.scalars(select(ScanRow.id).where(ScanRow.condition_id == condition_id)).all())
        audit.record(session, actor.user_id, "condition.delete", "condition", condition_id, {"scans": count})
        session.delete(condition)
    for job_id in imports:
        spools.remove(store, job_id)


def share(store: Store, actor: Actor, condition_id: str, name: str, level: Level | None) -> ConditionInfo:
    """Let somebody else in, or out.

    Args:
        store, actor, condition_id: whose.
        name: the other signs in with it; ``*`` for everybody who may sign in.
        level: ``read`` (look and label) or ``edit``; None ends it.

    Raises:
        NotFound: nobody of that name may sign in.
        SupportError: an owner cannot be shared with, and ownership is not shared.
    """
    if level is Level.OWN:
        raise SupportError("A condition has one owner. Share it to read or to edit.")
    with store.session() as session:
        condition = level_of(session, actor, condition_id, Level.OWN)
        other = EVERYBODY if name.strip() == EVERYBODY else _user_named(session, name, level is None).id
        if other == condition.owner_id:
            raise SupportError("It is yours already.")
        held = session.get(Share, (condition_id, other))
        if level is None:
            if held is not None:
                session.delete(held)
        elif held is None:
            session.add(Share(condition_id=condition_id, user_id=other, level=level.value))
        else:
            held.level = level.value
        detail = {"with": other, "level": level.value if level is not None else ""}
        audit.record(session, actor.user_id, "condition.share", "condition", condition_id, detail)
        session.flush()
        return overview(session, actor, condition)


def extend(store: Store, actor: Actor, condition_id: str, draft: Draft) -> ConditionInfo:
    """A new condition that begins with another's labelled scans: for a new population, or with a new class.

    Labels that count are taken over where the class of that name is still there; the scans' files are
    shared, and the other condition stays as it is.

    Raises:
        SupportError: the draft cannot be, or shares no class with the other condition.
    """
    draft = checked(draft)
    with store.session() as session:
        parent = level_of(session, actor, condition_id, Level.EDIT)
        child = _created(session, actor, draft, parent.id)
        count = take_over(session, actor, parent, child)
        detail = {"parent": parent.id, "scans": count}
        audit.record(session, actor.user_id, "condition.extend", "condition", child.id, detail)
        session.flush()
        return overview(session, actor, child)


def remember(store: Store, actor: Actor, condition_id: str | None, screen: str) -> None:
    """Where the actor is now, so that a closed tab or another machine resumes there."""
    if screen not in SCREENS:
        raise SupportError("There is no such screen.")
    with store.session() as session:
        if condition_id is not None:
            level_of(session, actor, condition_id)
        session.merge(Place(user_id=actor.user_id, condition_id=condition_id, screen=screen))


def place(store: Store, actor: Actor) -> tuple[str | None, str]:
    """The condition and screen where the actor was last; the worklist where that is gone."""
    with store.read() as session:
        row = session.get(Place, actor.user_id)
        if row is None:
            return None, "worklist"
        if row.condition_id is None:
            return None, row.screen if row.screen == "admin" else "worklist"
        try:
            level_of(session, actor, row.condition_id)
        except NotFound:
            return None, "worklist"
        return row.condition_id, row.screen


def start_demo(store: Store, actor: Actor) -> tuple[ConditionInfo, str]:
    """A condition to try the workbench with, and the job that fills it with scans."""
    draft = checked(Draft(title="Demonstration"))
    with store.session() as session:
        condition = _created(session, actor, draft, demo=True)
        job_id = jobs.enqueue(session, "demo", actor.user_id, condition.id, {})
        return overview(session, actor, condition), job_id


def _created(
    session: Session, actor: Actor, draft: Draft, parent: str | None = None, demo: bool = False
) -> Condition:
    if actor.role is Role.READER:
        raise NotAllowed(
            "Readers open what is shared with them. Ask an administrator for the role of editor."
        )
    condition = Condition(id=new_id(), owner_id=actor.user_id, title=draft.title, parent_id=parent, demo=demo)
    condition.classes = [ConditionClass(name=name, position=k) for k, name in enumerate(draft.classes)]
    _describe(condition, draft)
    session.add(condition)
    session.flush()
    audit.record(session, actor.user_id, "condition.create", "condition", condition.id)
    return condition


def _describe(condition: Condition, draft: Draft) -> None:
    condition.title = draft.title[:MAX_TITLE]
    condition.modality, condition.body_part = draft.modality, draft.body_part
    condition.population, condition.method = draft.population, draft.method
    condition.prevalence = None if draft.prevalence is None else list(draft.prevalence)
    condition.miss_cost = draft.miss_cost
    # Always another value, so that every edit counts up the revision.
    condition.edited = time.time()


def _rename(session: Session, condition: Condition, names: Sequence[str]) -> None:
    """Give the classes their new names and places; see `edit`."""
    left = list(condition.classes)
    kept: list[ConditionClass | None] = []
    for name in names:
        same = next((one for one in left if one.name.casefold() == name.casefold()), None)
        if same is not None:
            left.remove(same)
        kept.append(same)
    for index, name in enumerate(names):
        if kept[index] is None:
            there = next((one for one in left if one.position == index), None)
            if there is not None:
                left.remove(there)
            kept[index] = there or ConditionClass(name=name, position=index)
    for one in left:
        if session.scalar(select(Label.id).where(Label.class_id == one.id).limit(1)) is not None:
            raise SupportError(
                f"Class {one.name!r} has labelled scans. Give them another label before it goes."
            )
    ordered = [one for one in kept if one is not None]
    for index, (one, name) in enumerate(zip(ordered, names, strict=True)):
        one.name, one.position = name, index
    condition.classes = ordered


def _user_named(session: Session, name: str, closed: bool) -> User:
    """The user of that name; one whose account is closed only if `closed`."""
    found = session.scalar(select(User).where(User.name == name.strip().lower()))
    if found is None or not (found.active or closed):
        raise NotFound("Nobody of that name may sign in here. Check the spelling.")
    return found
