"""Reports, model cards and bundles on demand: asking for them. What the job does is in `job_export`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from workbench.errors import SupportError
from workbench.service import facts
from workbench.service.access import level_of
from workbench.service.kinds import Actor, JobInfo
from workbench.service.seal import fingerprint, public_of, site_key
from workbench.service.serial import dumped
from workbench.service.work import info
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import JobRow


class Export(StrEnum):
    """What can be made to take away."""

    REPORT = "report"
    """Of the condition, as page and PDF."""
    CARD = "card"
    """Model card of a version, as Markdown."""
    BUNDLE = "bundle"
    """Case bundle of a version, signed; see `workbench.service.bundle`."""


@dataclass(frozen=True, slots=True)
class ExportGiven:
    """Arguments of an export; an empty version stands for none having been adapted."""

    what: Export
    version_id: str


@dataclass(frozen=True, slots=True)
class ExportOutcome:
    """What came of an export: the fingerprint of the key that signed a bundle, or empty."""

    fingerprint: str = ""


def start(store: Store, actor: Actor, condition_id: str, what: Export, version_id: str = "") -> JobInfo:
    """Ask for something to take away; it then is among `workbench.service.artefacts.of_condition`.

    Args:
        store, actor, condition_id: whose.
        what: see `Export`.
        version_id: of which version; the active one where not given.

    Raises:
        SupportError: nothing has been adapted, and it is about a version.
        NotFound: there is no such condition or version, or not for the actor.
    """
    with store.session() as session:
        level_of(session, actor, condition_id)
        version = facts.chosen_version(session, condition_id, version_id)
        if version is None and what is not Export.REPORT:
            raise SupportError("Nothing has been adapted yet. Adapt first.")
        given = ExportGiven(what, version.id if version is not None else "")
        job_id = jobs.enqueue(session, "export", actor.user_id, condition_id, dumped(given))
        detail = {"what": what.value, "version": version.number if version is not None else 0}
        audit.record(session, actor.user_id, "export.ask", "condition", condition_id, detail)
        return info(session.get_one(JobRow, job_id))


def site_fingerprint(store: Store) -> str:
    """Of the key that this site signs bundles with, to be compared by whoever replays one."""
    return fingerprint(public_of(site_key(store.data_dir)))
