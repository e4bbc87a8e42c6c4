"""What can be said of an adapted model as a whole, before it has read anything new."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.adaptation.calibration import Calibration
from workbench.adaptation.forecast import Forecast
from workbench.adaptation.similarity import Evidence, Expectation, Resemblance
from workbench.evaluation.statistics import Proportion
from workbench.learners.appraisal import Promise

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Outlook:
    """Statements about an adapted model.

    Attributes:
        calibration: None where the probabilities are the model's own.
        promise: of the prediction sets.
        resembles: the nearest conditions of meta-training; empty where they are not known.
        evidence: whether such nearness predicts accuracy; None where conditions are not known.
        expectation: accuracy to expect from it; None where nearness was not shown to predict accuracy.
        expected: accuracy on new patients of the same source, its interval widened because readings of
            left-out patients are not independent; None where there are too few to say.
        forecast: of more labelled patients; None where there are too few to say.
    """

    calibration: Calibration | None
    promise: Promise
    resembles: tuple[Resemblance, ...] = ()
    evidence: Evidence | None = None
    expectation: Expectation | None = None
    expected: Proportion | None = None
    forecast: Forecast | None = None

    @property
    def statements(self) -> tuple[str, ...]:
        """All of it, a sentence or two each."""
        return (self.of_calibration, self.promise.statement, *self.of_model)

    @property
    def of_model(self) -> tuple[str, ...]:
        """The condition among known ones, and what more patients would bring."""
        later = "What more patients would bring: too few to say."
        said = f"Expected accuracy on new patients of the same source: {self.expected}."
        now = (said,) if self.expected is not None else ()
        return (*now, *self._of_resemblance(), self.forecast.statement if self.forecast else later)

    @property
    def of_calibration(self) -> str:
        """Whether probabilities are calibrated, and on what."""
        if self.calibration is None:
            return (
                "Probabilities are the model's own, uncalibrated: nothing is known of this method elsewhere."
            )
        return (
            f"Probabilities are calibrated: temperature {self.calibration.temperature:.2f}, "
            f"{self.calibration.expected:.2f} expected from other conditions and refined on "
            f"{self.calibration.patients} left-out patients."
        )

    def _of_resemblance(self) -> tuple[str, ...]:
        if not self.resembles or self.evidence is None:
            return ()
        nearest = ", ".join(f"{r.condition} ({r.distance:.2f})" for r in self.resembles[:_NAMED])
        said = f"Nearest conditions of meta-training: {nearest}."
        if self.expectation is not None:
            found = self.expectation
            return (
                f"{said} At that distance an accuracy of {found.accuracy:.2f} ({found.low:.2f} to "
                f"{found.high:.2f}) "
                "is to be expected.",
            )
        e = self.evidence
        return (
            f"{said} No accuracy is inferred from that: over {e.conditions} conditions of different origin "
            f"nearness did not clearly predict it (rank correlation {e.correlation:+.2f}, 95 % interval "
            f"{e.low:+.2f} to "
            f"{e.high:+.2f}).",
        )
