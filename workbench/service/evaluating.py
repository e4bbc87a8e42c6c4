"""Evaluating a version on a cohort that was locked beforehand, through the one evaluator.

`start` locks the cohort and asks for the job, `evaluations` shows what came of it. What the job does is in
`workbench.service.job_evaluate`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import select

from workbench.errors import CohortError
from workbench.service import artefacts, cohorts
from workbench.service.access import level_of
from workbench.service.kinds import Actor, ArtefactInfo, Evaluation, JobInfo, Level, Share95
from workbench.service.overview import active_version
from workbench.service.serial import dumped, loaded
from workbench.service.work import info
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import JobRow

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
