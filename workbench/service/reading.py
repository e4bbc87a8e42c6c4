"""Cases: their readings, what people think before and after, evidence, and the way to the labelled scans.

Reading itself is done by jobs (`job_read`, and `job_import` and `job_adapt` on their way).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.errors import NotFound, SupportError
from workbench.imaging.modality import same_modality
from workbench.service.access import held_level, level_of, scan_of
from workbench.service.asking import EvidenceGiven, waiting_job
from workbench.service.kinds import Actor, AdaptResult, CaseInfo, JobInfo, Level, ScanInfo, ShownReading
from workbench.service.overview import active_version
from workbench.service.serial import dumped, loaded
from workbench.service.standing import labelled_by
from workbench.service.trays import ask_to_compare, copy_of, scan_infos
from workbench.service.work import info
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import (
    ConditionClass,
    JobRow,
    Label,
    Opinion,
    ReadingRow,
    ScanRow,
    Version,
)

VERDICTS = ("agree", "disagree", "unsure")
UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class _Thought:
    """What the actor thinks of one case."""

    own: str | None = None
    unsure: bool = False
    verdict: str = ""


def cases(store: Store, actor: Actor, condition_id: str, own_first: bool = False) -> tuple[CaseInfo, ...]:
    """Cases of a condition with the active version's readings, newest first.

    Args:
        store, actor, condition_id: whose.
        own_first: conceal each reading until the actor has given an own one.

    Whoever labels as a second reader is not shown here either what the first said of a scan: labels of
    nearest scans are left out that the actor has not labelled.
    """
    with store.read() as session:
        condition = level_of(session, actor, condition_id)
        rows = session.scalars(
            select(ScanRow)
            .where(ScanRow.condition_id == condition_id, ScanRow.role == "case", ScanRow.removed.is_(None))
            .order_by(ScanRow.number.desc())
        ).all()
        shown = scan_infos(session, actor, condition, rows)
        version = active_version(session, condition_id)
        if version is None:
            return tuple(CaseInfo(scan, None, 0) for scan in shown)
        modality = loaded(AdaptResult, version.result).modality
        readings = {
            row.scan_id: row
            for row in session.scalars(select(ReadingRow).where(ReadingRow.version_id == version.id))
        }
        thoughts = _thoughts(session, actor, rows)
        found = tuple(
            _case(
                scan,
                readings.get(scan.id),
                version,
                modality,
                thoughts.get(scan.id, _Thought()),
                own_first,
            )
            for scan in shown
        )
        own = labelled_by(session, actor, condition_id)
        if not own or held_level(session, actor, condition) is Level.OWN:
            return found
        return tuple(_blinded(case, own) for case in found)


def give_own(store: Store, actor: Actor, scan_id: str, class_id: str | None) -> None:
    """The actor's own reading of a case, before the model's is revealed.

    Args:
        store, actor, scan_id: of which case.
        class_id: None for unsure.
    """
    with store.session() as session:
        row = _case_row(session, actor, scan_id)
        _check_class(session, row, class_id)
        _think(session, actor, row, "own", class_id or UNSURE)


def give_verdict(store: Store, actor: Actor, scan_id: str, verdict: str) -> None:
    """Whether the actor agrees with the active version's reading: ``agree``, ``disagree`` or ``unsure``.

    Raises:
        SupportError: there is nothing to agree with yet, or the verdict is none of these.
    """
    if verdict not in VERDICTS:
        raise SupportError(f"A verdict is one of {', '.join(VERDICTS)}.")
    with store.session() as session:
        row = _case_row(session, actor, scan_id)
        version = active_version(session, row.condition_id)
        if version is None or _reading(session, row.id, version.id) is None:
            raise SupportError(f"Scan {row.number} has not been read yet. Wait for its reading.")
        _think(session, actor, row, "verdict", verdict)


def into_support(store: Store, actor: Actor, scan_id: str, class_id: str | None) -> None:
    """Move a case to the labelled scans, with the actor's label. The next version will know it.

    Its readings stay on record; its patient's other cases are no new cases for that version, and say so.

    Args:
        store, actor, scan_id: which case.
        class_id: its label; None leaves it to be labelled.

    Raises:
        SupportError: an exact copy is among the labelled scans already.
    """
    with store.session() as session:
        row = _case_row(session, actor, scan_id, Level.EDIT)
        _check_class(session, row, class_id)
        there = copy_of(session, row.condition_id, "support", row.copy)
        if there is not None:
            raise SupportError(
                f"It is an exact copy of scan {there.number}, which is among the labelled scans."
            )
        row.role = "support"
        ask_to_compare(session, actor.user_id, row)
        if class_id is not None:
            session.add(Label(scan_id=row.id, user_id=actor.user_id, reader=actor.reader, class_id=class_id))
        audit.record(session, actor.user_id, "case.to-support", "scan", scan_id, {"class": class_id or ""})


def ask_evidence(store: Store, actor: Actor, scan_id: str) -> JobInfo:
    """Ask where in a case the evidence for the class it was read as lies.

    Raises:
        SupportError: it has not been read yet.
    """
    with store.session() as session:
        row = _case_row(session, actor, scan_id)
        version = active_version(session, row.condition_id)
        if version is None or _reading(session, row.id, version.id) is None:
            raise SupportError(f"Scan {row.number} has not been read yet. Wait for its reading.")
        given = dumped(EvidenceGiven(row.id, version.id))
        job_id = waiting_job(session, row.condition_id, "evidence", given)
        if job_id is None:
            job_id = jobs.enqueue(session, "evidence", actor.user_id, row.condition_id, given)
        found = session.get(JobRow, job_id)
        assert found is not None
        return info(found)


def evidence(store: Store, actor: Actor, scan_id: str) -> bytes:
    """The case with the evidence laid over it, as JPEG; what it does not show is written below.

    Raises:
        NotFound: nobody has asked for it, or not for this actor.
    """
    with store.read() as session:
        row = scan_of(session, actor, scan_id)
        version = active_version(session, row.condition_id)
        found = _reading(session, row.id, version.id) if version is not None else None
        sha256 = found.evidence if found is not None else None
    if sha256 is None:
        raise NotFound("There is no such picture. Ask where the evidence lies first.")
    with store.blobs.open(sha256) as stream:
        return stream.read()


def _case(
    scan: ScanInfo,
    row: ReadingRow | None,
    version: Version,
    modality: str,
    thought: _Thought,
    own_first: bool,
) -> CaseInfo:
    refused = ""
    if row is None and not same_modality(modality or "OT", scan.modality):
        refused = (
            f"Its modality is {scan.modality}; the model was adapted to {modality} scans. Read it with a "
            "model adapted to its modality."
        )
    concealed = own_first and row is not None and thought.own is None and not thought.unsure
    return CaseInfo(
        # What a folder says of it would give the answer away as well.
        scan=replace(scan, hint="") if concealed else scan,
        reading=None if row is None or concealed else loaded(ShownReading, row.reading),
        version=version.number if row is not None else 0,
        concealed=concealed,
        own=UNSURE if thought.unsure else thought.own,
        verdict=thought.verdict,
        has_evidence=row is not None and row.evidence is not None and not concealed,
        refused=refused,
    )


def _blinded(case: CaseInfo, own: frozenset[str]) -> CaseInfo:
    if case.reading is None:
        return case
    near = tuple(one if one.scan_id in own else replace(one, label="") for one in case.reading.near)
    return replace(case, reading=replace(case.reading, near=near))


def _thoughts(session: Session, actor: Actor, rows: Sequence[ScanRow]) -> dict[str, _Thought]:
    """What the actor last thought of each case; a verdict is about one version, an own reading about none."""
    if not rows:
        return {}
    version = active_version(session, rows[0].condition_id)
    found: defaultdict[str, _Thought] = defaultdict(_Thought)
    query = (
        select(Opinion)
        .join(ScanRow, ScanRow.id == Opinion.scan_id)
        .where(ScanRow.condition_id == rows[0].condition_id, Opinion.user_id == actor.user_id)
        .order_by(Opinion.id)
    )
    for one in session.scalars(query):
        before = found[one.scan_id]
        if one.kind == "own":
            unsure = one.value == UNSURE
            found[one.scan_id] = replace(before, own=None if unsure else one.value, unsure=unsure)
        elif version is not None and one.version_id == version.id:
            found[one.scan_id] = replace(before, verdict=one.value)
    return found


def _think(session: Session, actor: Actor, row: ScanRow, kind: str, value: str) -> None:
    version = active_version(session, row.condition_id)
    if version is None:
        raise SupportError("There is no adapted model yet. Adapt first.")
    session.add(
        Opinion(
            scan_id=row.id,
            version_id=version.id,
            user_id=actor.user_id,
            reader=actor.reader,
            kind=kind,
            value=value,
        )
    )
    detail = {"version": version.number, "value": value}
    audit.record(session, actor.user_id, f"case.{kind}", "scan", row.id, detail)


def _case_row(session: Session, actor: Actor, scan_id: str, need: Level = Level.READ) -> ScanRow:
    row = scan_of(session, actor, scan_id, need)
    if row.role != "case":
        raise SupportError(f"Scan {row.number} is no case to be read; it is among the labelled scans.")
    return row


def _check_class(session: Session, row: ScanRow, class_id: str | None) -> None:
    if class_id is None:
        return
    one = session.get(ConditionClass, class_id)
    if one is None or one.condition_id != row.condition_id:
        raise NotFound("There is no such class. Look at the condition again.")


def _reading(session: Session, scan_id: str, version_id: str) -> ReadingRow | None:
    return session.scalar(
        select(ReadingRow).where(ReadingRow.scan_id == scan_id, ReadingRow.version_id == version_id)
    )
