"""The export job: writes a report, a model card or a bundle, with the rights of whoever asked."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from workbench.errors import NotFound
from workbench.evaluation.document import as_html, as_markdown, as_pdf
from workbench.service import artefacts, bundle, facts, report
from workbench.service.accounts.signing import person
from workbench.service.artefacts import Made
from workbench.service.engine import Engine
from workbench.service.exporting import Export, ExportGiven, ExportOutcome
from workbench.service.facts import Facts
from workbench.service.seal import fingerprint, public_of, site_key, write_sealed
from workbench.service.serial import dumped, loaded
from workbench.store import jobs
from workbench.store.database import Store
from workbench.store.jobs import Claim
from workbench.store.schema import Condition, User, Version


def run(engine: Engine, store: Store, claim: Claim) -> None:
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
