"""Reading cases by a version, and where the evidence of a reading lies.

The one way there is: `workbench.adaptation.predict.read_outcomes` holds each case against the condition and
asks `Classifier.predict`, as on the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.adaptation.model import AdaptedModel, has_seen
from workbench.adaptation.overlay import captioned, overlay
from workbench.adaptation.predict import read_outcomes
from workbench.adaptation.saliency import saliency
from workbench.data.examples import Example
from workbench.errors import NotFound, ScanRefused
from workbench.imaging.scan import Scan
from workbench.service.asking import EvidenceGiven, ReadGiven
from workbench.service.engine import Engine
from workbench.service.kinds import AdaptResult, ShownReading
from workbench.service.pictures import jpeg
from workbench.service.scanfile import open_scan
from workbench.service.serial import dumped, loaded
from workbench.service.shown import Labelled, shown_reading
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import ConditionClass, ReadingRow, ScanRow, Version

NEIGHBOURS = 4


@dataclass(frozen=True, slots=True)
class ToRead:
    """A case: its row's identifier, file and patient."""

    scan_id: str
    blob: str
    patient: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """By scan: a reading, or why there is none."""

    readings: dict[str, ShownReading]
    refused: dict[str, ScanRefused]


def run(engine: Engine, store: Store, claim: jobs.Claim) -> None:
    """Read every case that a version has not read.

    Raises:
        NotFound: the version is gone.
    """
    given = loaded(ReadGiven, claim.given)
    with store.read() as session:
        version = _version(session, given.version_id)
        cases = unread(session, version.condition_id, version.id)
    outcome = read_by(engine, store, claim, version, cases)
    with store.session() as session:
        write_readings(session, version.id, outcome.readings)
        detail = {"version": version.number, "scans": len(outcome.readings)}
        audit.record(session, claim.user_id, "case.read", "job", claim.id, detail)
        jobs.finish(session, claim, {"scans": len(outcome.readings), "refused": len(outcome.refused)})


def explain(engine: Engine, store: Store, claim: jobs.Claim) -> None:
    """Draw where the evidence for the class that a case was read as lies.

    Raises:
        NotFound: the case, the version or its reading is gone.
        SupportError: the model reads several slices together and has no such map.
    """
    given = loaded(EvidenceGiven, claim.given)
    with store.read() as session:
        version = _version(session, given.version_id)
        scan_row = session.get(ScanRow, given.scan_id)
        reading = _reading(session, given.scan_id, version.id)
        if scan_row is None or reading is None:
            raise NotFound("The case or its reading is gone. Read it again.")
        shown = loaded(ShownReading, reading.reading)
    claim.report(0, 1, "Covering one part after another")
    model = engine.model(version.model, store.blobs.path(version.model))
    scan = open_scan(store.blobs.path(scan_row.blob)).scan(f"scan {scan_row.number}")
    found = saliency(model.classifier, scan, model.classifier.classes.index(shown.label))
    picture = jpeg(captioned(overlay(scan, found), found))
    with store.session() as session:
        row = _reading(session, given.scan_id, version.id)
        if row is None:
            raise NotFound("The case or its reading is gone. Read it again.")
        row.evidence = store.blobs.put(picture, session)
        jobs.finish(session, claim)


def read_by(
    engine: Engine, store: Store, claim: jobs.Claim, version: Version, cases: Sequence[ToRead]
) -> Outcome:
    """Readings of cases by a version.

    Args:
        engine, store, claim: of the job.
        version: a row.
        cases: rows need not be in the database yet.
    """
    with store.read() as session:
        labelled = labelled_of(session, version)
    model = engine.model(version.model, store.blobs.path(version.model))
    return read_all(store, claim, model, loaded(AdaptResult, version.result), labelled, cases)


def read_all(
    store: Store,
    claim: jobs.Claim,
    model: AdaptedModel,
    result: AdaptResult,
    labelled: Sequence[Labelled],
    cases: Sequence[ToRead],
) -> Outcome:
    """Readings of cases by a model, each on its own, in bounded memory.

    Args:
        store, claim: of the job.
        model: reads.
        result: what is known of it.
        labelled: its labelled scans, in its order.
        cases: to be read.
    """

    def scans() -> Iterator[tuple[str, Scan | ScanRefused]]:
        for done, case in enumerate(cases):
            claim.report(done, len(cases), f"Reading case {done + 1} of {len(cases)}")
            yield case.scan_id, open_scan(store.blobs.path(case.blob)).scan()

    by_id = {case.scan_id: case for case in cases}
    seen: dict[str, str] = {}

    def note(number: int, scan: Scan, _: object) -> None:
        case = cases[number - 1]
        seen[case.scan_id] = has_seen(model.record, Example(scan, "", case.patient)) or ""

    readings: dict[str, ShownReading] = {}
    refused: dict[str, ScanRefused] = {}
    for one in read_outcomes(model, scans(), seen=note, neighbours=NEIGHBOURS):
        case = by_id[one.name]
        if one.refusal is not None:
            refused[case.scan_id] = one.refusal
        elif one.reading is not None:
            why = seen[case.scan_id]
            caution = f"This is no new case: {why}. Read a patient it has not seen." if why else ""
            readings[case.scan_id] = shown_reading(one.reading, result, labelled, caution)
    return Outcome(readings, refused)


def unread(session: Session, condition_id: str, version_id: str | None) -> list[ToRead]:
    """Cases of a condition that a version has not read; all of them for None."""
    query = select(ScanRow).where(
        ScanRow.condition_id == condition_id, ScanRow.role == "case", ScanRow.removed.is_(None)
    )
    if version_id is not None:
        by_it = select(ReadingRow.id).where(
            ReadingRow.scan_id == ScanRow.id, ReadingRow.version_id == version_id
        )
        query = query.where(~by_it.exists())
    return [ToRead(row.id, row.blob, row.patient) for row in session.scalars(query.order_by(ScanRow.number))]


def labelled_of(session: Session, version: Version) -> tuple[Labelled, ...]:
    """The labelled scans that a version stands on, in its model's order."""
    numbers = {
        row.id: row.number
        for row in session.scalars(select(ScanRow).where(ScanRow.condition_id == version.condition_id))
    }
    names = {
        one.id: one.name
        for one in session.scalars(
            select(ConditionClass).where(ConditionClass.condition_id == version.condition_id)
        )
    }
    return tuple(
        Labelled(scan_id, numbers.get(scan_id, 0), names.get(class_id, ""))
        for scan_id, class_id in version.support
    )


def write_readings(session: Session, version_id: str, readings: Mapping[str, ShownReading]) -> None:
    """Keep readings; one that is there already stays as it is."""
    known = set(session.scalars(select(ReadingRow.scan_id).where(ReadingRow.version_id == version_id)).all())
    for scan_id, reading in readings.items():
        there = session.get(ScanRow, scan_id)
        if scan_id not in known and there is not None:
            session.add(ReadingRow(scan_id=scan_id, version_id=version_id, reading=dumped(reading)))


def _version(session: Session, version_id: str) -> Version:
    version = session.get(Version, version_id)
    if version is None:
        raise NotFound("The version is gone. Look at the condition again.")
    return version


def _reading(session: Session, scan_id: str, version_id: str) -> ReadingRow | None:
    return session.scalar(
        select(ReadingRow).where(ReadingRow.scan_id == scan_id, ReadingRow.version_id == version_id)
    )
