"""What readers say the scans are: a history that is added to and never changed.

A second reader is blind to the first (`workbench.service.trays`); which label counts is in
`workbench.service.standing`, how readers agree in `workbench.service.agreement`.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.errors import NotFound, SupportError
from workbench.service import agreement as agreeing
from workbench.service.access import level_of, scan_of
from workbench.service.kinds import Actor, Agreement, Level
from workbench.service.rows import present
from workbench.service.standing import NOTHING, standing_of, standings
from workbench.store import audit
from workbench.store.database import Store
from workbench.store.schema import ConditionClass, Label, ScanRow


def set_label(store: Store, actor: Actor, scan_id: str, class_id: str | None, unsure: bool = False) -> None:
    """Say what a scan is, in the actor's own name.

    Args:
        store, actor, scan_id: who says it of what.
        class_id: of a class of its condition; None takes the actor's label back, unless unsure.
        unsure: the actor looked and cannot say.

    Raises:
        NotFound: there is no such scan or class, or not for this actor.
        SupportError: the scan is not one to be labelled.
    """
    with store.session() as session:
        row = scan_of(session, actor, scan_id)
        _check(session, row, class_id)
        said = None if unsure else class_id
        _add(session, actor, scan_id, said, withdrawn=said is None and not unsure)
        detail = {"class": said or ("unsure" if unsure else "")}
        audit.record(session, actor.user_id, "label.set", "scan", scan_id, detail)


def undo(store: Store, actor: Actor, condition_id: str) -> str | None:
    """Take back the actor's last label or settlement; again for the one before.

    Returns:
        The scan whose label changed, or None where nothing is left.
    """
    with store.session() as session:
        level_of(session, actor, condition_id)
        history = session.scalars(
            select(Label)
            .join(ScanRow, ScanRow.id == Label.scan_id)
            .where(ScanRow.condition_id == condition_id, Label.user_id == actor.user_id)
            .order_by(Label.id)
        ).all()
        undone = {row.undoes for row in history if row.undoes is not None}
        last = next((row for row in reversed(history) if row.undoes is None and row.id not in undone), None)
        if last is None:
            return None
        taken_back = undone | {last.id}
        before = [
            row
            for row in history
            if row.scan_id == last.scan_id
            and row.settles == last.settles
            and row.undoes is None
            and row.id not in taken_back
        ]
        there = before[-1] if before else None
        session.add(
            Label(
                scan_id=last.scan_id,
                user_id=actor.user_id,
                reader=actor.reader,
                class_id=there.class_id if there is not None else None,
                withdrawn=there.withdrawn if there is not None else True,
                settles=last.settles,
                undoes=last.id,
            )
        )
        audit.record(session, actor.user_id, "label.undo", "scan", last.scan_id)
        return last.scan_id


def settle(store: Store, actor: Actor, scan_id: str, class_id: str) -> None:
    """Settle a disagreement between readers. It stands until a reader says otherwise again.

    Raises:
        SupportError: nobody disagrees about this scan.
        NotAllowed: the actor may only read.
    """
    with store.session() as session:
        row = scan_of(session, actor, scan_id, Level.EDIT)
        _check(session, row, class_id)
        history = session.scalars(select(Label).where(Label.scan_id == scan_id).order_by(Label.id)).all()
        if len(standing_of(list(history)).classes) < 2:
            raise SupportError(f"No readers disagree about scan {row.number}. Label it instead.")
        _add(session, actor, scan_id, class_id, settles=True)
        audit.record(session, actor.user_id, "label.settle", "scan", scan_id, {"class": class_id})


def accept_hints(store: Store, actor: Actor, condition_id: str) -> int:
    """Label what nobody has labelled as the folders of the actor's own uploads say; the owner may accept all.

    Returns:
        How many scans were labelled.
    """
    with store.session() as session:
        condition = level_of(session, actor, condition_id, Level.EDIT)
        known = standings(session, condition_id)
        by_name = {one.name: one.id for one in condition.classes}
        rows = session.scalars(present(condition_id, "support").where(ScanRow.hint != "")).all()
        count = 0
        for row in rows:
            may = condition.owner_id == actor.user_id or row.uploader_id == actor.user_id
            if may and row.hint in by_name and not known.get(row.id, NOTHING).readers:
                _add(session, actor, row.id, by_name[row.hint])
                count += 1
        detail = {"scans": count}
        audit.record(session, actor.user_id, "label.hints", "condition", condition_id, detail)
        return count


def agreement(store: Store, actor: Actor, condition_id: str) -> Agreement:
    """How the readers of a condition agree; see `workbench.service.agreement`."""
    with store.read() as session:
        condition = level_of(session, actor, condition_id)
        return agreeing.agreement(session, actor, condition)


def _check(session: Session, row: ScanRow, class_id: str | None) -> None:
    if row.role != "support":
        raise SupportError(
            f"Scan {row.number} is not one to be labelled. Add it to the labelled scans first."
        )
    if class_id is not None:
        one = session.get(ConditionClass, class_id)
        if one is None or one.condition_id != row.condition_id:
            raise NotFound("There is no such class. Look at the condition again.")


def _add(
    session: Session,
    actor: Actor,
    scan_id: str,
    class_id: str | None,
    withdrawn: bool = False,
    settles: bool = False,
) -> None:
    session.add(
        Label(
            scan_id=scan_id,
            user_id=actor.user_id,
            reader=actor.reader,
            class_id=class_id,
            withdrawn=withdrawn,
            settles=settles,
        )
    )
