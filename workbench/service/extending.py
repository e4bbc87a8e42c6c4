"""Labelled scans of one condition as the start of another. Called by `conditions.extend`."""

from __future__ import annotations

from sqlalchemy.orm import Session

from workbench.errors import SupportError
from workbench.service.kinds import Actor
from workbench.service.rows import present
from workbench.service.standing import standings
from workbench.store.schema import Condition, Label, ScanRow, new_id


def take_over(session: Session, actor: Actor, parent: Condition, child: Condition) -> int:
    """Give a new condition another's scans whose labels count, where the class of that name is still there.

    Args:
        session: writing.
        actor: in whose name they are labelled.
        parent, child: from where, to where.

    Returns:
        How many scans.

    Raises:
        SupportError: the two share no class.
    """
    by_name = {one.name.casefold(): one.id for one in child.classes}
    moved = {one.id: by_name[one.name.casefold()] for one in parent.classes if one.name.casefold() in by_name}
    if not moved:
        raise SupportError("None of its classes is one of the condition it extends. Keep at least one name.")
    known = standings(session, parent.id)
    rows = session.scalars(present(parent.id, "support")).all()
    number = 1
    for row in rows:
        said = known[row.id].counts_as if row.id in known else None
        if said in moved:
            _copy(session, actor, row, child.id, number, moved[said])
            number += 1
    return number - 1


def _copy(
    session: Session, actor: Actor, row: ScanRow, condition_id: str, number: int, class_id: str
) -> None:
    """A scan of another condition as one of this, labelled; the files are the same."""
    twin = ScanRow(id=new_id(), condition_id=condition_id, number=number, role="support")
    for name in (
        "blob", "preview", "bytes", "slices", "rows", "columns", "channels", "modality", "body_part", "units",
        "patient", "identity", "copy", "findings",
    ):  # fmt: skip
        setattr(twin, name, getattr(row, name))
    twin.uploader_id, twin.beside = actor.user_id, []
    session.add(twin)
    session.flush()
    session.add(Label(scan_id=twin.id, user_id=actor.user_id, reader=actor.reader, class_id=class_id))
