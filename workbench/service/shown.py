"""A reading and its model as a screen shows them: words, badges and counts, made where they are computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.evaluation.performance import TOO_FEW
from workbench.evaluation.statistics import percent
from workbench.imaging.scan import Finding, Severity
from workbench.learners.reading import CaseReading
from workbench.service.kinds import AdaptResult, Near, Share95, ShownReading

_WORST_FIRST = (Severity.ERROR, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A labelled scan of a version: its row, number and class name."""

    scan_id: str
    number: int
    label: str


def shown_reading(
    reading: CaseReading, result: AdaptResult, labelled: Sequence[Labelled], caution: str
) -> ShownReading:
    """A reading for the screen.

    Args:
        reading: of one scan.
        result: what is known of the model that made it.
        labelled: its labelled scans, in its order.
        caution: why this is no new case, or empty.
    """
    around = reading.set
    findings = [*_strange(reading), *reading.findings]
    return ShownReading(
        label=reading.label,
        classes=reading.classes,
        probabilities=reading.probabilities,
        calibrated=reading.calibrated,
        set=around.classes if around is not None else None,
        promise=around.promise.statement if around is not None else "",
        none_of_these=reading.none_of_these,
        evidence_n=evidence_n(result),
        badges=tuple(sorted(findings, key=lambda finding: _WORST_FIRST.index(finding.severity))),
        near=tuple(
            Near(labelled[one.index].scan_id, labelled[one.index].number, one.label, one.distance)
            for one in reading.neighbours
            if one.index < len(labelled)
        ),
        caution=caution,
    )


def evidence_n(result: AdaptResult) -> str:
    """How many labelled patients a reading rests on, and how those left out were read."""
    parts = " + ".join(str(count) for count in result.shots)
    rests = f"Rests on {sum(result.shots)} labelled patients ({parts})."
    return f"{rests} Left-out patients: {in_words(result.accuracy)}."


def in_words(accuracy: Share95 | None) -> str:
    """``right in 17 of 20 (62-97 %)``, or that there are too few to say."""
    if accuracy is None:
        return f"{TOO_FEW} (every class needs two patients or more)"
    limits = f"{percent(accuracy.low)}-{percent(accuracy.high)} %"
    return f"right in {accuracy.successes} of {accuracy.n} ({limits})"


def _strange(reading: CaseReading) -> list[Finding]:
    """What the reading itself says about being out of place."""
    found = []
    near, around = reading.familiarity, reading.set
    if near is not None and near.unlike:
        found.append(
            Finding(
                "unlike-labelled",
                Severity.WARNING,
                "Unlike every labelled scan: the reading may mean nothing.",
                "Look at it yourself; label scans like it and adapt again.",
            )
        )
    if near is not None and math.isnan(near.usual):
        found.append(
            Finding(
                "too-few-to-compare",
                Severity.INFO,
                "Too few labelled patients to say whether it is like them.",
                "Label more patients and adapt again.",
            )
        )
    if around is not None and around.promise.given > 0 and not around.classes:
        found.append(
            Finding(
                "reads-like-no-class",
                Severity.WARNING,
                "It reads like none of the classes.",
                "Look at it yourself; the condition may lack a class.",
            )
        )
    return found
