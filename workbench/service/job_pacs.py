"""The jobs that talk to archives: series into an import, results of cases into their study.

Images lie in the job's private folder while they are needed, and nowhere else.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select

from workbench.errors import NotFound, PacsError, WorkbenchError
from workbench.pacs.archive import Progress
from workbench.pacs.connect import open_archive
from workbench.results.write import write_results
from workbench.service import imports, selections, spools
from workbench.service.accounts.signing import person
from workbench.service.engine import Engine
from workbench.service.overview import plural
from workbench.service.pacs import RetrieveGiven, RetrieveOutcome, SendGiven, SendOutcome
from workbench.service.selections import Chosen
from workbench.service.serial import dumped, loaded
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.jobs import Claim
from workbench.store.schema import JobRow, ScanRow, User, Version


def retrieve(store: Store, claim: Claim) -> None:
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
