"""The adapt job: labels that count become a version, with everything its screen says of it.

`workbench.adaptation.model.adapt` and what surrounds it, in the order of `workbench adapt`; then every case
is read again by the new version. Model file, version, readings and the end of the job are written in one
transaction.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy import func, select

from workbench.adaptation import model as models
from workbench.adaptation.appraising import appraised, mean_shots
from workbench.adaptation.estimate import Estimate, leave_one_patient_out
from workbench.adaptation.experience import experience_of
from workbench.adaptation.forecast import MIN_PATIENTS, forecast
from workbench.adaptation.model import AdaptedModel
from workbench.adaptation.similar import embedding_findings
from workbench.adaptation.support_quality import SupportFindings, support_findings
from workbench.data.examples import Example
from workbench.errors import NotFound, SupportError
from workbench.evaluation.statistics import Interval, Proportion
from workbench.learners.files import LoadedLearner
from workbench.service.adapting import AdaptGiven
from workbench.service.asking import ask_to_read
from workbench.service.earlier import earlier_population
from workbench.service.engine import Engine
from workbench.service.job_read import read_all, unread, write_readings
from workbench.service.kinds import AdaptResult, Interval95, Judged, Point, Share95
from workbench.service.overview import plural
from workbench.service.rows import present
from workbench.service.scanfile import open_scan
from workbench.service.serial import dumped, loaded
from workbench.service.shown import Labelled
from workbench.service.standing import standings
from workbench.service.versions import make_active
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import Condition, ScanRow, Version, new_id

CURVE = (1, 2, 5, 10, 20)
"""Further patients per class at which the learning curve is forecast."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition as it was when the job began.

    Attributes:
        rows: labelled scans that count, by number, each with its class identifier.
        disputed: scans left out because readers disagree.
    """

    title: str
    classes: tuple[tuple[str, str], ...]
    prevalence: tuple[float, ...] | None
    miss_cost: float
    method: str
    parent_id: str | None
    rows: tuple[tuple[ScanRow, str], ...]
    disputed: int

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in their order."""
        return tuple(name for _, name in self.classes)

    @property
    def labelled(self) -> tuple[Labelled, ...]:
        """The labelled scans, in the model's order."""
        by_id = dict(self.classes)
        return tuple(Labelled(row.id, row.number, by_id[class_id]) for row, class_id in self.rows)


def run(engine: Engine, store: Store, claim: jobs.Claim) -> None:
    """Make one version.

    Raises:
        NotFound: the condition is gone.
        SupportError: the scans cannot be learned from; says why and what to do.
    """
    began = time.process_time()
    given = loaded(AdaptGiven, claim.given)
    asked = _asked(store, claim.condition_id or "")
    loaded_learner = engine.learner(given.method or asked.method)
    claim.report(0, 0, "Reading the labelled scans")
    examples = _examples(store, loaded_learner, asked)
    model = models.adapt(loaded_learner, examples, asked.names)
    assert model.support is not None

    def leaving_out(done: int, total: int) -> None:
        claim.report(done, total, f"Leaving out patient {done} of {total}")

    estimate = leave_one_patient_out(loaded_learner.learner, model.support, leaving_out)
    doubtful = support_findings(model.classifier, model.support, estimate, examples)
    odd = embedding_findings(model.classifier, model.support)
    model = appraised(model, estimate).with_doubts(doubtful.summary)
    if asked.prevalence is not None:
        model = models.asking(model, prevalence=dict(zip(asked.names, asked.prevalence, strict=True)))
    said = earlier_population(store, loaded_learner, asked.parent_id, asked.title, asked.rows, examples)
    result = _result(loaded_learner, asked, model, estimate, doubtful, said)
    strange = tuple(
        (row.id, finding.message)
        for (row, _), findings in zip(asked.rows, odd, strict=True)
        for finding in findings
    )
    with store.read() as session:
        cases = unread(session, claim.condition_id or "", None)
    outcome = read_all(store, claim, model, result, asked.labelled, cases)
    claim.report(1, 1, "Storing")
    with tempfile.TemporaryDirectory(prefix="workbench-model-") as folder:
        path = Path(folder) / "model.safetensors"
        models.save_model(model, path)
        seconds = time.process_time() - began
        with store.session() as session:
            condition_id = claim.condition_id or ""
            session.scalar(select(Condition.id).where(Condition.id == condition_id).with_for_update())
            highest = select(func.max(Version.number)).where(Version.condition_id == condition_id)
            version = Version(
                id=new_id(),
                condition_id=condition_id,
                number=(session.scalar(highest) or 0) + 1,
                model=store.blobs.put(path, session),
                method=model.record.method,
                result=dumped(replace(result, odd=strange, seconds=seconds)),
                support=[[row.id, class_id] for row, class_id in asked.rows],
                job_id=claim.id,
                user_id=claim.user_id,
                active=True,
            )
            session.add(version)
            make_active(session, version)
            write_readings(session, version.id, outcome.readings)
            # Cases that came in while this was computed.
            ask_to_read(session, claim.user_id, condition_id, version.id)
            detail = {
                "number": version.number,
                "scans": len(asked.rows),
                "method": version.method,
                "read": len(outcome.readings),
            }
            audit.record(session, claim.user_id, "version.made", "version", version.id, detail)
            jobs.finish(session, claim, {"version": version.id, "number": version.number})


