"""A condition's cases with their readings and what people thought of them, as exports write them down.

One pass over the database; holds no pixels. Called by `tables`, `report` and `bundle`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.imaging.scan import Finding
from workbench.service.access import held_level
from workbench.service.kinds import Actor, Level, ShownReading
from workbench.service.rows import present
from workbench.service.serial import loaded
from workbench.store.schema import Condition, Opinion, ReadingRow, Version


@dataclass(frozen=True, slots=True)
class Said:
    """What a person thought of a case.

    Attributes:
        kind: ``own`` (before the model's reading was shown) or ``verdict`` (of it).
        reader: name on it.
        value: name of a class, or ``agree``, ``disagree`` or ``unsure``.
        version: number of the version that was active.
        at: UTC seconds since 1970.
    """

    kind: str
    reader: str
    value: str
    version: int
    at: float


@dataclass(frozen=True, slots=True)
class ListedCase:
    """One case.

    Attributes:
        id: of the scan.
        number: what it is called.
        scan: keyed hash of its pixels.
        patient: pseudonymous key; empty where its file names no patient.
        reading: by the version; None where it has none.
        findings: of the scan and of its reading.
        said: by people, oldest first.
    """

    id: str
    number: int
    scan: str
    patient: str
    reading: ShownReading | None
    findings: tuple[Finding, ...]
    said: tuple[Said, ...]

    def last(self, kind: str, version: int | None = None) -> tuple[Said, ...]:
        """The last word of each reader, of one kind (and about one version)."""
        latest = {
            one.reader: one
            for one in self.said
            if one.kind == kind and (version is None or one.version == version)
        }
        return tuple(latest.values())


def listed_cases(
    session: Session, actor: Actor, condition: Condition, version: Version | None
) -> tuple[ListedCase, ...]:
    """The cases of a condition by number.

    Args:
        session: of the caller.
        actor: who asks. Readers see their own opinions only, so that nobody reads a case under another's
            influence; whoever may edit the condition sees all.
        condition: whose cases.
        version: whose readings; None for cases that nothing has read.
    """
    scans = session.scalars(present(condition.id, "case")).all()
    readings = {} if version is None else _readings(session, version)
    said = _opinions(session, actor, condition)
    found = []
    for scan in scans:
        reading = readings.get(scan.id)
        own = tuple(loaded(Finding, one) for one in scan.findings)
        known = (*own, *(reading.badges if reading is not None else ()))
        found.append(
            ListedCase(
                scan.id,
                scan.number,
                scan.identity,
                "" if scan.patient == scan.identity else scan.patient,
                reading,
                tuple({finding.code: finding for finding in known}.values()),
                tuple(said[scan.id]),
            )
        )
    return tuple(found)


def _readings(session: Session, version: Version) -> dict[str, ShownReading]:
    rows = session.execute(
        select(ReadingRow.scan_id, ReadingRow.reading).where(ReadingRow.version_id == version.id)
    )
    return {scan: loaded(ShownReading, reading) for scan, reading in rows}


def _opinions(session: Session, actor: Actor, condition: Condition) -> defaultdict[str, list[Said]]:
    names = {one.id: one.name for one in condition.classes}
    query = (
        select(Opinion, Version.number)
        .join(Version, Version.id == Opinion.version_id)
        .where(Version.condition_id == condition.id)
        .order_by(Opinion.id)
    )
    if held_level(session, actor, condition) not in (Level.EDIT, Level.OWN):
        query = query.where(Opinion.user_id == actor.user_id)
    found: defaultdict[str, list[Said]] = defaultdict(list)
    for one, number in session.execute(query):
        value = names.get(one.value, one.value)
        found[one.scan_id].append(Said(one.kind, one.reader, value, number, one.at))
    return found
