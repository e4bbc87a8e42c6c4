"""Fitting what surrounds a model's readings, once, after adaptation.

Called by `workbench adapt`, the web UI, the demonstration and the benchmark, with the leave-one-patient-out
estimate they make anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from workbench.adaptation.appraiser import COVERAGE, CaseAppraiser, Settings, support_arrays
from workbench.adaptation.calibration import Calibration, calibrate
from workbench.adaptation.conformal import LeftOut
from workbench.adaptation.drift import Cohort
from workbench.adaptation.estimate import Estimate
from workbench.adaptation.experience import Experience, experience_of
from workbench.adaptation.forecast import Forecast, forecast, widened
from workbench.adaptation.model import AdaptedModel
from workbench.adaptation.novelty import Mahalanobis, Novelty, usual_distances
from workbench.adaptation.outlook import Outlook
from workbench.adaptation.similarity import expectation, moments, resemblances
from workbench.data.examples import Support
from workbench.errors import SupportError
from workbench.evaluation.statistics import Proportion
from workbench.learners.base import Classifier

MARGIN = 1.5
"""Of `Novelty` where nothing was learned of the encoder."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Support scans that were read by a model that had not seen their patient.

    Attributes:
        rows: of the support.
        probabilities: ``(m, way)``.
        labels: true classes.
        weights: one over the number of scans of the patient in that class.
        patients: code of each scan's patient.
    """

    rows: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    patients: npt.NDArray[np.int64]

    @property
    def first(self) -> npt.NDArray[np.int64]:
        """Of these scans, the first of each patient."""
        found: npt.NDArray[np.int64] = np.unique(self.patients, return_index=True)[1]
        return found


def judged(support: Support, estimate: Estimate | None) -> Judged:
    """What an estimate says about scans of a support; nothing where there is none."""
    codes = np.unique(np.array(support.patients, dtype=object).astype(str), return_inverse=True)[1]
    mask = estimate.judged if estimate is not None else np.zeros(len(support), dtype=bool)
    rows = np.flatnonzero(mask)
    labels, patients = support.labels.numpy()[rows], codes[rows].astype(np.int64)
    pairs = patients * support.way + labels
    counts = np.bincount(pairs, minlength=1) if len(rows) else np.ones(1)
    probabilities = estimate.probabilities[rows] if estimate is not None else np.zeros((0, support.way))
    return Judged(rows, probabilities, labels, 1 / counts[pairs], patients)


def appraised(model: AdaptedModel, estimate: Estimate | None, coverage: float = COVERAGE) -> AdaptedModel:
    """The model with calibrated probabilities, prediction sets, familiarity and an outlook.

    Args:
        model: fresh from `workbench.adaptation.model.adapt`.
        estimate: leave-one-patient-out of its support; without one no set can be promised.
        coverage: asked of prediction sets.

    Raises:
        SupportError: for a model read from a file, whose support is not at hand.
    """
    if model.support is None:
        raise SupportError("Readings are surrounded when a model is adapted; its support is not at hand.")
    experience = experience_of(model.record.learner_sha256)
    classifier, outlook = surround(
        model.classifier, model.support, estimate, experience, model.record.method, coverage
    )
    return replace(model, classifier=classifier, outlook=outlook)


def surround(
    classifier: Classifier,
    support: Support,
    estimate: Estimate | None,
    experience: Experience | None,
    method: str,
    coverage: float = COVERAGE,
) -> tuple[Classifier, Outlook]:
    """`appraised` on its parts: the classifier with an appraiser, and the outlook.

    Args:
        classifier: adapted to the support.
        support: labelled scans.
        estimate: leave-one-patient-out of it.
        experience: with the classifier's encoder.
        method: name of the learner.
        coverage: asked of prediction sets.
    """
    embeddings, labels = support_arrays(classifier)
    codes = np.unique(np.array(support.patients, dtype=object).astype(str), return_inverse=True)[1]
    known = judged(support, estimate)
    appraiser = CaseAppraiser(
        classes=classifier.classes,
        settings=Settings(
            coverage=coverage,
            margin=experience.learned.margin if experience is not None else MARGIN,
            calibration=_calibration(support, known, experience, method),
        ),
        left_out=LeftOut(
            1 - known.probabilities[np.arange(len(known.labels)), known.labels],
            known.labels,
            known.weights,
            support.way,
        ),
        novelty=Novelty(
            Mahalanobis.of(embeddings, labels),
            usual_distances(embeddings, labels, codes.astype(np.int64)),
            experience.learned.margin if experience is not None else MARGIN,
        ),
        rows=known.rows[known.first],
        labelled=Cohort(embeddings[known.rows[known.first]], known.probabilities[known.first].argmax(axis=1)),
    )
    outlook = Outlook(
        calibration=appraiser.settings.calibration,
        promise=appraiser.promise,
        expected=_expected(estimate, experience, method),
        forecast=_forecast(support, estimate, experience, method),
    )
    if experience is not None and method in experience.learned.temperatures:
        # Every class counts the same, as in the conditions that are known.
        near = resemblances(experience.known, *moments(embeddings, _balance(labels)))
        found = experience.learned.evidence
        outlook = replace(
            outlook,
            resembles=near,
            evidence=found,
            expectation=expectation(found, near[0].distance, support.way),
        )
    return classifier.with_appraiser(appraiser), outlook


def mean_shots(support: Support) -> float:
    """Mean number of patients per class."""
    return float(np.mean(list(support.shots.values())))


def _calibration(
    support: Support, known: Judged, experience: Experience | None, method: str
) -> Calibration | None:
    if experience is None or method not in experience.learned.temperatures:
        return None
    return calibrate(
        experience.learned.temperatures[method],
        mean_shots(support),
        support.way,
        known.probabilities,
        known.labels,
        known.weights,
        len(np.unique(known.patients)),
    )


def _expected(estimate: Estimate | None, experience: Experience | None, method: str) -> Proportion | None:
    accuracy = estimate.performance.accuracy if estimate is not None else None
    if accuracy is None or experience is None or method not in experience.learned.growth:
        return None
    return widened(experience.learned.growth[method], accuracy.successes, accuracy.n)


def _forecast(
    support: Support, estimate: Estimate | None, experience: Experience | None, method: str
) -> Forecast | None:
    accuracy = estimate.performance.accuracy if estimate is not None else None
    if accuracy is None or experience is None or method not in experience.learned.growth:
        return None
    return forecast(experience.learned.growth[method], accuracy.successes, accuracy.n, mean_shots(support))


def _balance(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    counts = np.bincount(labels)
    return np.asarray(1 / counts[labels], dtype=np.float64)
