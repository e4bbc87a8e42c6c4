"""A reading as JSON values: the same on the command line and in what the web UI exports."""

from __future__ import annotations

from workbench.learners.reading import CaseReading


def as_plain(reading: CaseReading) -> dict[str, object]:
    """A reading as JSON values; ``set`` and ``familiarity`` are null where nothing surrounds it."""
    around, near = reading.set, reading.familiarity
    return {
        "label": reading.label,
        "probabilities": dict(zip(reading.classes, reading.probabilities, strict=True)),
        "calibrated": reading.calibrated,
        "prevalence": dict(zip(reading.classes, reading.prevalence, strict=True))
        if reading.prevalence is not None
        else None,
        "set": {
            "classes": list(around.classes),
            "asked": around.promise.asked,
            "given": around.promise.given,
            "scope": around.promise.scope.value,
            "kept": around.promise.kept,
            "statement": around.promise.statement,
        }
        if around is not None
        else None,
        "familiarity": {
            "measure": near.measure,
            "distance": near.distance,
            "usual": near.usual if near.usual == near.usual else None,
            "p_value": near.p_value,
            "unlike": near.unlike,
        }
        if near is not None
        else None,
        "none_of_these": reading.none_of_these,
        "findings": [
            {"code": f.code, "severity": f.severity.value, "message": f.message, "fix": f.fix}
            for f in reading.findings
        ],
    }
