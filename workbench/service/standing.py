"""How the labels of scans stand: what each reader last said, and which class counts.

A label counts if all readers who labelled the scan agree (those who are unsure apart), or if the disagreement
was settled. A settlement stands until a reader says otherwise again. Everything that counts shots, adapts or
compares readers asks here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.service.kinds import Actor
from workbench.store.schema import Label, ScanRow


@dataclass(frozen=True, slots=True)
class Said:
    """What a reader says of a scan: a class, or unsure (None)."""

    class_id: str | None
    at: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The labels of one scan.

    Attributes:
        readers: what each reader last said, by user; nobody who took it back.
        settled: class that a disagreement was settled to and that still stands, or None.
    """

    readers: Mapping[str, Said]
    settled: str | None = None

    @property
    def classes(self) -> frozenset[str]:
        """What the readers who are sure say."""
        return frozenset(said.class_id for said in self.readers.values() if said.class_id is not None)

    @property
    def counts_as(self) -> str | None:
        """The class that adaptation uses, None for none."""
        if self.settled is not None:
            return self.settled
        return next(iter(self.classes)) if len(self.classes) == 1 else None

    @property
    def disputed(self) -> bool:
        """Whether readers disagree and nothing is settled."""
        return self.settled is None and len(self.classes) > 1

    @property
    def unsure(self) -> bool:
        """Whether somebody looked and nobody is sure."""
        return bool(self.readers) and not self.classes and self.settled is None


NOTHING = Standing({})


def standings(session: Session, condition_id: str) -> dict[str, Standing]:
    """By scan, for every scan of a condition that was ever labelled."""
    rows = session.scalars(
        select(Label)
        .join(ScanRow, ScanRow.id == Label.scan_id)
        .where(ScanRow.condition_id == condition_id)
        .order_by(Label.id)
    )
    by_scan: defaultdict[str, list[Label]] = defaultdict(list)
    for row in rows:
        by_scan[row.scan_id].append(row)
    return {scan_id: standing_of(mine) for scan_id, mine in by_scan.items()}


def labelled_by(session: Session, actor: Actor, condition_id: str) -> frozenset[str]:
    """Scans that somebody has labelled, unsure or not: the others' labels are no secret of those."""
    known = standings(session, condition_id)
    return frozenset(scan_id for scan_id, one in known.items() if actor.user_id in one.readers)


def standing_of(history: list[Label]) -> Standing:
    """What a scan's labels, oldest first, add up to."""
    readers: dict[str, Said] = {}
    settlement: Said | None = None
    for row in history:
        if row.settles:
            settlement = None if row.withdrawn or row.class_id is None else Said(row.class_id, row.id)
        elif row.withdrawn:
            readers.pop(row.user_id, None)
        else:
            readers[row.user_id] = Said(row.class_id, row.id)
    settled = settlement.class_id if settlement is not None else None
    if settlement is not None and any(
        said.at > settlement.at and said.class_id not in (None, settled) for said in readers.values()
    ):
        settled = None
    return Standing(readers, settled)
