"""Taking in files: a spool folder that fills, then a job that makes scans of it.

`begin`, `take` (once for each file) and `commit`; from then on nothing is lost. What the job does is in
`workbench.service.job_import`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.errors import NotFound, QuotaExceeded, SupportError
from workbench.imaging.options import ReadOptions, Remedy
from workbench.imaging.region import Region, parse_region
from workbench.service import spools
from workbench.service.access import level_of
from workbench.service.drafts import MAX_CLASSES
from workbench.service.identifiers import summary
from workbench.service.kinds import Actor, Batch, ImportOptions, JobInfo, Level, Refusal
from workbench.service.room import LARGEST_FILE, room_for
from workbench.service.serial import dumped, loaded
from workbench.service.spools import About, Spool
from workbench.service.work import info
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import JobRow, ScanRow, new_id

ROLES = ("support", "case", "cohort")


@dataclass(frozen=True, slots=True)
class ImportGiven:
    """Arguments of an import job."""

    role: str
    options: ImportOptions
    files: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that made no scan; its name is in the spool (`workbench.service.spools`), if anywhere."""

    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What came of an import.

    Attributes:
        scans: how many were stored.
        refused: files that were not.
        copies: number of the scan that each copy was left out for.
        deidentified: see `workbench.service.identifiers`.
    """

    scans: int
    refused: tuple[LeftOut, ...]
    copies: tuple[int, ...]
    deidentified: tuple[str, ...]


def begin(store: Store, actor: Actor, condition_id: str, role: str) -> str:
    """Reserve an import.

    Args:
        store, actor, condition_id: whose.
        role: ``support`` (to be labelled), ``case`` (to be read) or ``cohort`` (to be evaluated on).

    Returns:
        The identifier of the job-to-be.
    """
    if role not in ROLES:
        raise SupportError(f"Scans come in as {', '.join(ROLES)}.")
    with store.read() as session:
        level_of(session, actor, condition_id, Level.EDIT)
    job_id = new_id()
    Spool.begin(store, job_id, About(actor.user_id, condition_id, role))
    return job_id


def take(
    store: Store, actor: Actor, job_id: str, name: str, source: Path | BinaryIO, size: int | None = None
) -> int:
    """Take one uploaded file; sent again it is kept once.

    Args:
        store, actor: who uploads.
        job_id: from `begin`.
        name: path below what was dropped, slashes between folders; its folder may name the class.
        source: a file or a stream.
        size: in bytes, where it is known beforehand.

    Returns:
        Bytes taken.

    Raises:
        QuotaExceeded: it is too large, or there is no room for it.
        NotFound: no such import was begun by this actor, or it was committed already.
    """
    with store.read() as session:
        spool = _open(store, session, actor, job_id)
        room = room_for(store, session, spool)
    if size is not None and size > room:
        raise QuotaExceeded(
            "There is no room for these files. Remove scans or conditions that are no longer needed, or ask "
            "an administrator for more."
        )
    return spool.take(name, source, room, LARGEST_FILE)


def check(store: Store, actor: Actor, job_id: str) -> None:
    """Whether files can be taken for this import, before any is sent.

    Raises:
        NotFound: no such import was begun by this actor, or it was committed already.
    """
    with store.read() as session:
        _open(store, session, actor, job_id)


def look(store: Store, actor: Actor, job_id: str) -> tuple[str, ...]:
    """What identifiers the files taken so far carry and what becomes of them, before anything is stored.

    Headers are looked at in the processes that decode files (`workbench.imaging.workers`), never in this one.
    """
    with store.read() as session:
        spool = _open(store, session, actor, job_id)
    return summary(spool.files())


def class_folders(store: Store, actor: Actor, job_id: str) -> tuple[tuple[str, int], ...]:
    """Names of the folders that sort the files taken so far, with how many files each holds; () for none.

    They are the first folders in which the files' places differ, two to eight of them; most files lie in one.
    For whoever uploads only, who may have classes named after them: other folders may identify somebody,
    so that none is stored.
    """
    with store.read() as session:
        spool = _open(store, session, actor, job_id)
    places = [file.folder.parts for file in spool.files()]
    for depth in range(max(map(len, places), default=0)):
        counts = Counter(place[depth] for place in places if len(place) > depth)
        if len(counts) > 1:
            most = 2 * counts.total() > len(places)
            return tuple(sorted(counts.items())) if most and len(counts) <= MAX_CLASSES else ()
    return ()


def commit(store: Store, actor: Actor, job_id: str, options: ImportOptions | None = None) -> JobInfo:
    """Make scans of the files taken. Once this returns, it will be done; a second call changes nothing.

    Raises:
        SupportError: there is no file, or an option is none.
        RegionError: the marked region cannot be read.
    """
    chosen = options or ImportOptions()
    read_options(chosen), region_of(chosen)
    with store.session() as session:
        row = session.get(JobRow, job_id)
        if row is not None and row.user_id == actor.user_id:
            return info(row)
        spool = _open(store, session, actor, job_id)
        count = len(spool.files())
        if not count:
            raise SupportError("No file has arrived. Drop files, folders or a zip.")
        level_of(session, actor, spool.about.condition_id, Level.EDIT)
        given = ImportGiven(spool.about.role, chosen, count)
        jobs.enqueue(session, "import", actor.user_id, spool.about.condition_id, dumped(given), job_id=job_id)
        detail = {"files": count, "role": spool.about.role}
        audit.record(session, actor.user_id, "import.commit", "job", job_id, detail)
        session.flush()
        made = session.get(JobRow, job_id)
        assert made is not None
        return info(made)


def abandon(store: Store, actor: Actor, job_id: str) -> None:
    """Drop an import that was not committed, with its files."""
    with store.read() as session:
        _open(store, session, actor, job_id)
    spools.remove(store, job_id)


def dismiss(store: Store, actor: Actor, job_id: str) -> None:
    """Forget what the left-out files of a finished import are called."""
    with store.read() as session:
        row = session.get(JobRow, job_id)
        if row is None or row.user_id != actor.user_id or row.state in ("queued", "running"):
            return
    spools.remove(store, job_id)


def batches(store: Store, actor: Actor, condition_id: str) -> tuple[Batch, ...]:
    """What came of each import of a condition, newest first. Names are shown to who uploaded the files."""
    with store.read() as session:
        level_of(session, actor, condition_id)
        rows = session.scalars(
            select(JobRow)
            .where(JobRow.condition_id == condition_id, JobRow.kind == "import")
            .order_by(JobRow.created.desc(), JobRow.id)
        ).all()
        stored = session.execute(
            select(ScanRow.batch, ScanRow.id)
            .where(ScanRow.condition_id == condition_id, ScanRow.removed.is_(None))
            .order_by(ScanRow.number)
        ).all()
        return tuple(
            _batch(store, actor, row, tuple(scan for batch, scan in stored if batch == row.id))
            for row in rows
        )


def read_options(options: ImportOptions) -> ReadOptions:
    """How to read, for the readers.

    Raises:
        SupportError: a remedy or volume is none.
    """
    try:
        remedies = frozenset(Remedy(name) for name in options.remedies)
        return ReadOptions(remedies, options.volume, options.no_preamble)
    except ValueError as error:
        raise SupportError("There is no such way of reading. Choose one of those offered.") from error


def region_of(options: ImportOptions) -> Region | None:
    """The part that matters, or None for the whole.

    Raises:
        RegionError: it cannot be read.
    """
    return parse_region(options.slices, options.box)


def _open(store: Store, session: Session, actor: Actor, job_id: str) -> Spool:
    """The spool of an import that the actor began and has not committed."""
    spool = Spool(store, job_id)
    if spool.about.user_id != actor.user_id:
        raise NotFound("There is no such import, or it is not yours. Drop the files again.")
    if session.get(JobRow, job_id) is not None:
        raise NotFound("This import is under way already. Drop further files as another one.")
    return spool


def _batch(store: Store, actor: Actor, row: JobRow, scans: tuple[str, ...]) -> Batch:
    if row.outcome is None:
        return Batch(info(row), scans)
    outcome = loaded(ImportOutcome, row.outcome)
    names = spools.Kept()
    if row.user_id == actor.user_id:
        try:
            names = Spool(store, row.id).kept_names()
        except NotFound:
            names = spools.Kept()
    refused = [
        Refusal(_named(names.refused, k), one.reason, one.fix) for k, one in enumerate(outcome.refused)
    ]
    copies = [(_named(names.copies, k), number) for k, number in enumerate(outcome.copies)]
    return Batch(info(row), scans, tuple(refused), tuple(copies), outcome.deidentified)


def _named(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else f"file {index + 1}"