def _asked(store: Store, condition_id: str) -> Asked:
    with store.read() as session:
        condition = session.get(Condition, condition_id)
        if condition is None:
            raise NotFound("The condition is gone.")
        known = standings(session, condition_id)
        rows = session.scalars(present(condition_id, "support")).all()
        counted = [
            (row, label) for row in rows if row.id in known and (label := known[row.id].counts_as) is not None
        ]
        return Asked(
            title=condition.title,
            classes=tuple((one.id, one.name) for one in condition.classes),
            prevalence=None if condition.prevalence is None else tuple(condition.prevalence),
            miss_cost=condition.miss_cost,
            method=condition.method,
            parent_id=condition.parent_id,
            rows=tuple(counted),
            disputed=sum(row.id in known and known[row.id].disputed for row in rows),
        )


def _examples(store: Store, learner: LoadedLearner, asked: Asked) -> tuple[Example, ...]:
    """The labelled scans, of a volume no more than is read of it; messages call them by their numbers."""
    if not asked.rows:
        raise SupportError("No scan has a label that counts. Label some of each class.")
    names = dict(asked.classes)
    keep = learner.learner.recipe.kept
    return tuple(
        Example(
            keep(open_scan(store.blobs.path(row.blob)).scan(f"scan {row.number}")),
            names[class_id],
            row.patient,
        )
        for row, class_id in asked.rows
    )


def _result(
    learner: LoadedLearner,
    asked: Asked,
    model: AdaptedModel,
    estimate: Estimate,
    doubtful: SupportFindings,
    said: Sequence[str],
) -> AdaptResult:
    performance = estimate.performance
    statements = [*(model.outlook.statements if model.outlook is not None else ()), *said]
    if asked.prevalence is not None:
        shares = ", ".join(
            f"{name} {100 * share:.0f} %" for name, share in zip(asked.names, asked.prevalence, strict=True)
        )
        statements.append(f"Probabilities follow the expected shares: {shares}.")
    if asked.disputed:
        statements.append(
            f"{plural(asked.disputed, 'scan')} that readers disagree about left out until settled."
        )
    return AdaptResult(
        method=model.record.method,
        classes=model.record.classes,
        shots=model.record.shots,
        confusion=tuple(tuple(int(n) for n in row) for row in performance.confusion),
        accuracy=_share(performance.accuracy),
        balanced_accuracy=_interval(performance.balanced_accuracy),
        auroc=_interval(performance.auroc),
        sensitivities=tuple(_share(one) for one in performance.sensitivities),
        judged=_judged(asked, estimate),
        too_few=""
        if performance.accuracy is not None
        else "Too few to say: every class needs two patients or more before the model can be tried on a "
        "patient it has not seen. Label scans of other patients.",
        choice=model.record.choice,
        statements=tuple(statements),
        curve=_curve(learner, model, estimate),
        suspects=tuple(
            (
                asked.rows[doubt.row][0].id,
                f"Labelled “{doubtful.classes[doubt.given]}”, looks like “{doubtful.classes[doubt.likely]}” "
                f"(doubt {doubt.score:.2f}).",
            )
            for doubt in doubtful.suspects
        ),
        shortcuts=tuple(finding for finding in doubtful.findings if finding.code != "label-doubtful"),
        limits=doubtful.limits,
        odd=(),
        # A miss costs `miss_cost` false alarms: calling at p saves p * cost and risks 1 - p.
        threshold=1 / (1 + asked.miss_cost),
        weights=learner.record.title,
        seconds=0.0,
        modality=model.record.modality,
        prevalence=asked.prevalence,
        miss_cost=asked.miss_cost,
    )


def _judged(asked: Asked, estimate: Estimate) -> tuple[Judged, ...]:
    found = []
    for row, (one, read_as) in enumerate(zip(asked.labelled, estimate.predicted, strict=True)):
        probability = None if read_as is None else float(np.nanmax(estimate.probabilities[row]))
        found.append(Judged(one.scan_id, one.label, read_as, probability))
    return tuple(found)


def _curve(learner: LoadedLearner, model: AdaptedModel, estimate: Estimate) -> tuple[Point, ...]:
    """Expected accuracy now and with more patients in each class; empty where there are too few to say."""
    accuracy, experience = estimate.performance.accuracy, experience_of(model.record.learner_sha256)
    growth = experience.learned.growth if experience is not None else {}
    if (
        accuracy is None
        or accuracy.n < MIN_PATIENTS
        or model.record.method not in growth
        or model.outlook is None
        or model.outlook.expected is None
        or model.support is None
    ):
        return ()
    shots, now = mean_shots(model.support), model.outlook.expected
    points = [Point(shots, now.value, now.low, now.high)]
    for more in CURVE:
        found = forecast(growth[model.record.method], accuracy.successes, accuracy.n, shots, more)
        if found is not None:
            points.append(Point(shots + more, found.expected, found.low, found.high))
    return tuple(points)


def _share(value: Proportion | None) -> Share95 | None:
    return None if value is None else Share95(value.successes, value.n, value.low, value.high)


def _interval(value: Interval | None) -> Interval95 | None:
    if value is None or math.isnan(value.low) or math.isnan(value.value):
        return None
    return Interval95(value.value, value.low, value.high, value.n)
