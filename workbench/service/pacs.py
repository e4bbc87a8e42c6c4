"""Image archives from the page: look for studies, bring series in as an import, send results back.

What is asked and what is found goes to whoever asks and is kept nowhere: the audit trail says that an archive
was asked, and how many matches it gave. Chosen series travel by `workbench.service.selections`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from workbench.errors import NotFound, PacsError, SupportError, WorkbenchError
from workbench.pacs.archive import Progress, Query, Selection, SeriesMatch, StudyMatch
from workbench.pacs.config import archives_path, read_archives
from workbench.pacs.connect import open_archive, warning_of
from workbench.results.write import write_results
from workbench.service import imports, selections, spools
from workbench.service.access import level_of, require_role
from workbench.service.accounts.signing import person
from workbench.service.engine import Engine
from workbench.service.facts import chosen_version
from workbench.service.kinds import Actor, ImportOptions, JobInfo, Level, Role
from workbench.service.overview import plural
from workbench.service.selections import Chosen
from workbench.service.serial import dumped, loaded
from workbench.service.work import info
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.jobs import Claim
from workbench.store.schema import JobRow, ScanRow, User, Version, new_id

MOST_SELECTED = 50


@dataclass(frozen=True, slots=True)
class ArchiveInfo:
    """An archive by its name in the archives file, and what to know about its connection, or empty."""

    name: str
    warning: str


@dataclass(frozen=True, slots=True)
class RetrieveGiven:
    """Arguments of a retrieval: the import that it fills, and how that is read."""

    import_job: str
    options: ImportOptions


@dataclass(frozen=True, slots=True)
class RetrieveOutcome:
    """What came of a retrieval: files that arrived, and how many did not."""

    files: int
    failed: int


@dataclass(frozen=True, slots=True)
class SendGiven:
    """Arguments of sending results."""

    version_id: str


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What came of sending results.

    Attributes:
        sent: objects that the archive took.
        failed: objects that it did not.
        left_out: scans of the study that are no case of this condition, or could not be read.
    """

    sent: int
    failed: int
    left_out: int


def archives(actor: Actor) -> tuple[ArchiveInfo, ...]:
    """The archives that are described; none where there is no archives file.

    Raises:
        NotAllowed: the actor is a reader only.
        PacsError: the file is wrong; names the field.
    """
    require_role(actor, Role.EDITOR, Role.ADMIN)
    if not archives_path().exists():
        return ()
    file = read_archives()
    return tuple(ArchiveInfo(name, warning_of(one)) for name, one in file.archives.items())


def studies(store: Store, actor: Actor, archive: str, query: Query) -> tuple[StudyMatch, ...]:
    """Studies that match, newest first, for the asker's own screen.

    Raises:
        PacsError: no criterion is given, or the archive cannot be used.
    """
    require_role(actor, Role.EDITOR, Role.ADMIN)
    if query == Query(limit=query.limit):
        raise PacsError(archive, "Nothing to look for was given.", "Give a criterion.")
    found = open_archive(archive).find_studies(query)
    _note(store, actor, "pacs.query", {"archive": archive, "matches": len(found)})
    return found


def series(store: Store, actor: Actor, archive: str, study: str) -> tuple[SeriesMatch, ...]:
    """Series of a study, by number, for the asker's own screen.

    Raises:
        PacsError: the archive cannot be used.
    """
    require_role(actor, Role.EDITOR, Role.ADMIN)
    found = open_archive(archive).find_series(Query(study=study))
    _note(store, actor, "pacs.query", {"archive": archive, "matches": len(found)})
    return found


def retrieve(
    store: Store,
    actor: Actor,
    condition_id: str,
    archive: str,
    chosen: Sequence[Selection],
    role: str,
    options: ImportOptions | None = None,
) -> JobInfo:
    """Bring series into a condition: they are copied into an import's private folder and read from there.

    Args:
        store, actor, condition_id: whose.
        archive: its name.
        chosen: studies or series.
        role: see `workbench.service.imports.begin`.
        options: how to read them.

    Raises:
        SupportError: nothing or too much was chosen.
        PacsError: there is no archive of that name.
    """
    _check(archive, chosen)
    import_job = imports.begin(store, actor, condition_id, role)
    selections.put(store, import_job, Chosen(archive, tuple(chosen)))
    given = RetrieveGiven(import_job, options or ImportOptions())
    with store.session() as session:
        level_of(session, actor, condition_id, Level.EDIT)
        job_id = jobs.enqueue(session, "retrieve", actor.user_id, condition_id, dumped(given))
        detail = {"archive": archive, "selected": len(chosen), "role": role, "import": import_job}
        audit.record(session, actor.user_id, "pacs.retrieve", "job", job_id, detail)
        return info(session.get_one(JobRow, job_id))


def bring(store: Store, claim: Claim) -> None:
    """Copy what was chosen into the import's folder and ask for the import.

    Raises:
        PacsError: the archive cannot be used, or nothing arrived.
        QuotaExceeded: there is no room.
    """
    given = loaded(RetrieveGiven, claim.given)
    try:
        outcome = _brought(store, claim, given)
    except (WorkbenchError, jobs.Cancelled):
        spools.remove(store, given.import_job)
        raise
    with store.session() as session:
        jobs.finish(session, claim, dumped(outcome))


