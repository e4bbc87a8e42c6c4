"""What is attached to a classifier after adaptation, and turns its softmax into a reading one may believe.

`appraised` fits it from what is there anyway (the support's embeddings and the leave-one-patient-out
readings) and from what other conditions taught (`experience`). It is stored in the model's file as a few
small tensors and plain values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from workbench.adaptation.calibration import Calibration, with_prevalence
from workbench.adaptation.conformal import LeftOut, prediction_sets, promise_of
from workbench.adaptation.drift import Cohort
from workbench.adaptation.novelty import Mahalanobis, Novelty
from workbench.errors import ModelFileError, WorkbenchError
from workbench.learners.appraisal import Appraisal, Promise
from workbench.learners.base import Classifier

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
_STORED = ("scores", "labels", "weights", "usual", "rows", "read_as")
COVERAGE = 0.9
"""Asked of prediction sets unless another is asked for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The plain values of an appraiser.

    Attributes:
        coverage: asked of the sets, above 0 and below 1.
        margin: see `Novelty`.
        calibration: None for the model's own probabilities.
        prevalence: share of each class among the patients to be read, or None where it is not stated.
    """

    coverage: float
    margin: float
    calibration: Calibration | None = None
    prevalence: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CaseAppraiser:
    """See `workbench.learners.appraisal.Appraiser`.

    Attributes:
        classes: names.
        settings: plain values.
        left_out: how support scans were read when left out.
        novelty: distance from the support.
        rows: of the support, one for each patient that was left out.
        labelled: these scans, and the class each was read as.
    """

    classes: tuple[str, ...]
    settings: Settings
    left_out: LeftOut
    novelty: Novelty
    rows: Labels
    labelled: Cohort

    @property
    def promise(self) -> Promise:
        """Of the prediction sets."""
        return promise_of(self.left_out, self.settings.coverage)

    def appraise(self, probabilities: Values, embeddings: Tensor) -> Appraisal:
        """See the protocol."""
        known = self.settings
        found = known.calibration(probabilities) if known.calibration is not None else probabilities
        if known.prevalence is not None:
            found = with_prevalence(found, known.prevalence)
        values = embeddings.double().numpy()
        return Appraisal(
            probabilities=found,
            calibrated=known.calibration is not None,
            prevalence=known.prevalence,
            # Scores of left-out scans are the model's own, and so are those they are compared with: a
            # temperature fitted on them would make them look better than new ones.
            sets=prediction_sets(self.left_out, probabilities, self.classes, known.coverage),
            familiarity=self.novelty.familiarity(values),
            embeddings=values,
        )

    def tensors(self) -> dict[str, Tensor]:
        """See the protocol; the distances are fitted again from the support's embeddings."""
        arrays: dict[str, npt.NDArray[np.float64] | Labels] = {
            "scores": self.left_out.scores,
            "labels": self.left_out.labels,
            "weights": self.left_out.weights,
            "usual": self.novelty.usual,
            "rows": self.rows,
            "read_as": self.labelled.read_as,
        }
        return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}


def restored(classifier: Classifier, settings: Settings, tensors: Mapping[str, Tensor]) -> CaseAppraiser:
    """Inverse of `CaseAppraiser.tensors` on the classifier it was attached to.

    Raises:
        ModelFileError: if a tensor is missing.
    """
    try:
        arrays = {name: tensors[name].numpy() for name in _STORED}
    except KeyError as error:
        raise ModelFileError(f"The model's file lacks the tensor 'appraiser.{error.args[0]}'.") from error
    embeddings, labels = support_arrays(classifier)
    return CaseAppraiser(
        classifier.classes,
        settings,
        LeftOut(arrays["scores"], arrays["labels"], arrays["weights"], len(classifier.classes)),
        Novelty(Mahalanobis.of(embeddings, labels), arrays["usual"], settings.margin),
        arrays["rows"],
        Cohort(embeddings[arrays["rows"]], arrays["read_as"]),
    )


def appraiser_of(classifier: Classifier) -> CaseAppraiser | None:
    """What is attached to a classifier, if it is of this module."""
    found = classifier.appraiser
    return found if isinstance(found, CaseAppraiser) else None


def asking(
    classifier: Classifier,
    coverage: float | None = None,
    prevalence: Mapping[str, float] | None = None,
) -> Classifier:
    """The same classifier, asked for another coverage or told the prevalence.

    Args:
        classifier: with an appraiser.
        coverage: above 0 and below 1; None leaves it.
        prevalence: share of each class; None leaves it.

    Raises:
        WorkbenchError: a number is out of range, a class is missing or unknown, or nothing is attached.
    """
    if coverage is None and prevalence is None:
        return classifier
    appraiser = appraiser_of(classifier)
    if appraiser is None:
        raise WorkbenchError("This model was kept without what coverage and prevalence need. Adapt it again.")
    settings = appraiser.settings
    if coverage is not None:
        if not 0 < coverage < 1:
            raise WorkbenchError(f"A coverage lies between 0 and 1, not {coverage}. Ask for 0.9, say.")
        settings = replace(settings, coverage=coverage)
    if prevalence is not None:
        settings = replace(settings, prevalence=_shares(classifier.classes, prevalence))
    return classifier.with_appraiser(replace(appraiser, settings=settings))


def support_arrays(classifier: Classifier) -> tuple[Values, Labels]:
    """Embeddings ``(n, d)`` and labels of a classifier's support."""
    return classifier.support_embeddings.double().numpy(), classifier.support_labels.numpy()


def read_settings(values: object, name: str) -> Settings:
    """Settings from a model's file.

    Raises:
        ModelFileError: if they are not settings.
    """
    try:
        return TypeAdapter(Settings).validate_python(values)
    except ValidationError as error:
        raise ModelFileError(f"{name}: the description of its readings is wrong. Adapt again.") from error


def _shares(classes: Sequence[str], prevalence: Mapping[str, float]) -> tuple[float, ...]:
    for name in prevalence:
        if name not in classes:
            raise WorkbenchError(f"Prevalence: {name!r} is not a class of the model ({', '.join(classes)}).")
    for name in classes:
        if name not in prevalence:
            raise WorkbenchError(f"Prevalence: the share of class {name!r} is missing. Give every class one.")
        if not prevalence[name] > 0:
            raise WorkbenchError(f"Prevalence: the share of class {name!r} must be above 0.")
    total = sum(prevalence.values())
    if abs(total - 1) > 1e-3:
        raise WorkbenchError(f"Prevalence: the shares sum to {total:g}, not to 1.")
    return tuple(prevalence[name] / total for name in classes)
