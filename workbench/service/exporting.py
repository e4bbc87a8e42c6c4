"""Reports, model cards and bundles on demand: `start` asks for them, `export` is what a worker does."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from workbench.errors import NotFound, SupportError
from workbench.evaluation.document import as_html, as_markdown, as_pdf
from workbench.service import artefacts, bundle, facts, report
from workbench.service.access import level_of
from workbench.service.accounts.signing import person
from workbench.service.artefacts import Made
from workbench.service.engine import Engine
from workbench.service.facts import Facts
from workbench.service.kinds import Actor, JobInfo
from workbench.service.seal import fingerprint, public_of, site_key, write_sealed
from workbench.service.serial import dumped, loaded
from workbench.service.work import info
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.jobs import Claim
from workbench.store.schema import Condition, JobRow, User, Version


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


def export(engine: Engine, store: Store, claim: Claim) -> None:
    """Make what was asked for, with the rights of whoever asked.

    Raises:
        NotFound: the condition or version is gone, or no longer shared.
        BundleError: a labelled scan of the version is gone.
    """
    given = loaded(ExportGiven, claim.given)
    claim.report(0, 2, "Gathering")
    found = _gathered(engine, store, claim, given)
    claim.report(1, 2, "Writing")
    if given.what is Export.BUNDLE:
        _bundled(engine, store, claim, given)
        return
    name = f"version-{found.version.number}" if found.version is not None else "condition"
    if given.what is Export.CARD:
        assert found.model is not None
        text = as_markdown(report.model_card(found, found.model))
        made = [Made("card", f"model-card-{name}.md", "text/markdown", text.encode())]
    else:
        document = report.report(found)
        made = [
            Made("report", f"report-{name}.html", "text/html", as_html(document).encode()),
            Made("report", f"report-{name}.pdf", "application/pdf", as_pdf(document)),
        ]
    _kept(store, claim, made, ExportOutcome())


def _gathered(engine: Engine, store: Store, claim: Claim, given: ExportGiven) -> Facts:
    condition_id = claim.condition_id or ""
    with store.read() as session:
        user = session.get(User, claim.user_id)
        if user is None:
            raise NotFound("Whoever asked for this is gone.")
        version = facts.chosen_version(session, condition_id, given.version_id) if given.version_id else None
        found = facts.gathered(session, person(user), condition_id, version)
    if version is None:
        return found
    return replace(found, model=engine.model(version.model, store.blobs.path(version.model)))


def _bundled(engine: Engine, store: Store, claim: Claim, given: ExportGiven) -> None:
    with store.read() as session:
        condition = session.get_one(Condition, claim.condition_id)
        version = session.get_one(Version, given.version_id)
        model = engine.model(version.model, store.blobs.path(version.model))
        recipe = model.classifier.learner.recipe
        found = bundle.contents(session, condition, version, model.record, dumped(recipe))
    key = site_key(store.data_dir)
    with tempfile.TemporaryDirectory(prefix="workbench-bundle-") as folder:
        path = Path(folder) / "bundle.zip"
        write_sealed(path, bundle.members(found, store.blobs), key)
        made = Made("bundle", f"bundle-version-{version.number}.zip", "application/zip", path)
        _kept(store, claim, [made], ExportOutcome(fingerprint(public_of(key))))


def _kept(store: Store, claim: Claim, made: list[Made], outcome: ExportOutcome) -> None:
    with store.session() as session:
        for one in made:
            artefacts.keep(store, session, one, claim.condition_id or "", claim.id, claim.user_id)
        jobs.finish(session, claim, dumped(outcome))
