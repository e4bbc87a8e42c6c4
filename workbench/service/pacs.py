"""Image archives from the page: look for studies, bring series in as an import, send results back.

What is asked and what is found goes to whoever asks and is kept nowhere: the audit trail says that an archive
was asked, and how many matches it gave. Chosen series travel by `workbench.service.selections`; what the jobs
do is in `workbench.service.job_pacs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.errors import PacsError, SupportError
from workbench.pacs.archive import Query, Selection, SeriesMatch, StudyMatch
from workbench.pacs.config import archives_path, read_archives
from workbench.pacs.connect import open_archive, warning_of
from workbench.service import imports, selections
from workbench.service.access import level_of, require_role
from workbench.service.facts import chosen_version
from workbench.service.kinds import Actor, ImportOptions, JobInfo, Level, Role
from workbench.service.selections import Chosen
from workbench.service.serial import dumped
from workbench.service.work import info
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import JobRow, new_id

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
    with store.read() as session:
        level_of(session, actor, condition_id, Level.EDIT)
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
    with store.read() as session:
        level_of(session, actor, condition_id, Level.EDIT)
        version = chosen_version(session, condition_id, "")
    _check(archive, chosen)
    job_id = new_id()
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


def _check(archive: str, chosen: Sequence[Selection]) -> None:
    if not 1 <= len(chosen) <= MOST_SELECTED:
        raise SupportError(f"Choose 1 to {MOST_SELECTED} studies or series.")
    read_archives().archive(archive)


def _note(store: Store, actor: Actor, action: str, detail: dict[str, object]) -> None:
    with store.session() as session:
        audit.record(session, actor.user_id, action, "archive", "", detail)
