"""Evaluating a version on a cohort that was locked beforehand, through the one evaluator.

`start` locks the cohort and asks for the job; `evaluate` is what a worker does; `evaluations` shows what came
of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select

from workbench.data.folders import Labelled
from workbench.errors import CohortError, NotFound
from workbench.evaluation import report
from workbench.evaluation.cohorts import CohortResult, evaluate_labelled
from workbench.evaluation.report_pdf import as_pdf
from workbench.evaluation.statistics import Proportion
from workbench.service import artefacts, cohorts
from workbench.service.access import level_of
from workbench.service.artefacts import Made
from workbench.service.cohorts import LockedCohort
from workbench.service.engine import Engine
from workbench.service.kinds import Actor, ArtefactInfo, Evaluation, JobInfo, Level, Share95
from workbench.service.overview import active_version, plural
from workbench.service.serial import dumped, loaded
from workbench.service.work import info
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.jobs import Claim
from workbench.store.schema import Condition, JobRow, Version

KIND = "evaluation"


@dataclass(frozen=True, slots=True)
class EvaluationOutcome:
    """What an evaluation's job keeps; see `workbench.service.kinds.Evaluation`."""

    version: int
    cohort: str
    looked: int
    patients: int
    scans: int
    left_out: int
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    accuracy: Share95 | None
    sensitivities: tuple[Share95 | None, ...]
    figures: tuple[tuple[str, str], ...]
    said: str


def start(store: Store, actor: Actor, condition_id: str, batch: str = "") -> JobInfo:
    """Lock a cohort and ask for its evaluation by the active version.

    The list of scans with their classes and the version are hashed and recorded in the audit trail before
    anything is read.

    Args:
        store, actor, condition_id: whose.
        batch: import (role ``cohort``) whose folders name the classes; empty for those of the condition's
            cases that came in folders called like a class.

    Raises:
        CohortError: nothing has been adapted yet, there is no such cohort, or its classes are others.
    """
    with store.session() as session:
        condition = level_of(session, actor, condition_id, Level.EDIT)
        version = active_version(session, condition_id)
        if version is None:
            raise CohortError("Nothing has been adapted yet. Adapt first, then evaluate.")
        cohort = cohorts.locked(session, condition, version.id, batch)
        job_id = jobs.enqueue(session, "evaluate", actor.user_id, condition_id, dumped(cohort))
        detail = {
            "cohort": cohort.digest,
            "scans": len(cohort.members),
            "model": version.model,
            "version": version.number,
            "looked_before": cohorts.looks(session, condition_id, cohort.digest),
            "job": job_id,
        }
        audit.record(session, actor.user_id, cohorts.LOCKED, "condition", condition_id, detail)
        return info(session.get_one(JobRow, job_id))


def evaluate(engine: Engine, store: Store, claim: Claim) -> None:
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


def evaluations(store: Store, actor: Actor, condition_id: str) -> tuple[Evaluation, ...]:
    """Everything evaluated so far, newest first.

    Raises:
        NotFound: there is no such condition, or not for the actor.
    """
    files: defaultdict[str, list[ArtefactInfo]] = defaultdict(list)
    with store.read() as session:
        level_of(session, actor, condition_id)
        rows = session.scalars(
            select(JobRow)
            .where(JobRow.condition_id == condition_id, JobRow.kind == "evaluate", JobRow.state == "done")
            .order_by(JobRow.finished.desc(), JobRow.id)
        ).all()
        for job_id, one in artefacts.with_jobs(session, condition_id, KIND):
            files[job_id].append(one)
    return tuple(
        _shown(row, loaded(EvaluationOutcome, row.outcome), tuple(files[row.id]))
        for row in rows
        if row.outcome is not None
    )


def _told(store: Store, claim: Claim, cohort: LockedCohort) -> Iterator[Labelled]:
    total = len(cohort.members)
    for done, one in enumerate(cohorts.labelled_scans(store, cohort), start=1):
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


def _shown(row: JobRow, outcome: EvaluationOutcome, files: tuple[ArtefactInfo, ...]) -> Evaluation:
    return Evaluation(
        info(row),
        outcome.version,
        outcome.cohort,
        outcome.looked,
        outcome.patients,
        outcome.scans,
        outcome.left_out,
        outcome.classes,
        outcome.confusion,
        outcome.accuracy,
        outcome.sensitivities,
        outcome.figures,
        outcome.said,
        files,
    )
