"""What a result says, before it takes the form of DICOM or FHIR.

`statement_of` is the one place that turns a reading and a model's record into words and numbers for others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from workbench.learners.appraisal import Familiarity
from workbench.learners.files import ClassifierRecord
from workbench.learners.reading import CaseReading

NOTICE = "For research use. Not for diagnostic use. Not verified by a physician."
_PARTIAL_FINDINGS = frozenset({"middle-slice", "first-volume", "first-page", "slice-gap"})
"""Findings after which the model has not seen all of what was read."""
_NO_SET = "No set of plausible classes is promised: no labelled patient was left out to test it."


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What made the reading.

    Attributes:
        method: name of the learner.
        version: of the workbench.
        weights: title of the weights that were adapted.
        weights_sha256, model_sha256, support_sha256: digests of the weights file, of the adapted model's file
            and of the labelled scans.
        shots: labelled patients of each class, as ``(class, number)``.
        choice: how the method was chosen, or empty.
    """

    method: str
    version: str
    weights: str
    weights_sha256: str
    model_sha256: str
    support_sha256: str
    shots: tuple[tuple[str, int], ...]
    choice: str = ""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Everything that identifies it, one ``name = value`` each."""
        taught = ", ".join(f"{name} {number}" for name, number in self.shots)
        given = (
            ("method", self.method),
            ("weights", self.weights or "untitled"),
            ("weights SHA-256", self.weights_sha256),
            ("model SHA-256", self.model_sha256),
            ("support set SHA-256", self.support_sha256),
            ("labelled patients", taught),
            ("choice of method", self.choice),
        )
        return tuple(f"{name} = {value}" for name, value in given if value)


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Probability of one class.

    Attributes:
        name: of the class.
        probability: 0 to 1.
        low, high: its interval where the reading has one.
    """

    name: str
    probability: float
    low: float | None = None
    high: float | None = None

    @property
    def words(self) -> str:
        """``benign 0.812``, with the interval where there is one."""
        interval = (
            f" ({self.low:.3f} to {self.high:.3f})" if self.low is not None and self.high is not None else ""
        )
        return f"{self.name} {self.probability:.3f}{interval}"


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said about one scan.

    Attributes:
        likelihoods: one for each class.
        label: the most probable class.
        calibrated: whether the probabilities are calibrated.
        plausible: classes of the prediction set, None where the reading has none or promises none.
        promise: how often such sets hold the truth, or empty.
        unlike: whether the scan resembles no labelled scan; None where the reading does not say.
        remarks: what else to know, in words: a stated prevalence, that no set is promised, findings of the
            scan and its way to the model.
        partial: whether the model saw only a part of the images.
        algorithm: see there.
    """

    likelihoods: tuple[Likelihood, ...]
    label: str
    algorithm: Algorithm
    calibrated: bool = False
    plausible: tuple[str, ...] | None = None
    promise: str = ""
    unlike: bool | None = None
    remarks: tuple[str, ...] = ()
    partial: bool = False

    @property
    def sentences(self) -> tuple[str, ...]:
        """The statement in plain words, the notice first."""
        kind = (
            "Calibrated probabilities" if self.calibrated else "The model's own, uncalibrated probabilities"
        )
        said = [NOTICE, f"{kind}: {'; '.join(one.words for one in self.likelihoods)}."]
        if self.plausible is not None:
            said.append(
                f"Plausible classes: {', '.join(self.plausible) or 'none of these'}. {self.promise}".strip()
            )
        if self.unlike:
            said.append("The scan is unlike the labelled scans; the probabilities may mean nothing.")
        if self.partial:
            said.append("The model saw only a part of the referenced images.")
        return (*said, *self.remarks)


def statement_of(reading: CaseReading, record: ClassifierRecord, model_sha256: str) -> Statement:
    """The statement of a reading.

    Args:
        reading: of one scan.
        record: of the model that read it.
        model_sha256: of the model's file.
    """
    algorithm = Algorithm(
        method=record.method,
        version=_version(),
        weights=record.learner,
        weights_sha256=record.learner_sha256,
        model_sha256=model_sha256,
        support_sha256=record.support_sha256,
        shots=tuple(zip(record.classes, record.shots, strict=True)),
        choice=record.choice,
    )
    promised = reading.set if reading.set is not None and reading.set.promise.given > 0 else None
    return Statement(
        likelihoods=tuple(map(Likelihood, reading.classes, reading.probabilities)),
        label=reading.label,
        algorithm=algorithm,
        calibrated=reading.calibrated,
        plausible=promised.classes if promised is not None else None,
        promise=promised.promise.statement if promised is not None else "",
        unlike=_unlike(reading.familiarity),
        remarks=(
            *_prevalence(reading),
            *((_NO_SET,) if reading.set is not None and promised is None else ()),
            *dict.fromkeys(finding.message for finding in reading.findings),
        ),
        partial=any(finding.code in _PARTIAL_FINDINGS for finding in reading.findings),
    )


def _unlike(familiarity: Familiarity | None) -> bool | None:
    """None also where too few labelled scans tell what is usual: that is not a No."""
    if familiarity is None or math.isnan(familiarity.usual):
        return None
    return familiarity.unlike


def _prevalence(reading: CaseReading) -> tuple[str, ...]:
    """That the probabilities follow a stated prevalence, where they do."""
    if reading.prevalence is None:
        return ()
    shares = ", ".join(
        f"{name} {share:.3g}" for name, share in zip(reading.classes, reading.prevalence, strict=True)
    )
    return (f"The probabilities follow a stated prevalence: {shares}.",)


def _version() -> str:
    try:
        return version("fewshot-workbench")
    except PackageNotFoundError:
        return "checkout"