def send_results(
    store: Store, actor: Actor, condition_id: str, archive: str, chosen: Sequence[Selection]
) -> JobInfo:
    """Put the active version's readings of cases into their study, as structured reports.

    The store knows no study of a case. So the study is named again; its images are retrieved again, those
    that are cases of the condition are read, the reports are sent, and everything is removed.

    Raises:
        SupportError: nothing has been adapted, or nothing was chosen.
        PacsError: there is no archive of that name.
    """
    _check(archive, chosen)
    job_id = new_id()
    with store.read() as session:
        level_of(session, actor, condition_id, Level.EDIT)
        version = chosen_version(session, condition_id, "")
    if version is None:
        raise SupportError("Nothing has been adapted yet. Adapt first.")
    selections.put(store, job_id, Chosen(archive, tuple(chosen)))
    with store.session() as session:
        level_of(session, actor, condition_id, Level.EDIT)
        given = dumped(SendGiven(version.id))
        jobs.enqueue(session, "results", actor.user_id, condition_id, given, job_id=job_id)
        detail = {"archive": archive, "version": version.number}
        audit.record(session, actor.user_id, "pacs.results", "job", job_id, detail)
        return info(session.get_one(JobRow, job_id))


def send(engine: Engine, store: Store, claim: Claim) -> None:
    """Retrieve, read, report, send and forget.

    Raises:
        PacsError: the archive cannot be used, or no image of the study is a case of the condition.
    """
    try:
        outcome = _sent(engine, store, claim)
    except (WorkbenchError, jobs.Cancelled):
        spools.remove(store, claim.id)
        raise
    with store.session() as session:
        detail = {"sent": outcome.sent, "failed": outcome.failed}
        audit.record(session, claim.user_id, "pacs.sent", "job", claim.id, detail)
        jobs.finish(session, claim, dumped(outcome))
    spools.remove(store, claim.id)


def _brought(store: Store, claim: Claim, given: RetrieveGiven) -> RetrieveOutcome:
    with store.read() as session:
        user = session.get(User, claim.user_id)
        under_way = session.get(JobRow, given.import_job) is not None
    if user is None:
        raise NotFound("Whoever asked for this is gone.")
    actor = person(user)
    if under_way:  # A worker was killed between the import's commit and the end of this job.
        return RetrieveOutcome(0, 0)
    chosen = selections.get(store, given.import_job)
    arrived, failed = 0, 0
    with _private(store.spool(given.import_job)) as place:
        for number, one in enumerate(chosen.selections, start=1):
            folder = place / f"{number}"
            found = open_archive(chosen.archive).retrieve(one, folder, progress=_told(claim, number, chosen))
            for path in found.files:
                imports.take(
                    store, actor, given.import_job, f"{number}/{path.name}", path, path.stat().st_size
                )
            arrived += len(found.files)
            failed += len(found.failed)
    if not arrived:
        raise PacsError(chosen.archive, "Nothing arrived.", "Look whether the archive lets us retrieve.")
    selections.forget(store, given.import_job)
    imports.commit(store, actor, given.import_job, given.options)
    return RetrieveOutcome(arrived, failed)


def _sent(engine: Engine, store: Store, claim: Claim) -> SendOutcome:
    chosen = selections.get(store, claim.id)
    with store.read() as session:
        version = session.get(Version, loaded(SendGiven, claim.given).version_id)
        if version is None:
            raise NotFound("The version is gone. Look at the condition again.")
        cases = frozenset(
            session.scalars(
                select(ScanRow.identity).where(
                    ScanRow.condition_id == claim.condition_id,
                    ScanRow.role == "case",
                    ScanRow.removed.is_(None),
                )
            )
        )
    model = engine.model(version.model, store.blobs.path(version.model))
    archive = open_archive(chosen.archive)
    with _private(store.spool(claim.id)) as place:
        images, results = place / "images", place / "results"
        images.mkdir(mode=0o700)
        results.mkdir(mode=0o700)
        for number, one in enumerate(chosen.selections, start=1):
            archive.retrieve(one, images / f"{number}", progress=_told(claim, number, chosen))
        claim.report(0, 0, "Reading and writing reports")
        found = list(write_results(model, version.model, [images], results, only=cases))
        files = [path for one in found for path in one.dicom]
        if not files:
            raise PacsError(
                chosen.archive,
                "No image of the study is a case of this condition.",
                "Read its images as cases first.",
            )
        claim.report(0, len(files), f"Sending {plural(len(files), 'report')}")
        stored = archive.store(files)
    return SendOutcome(stored.count, len(stored.failed), sum(one.refusal is not None for one in found))


@contextmanager
def _private(folder: Path) -> Iterator[Path]:
    """An empty folder for images as they are stored in the archive, which is gone afterwards.

    It has a fixed name, so that what a worker left that was killed is gone, too, when the job is done again.
    """
    place = folder / "retrieved"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _told(claim: Claim, number: int, chosen: Chosen) -> Progress:
    """Progress of one selection; a retrieval that was cancelled stops at it."""
    several = len(chosen.selections)
    which = f" (selection {number} of {several})" if several > 1 else ""

    def tell(done: int, total: int) -> None:
        claim.report(done, total, f"Retrieving image {done} of {total}{which}")

    return tell


def _check(archive: str, chosen: Sequence[Selection]) -> None:
    if not 1 <= len(chosen) <= MOST_SELECTED:
        raise SupportError(f"Choose 1 to {MOST_SELECTED} studies or series.")
    read_archives().archive(archive)


def _note(store: Store, actor: Actor, action: str, detail: dict[str, object]) -> None:
    with store.session() as session:
        audit.record(session, actor.user_id, action, "archive", "", detail)
