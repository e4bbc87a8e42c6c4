"""The evaluate job: a locked cohort read once, from its first scan to its last, and the report of it.

The figures come from `workbench.evaluation.cohorts.evaluate_labelled`, the one evaluator.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from workbench.data.examples import Example
from workbench.data.folders import Labelled
from workbench.errors import CohortError, NotFound
from workbench.evaluation import report
from workbench.evaluation.cohorts import CohortResult, evaluate_labelled
from workbench.evaluation.report_pdf import as_pdf
from workbench.evaluation.statistics import Proportion
from workbench.service import artefacts, cohorts
from workbench.service.artefacts import Made
from workbench.service.cohorts import LockedCohort
from workbench.service.engine import Engine
from workbench.service.evaluating import KIND, EvaluationOutcome
from workbench.service.kinds import Share95
from workbench.service.overview import plural
from workbench.service.scanfile import open_scan
from workbench.service.serial import dumped, loaded
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.jobs import Claim
from workbench.store.schema import Condition, ScanRow, Version


def run(engine: Engine, store: Store, claim: Claim) -> None:
    """Read the locked cohort once, from its first scan to its last, and keep the report.

    Raises:
        CohortError: a scan or patient of the support is among it (named by number), or nothing can be read.
    """
    cohort = loaded(LockedCohort, claim.given)
    assert claim.condition_id is not None
    with store.read() as session:
        version = session.get(Version, cohort.version_id)
        condition = session.get(Condition, claim.condition_id)
        if version is None or condition is None:
            raise NotFound("The version that was to be evaluated is gone. Evaluate again.")
        looked = 1 + cohorts.looks(session, condition.id, cohort.digest)
    model = engine.model(version.model, store.blobs.path(version.model))
    result = evaluate_labelled(model, _told(store, claim, cohort))
    title = f"{condition.title}: cohort evaluation of version {version.number}"
    preface = report.Preface(title, _said(looked, cohort, version))
    claim.report(len(cohort.members), len(cohort.members) + 1, "Writing the report")
    made = _reports(result, preface)
    outcome = _outcome(result, version.number, cohort.digest, looked, preface.note)
    with store.session() as session:
        for one in made:
            artefacts.keep(store, session, one, condition.id, claim.id, claim.user_id)
        detail = {"cohort": cohort.digest, "model": version.model, "looked": looked, "job": claim.id}
        audit.record(session, claim.user_id, cohorts.LOOKED, "condition", condition.id, detail)
        jobs.finish(session, claim, dumped(outcome))


def labelled_scans(store: Store, cohort: LockedCohort) -> Iterator[Labelled]:
    """The scans of a cohort one after another, mapped from the store when their turn comes."""
    with store.read() as session:
        found = {
            row.id: row
            for row in session.scalars(
                select(ScanRow).where(ScanRow.id.in_([member.scan_id for member in cohort.members]))
            )
        }
    for member in cohort.members:
        row = found.get(member.scan_id)
        if row is None:
            raise CohortError("A scan of the locked cohort is gone. Evaluate again.")
        name = f"scan {row.number}"
        scan = open_scan(store.blobs.path(row.blob)).scan(name)
        yield Labelled(name, member.label, Example(scan, member.label, row.patient))


def _told(store: Store, claim: Claim, cohort: LockedCohort) -> Iterator[Labelled]:
    total = len(cohort.members)
    for done, one in enumerate(labelled_scans(store, cohort), start=1):
        yield one
        claim.report(done, total + 1, "Reading the cohort")


def _said(looked: int, cohort: LockedCohort, version: Version) -> str:
    """What must be known before the figures."""
    fixed = (
        f"Locked before the first reading: {plural(len(cohort.members), 'scan')} "
        f"(SHA-256 {cohort.digest[:16]}), version {version.number} (SHA-256 {version.model[:16]})."
    )
    if looked == 1:
        return f"{fixed} This cohort was looked at for the first time."
    return (
        f"{fixed} This cohort was looked at {looked} times: a version chosen after earlier looks is not "
        "judged on held-out patients any more. Report the first figure, or use patients nobody has looked at."
    )


def _reports(result: CohortResult, preface: report.Preface) -> tuple[Made, ...]:
    return (
        Made(KIND, "evaluation.html", "text/html", report.as_html(result, preface).encode()),
        Made(KIND, "evaluation.pdf", "application/pdf", as_pdf(result, preface)),
        Made(KIND, "evaluation.csv", "text/csv", report.as_csv(result, preface).encode()),
        Made(KIND, "evaluation.json", "application/json", report.as_json(result, preface).encode()),
    )


def _outcome(result: CohortResult, version: int, digest: str, looked: int, said: str) -> EvaluationOutcome:
    found = result.performance
    return EvaluationOutcome(
        version,
        digest,
        looked,
        found.patients,
        found.scans,
        len(result.refused),
        found.classes,
        tuple(tuple(int(n) for n in row) for row in found.confusion),
        _share(found.accuracy),
        tuple(map(_share, found.sensitivities)),
        tuple(report.figures(result)),
        said,
    )


def _share(value: Proportion | None) -> Share95 | None:
    return None if value is None else Share95(value.successes, value.n, value.low, value.high)
