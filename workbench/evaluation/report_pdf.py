"""The report of a cohort evaluation as PDF; see `workbench.evaluation.report` for the other forms."""

from __future__ import annotations

from datetime import UTC, datetime

from workbench.evaluation.cohorts import CohortResult
from workbench.evaluation.pdf import Pages
from workbench.evaluation.report import INTERVALS, Preface, drawings, figures, plausible


def as_pdf(result: CohortResult, preface: Preface) -> bytes:
    """The same content as the page, on numbered sheets with the notice on each."""
    record, found = result.record, result.performance
    pages = Pages(preface.title, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
    if preface.note:
        pages.text(preface.note)
    pages.heading("Figures, by patient")
    pages.facts(figures(result))
    pages.text(
        f"{found.patients} patients, {found.scans} scans read, {len(result.refused)} files left out. "
        f"{INTERVALS}",
        soft=True,
    )
    pages.pictures(drawings(result))
    if result.trust is not None:
        pages.heading("How far the readings could be trusted")
        pages.points(result.trust.statements)
        pages.text(result.trust.promise.statement, soft=True)
    pages.heading("Model")
    taught = ", ".join(f"{name}: {shots}" for name, shots in zip(record.classes, record.shots, strict=True))
    pages.facts(
        [
            ("Method", f"{record.method}. {record.choice}".strip()),
            ("Weights", f"{record.learner or 'untitled'} (SHA-256 {record.learner_sha256[:16]})"),
            ("Adapted on", f"{taught} patients (support SHA-256 {record.support_sha256[:16]})"),
            *((f"Doubt {number}", doubt) for number, doubt in enumerate(record.doubts, start=1)),
            (
                "Held out",
                "No scan and no patient of the support is in the cohort, as far as the keys of this "
                "installation can tell.",
            ),
        ]
    )
    pages.heading("Readings")
    classes = record.classes
    rows = [
        [
            str(case.index),
            classes[case.truth],
            case.reading.label,
            *(f"{p:.3f}" for p in case.probabilities),
            plausible(case),
        ]
        for case in result.cases
    ]
    missed = [n for n, case in enumerate(result.cases) if classes[case.truth] != case.reading.label]
    pages.table(["File", "Label", "Reading", *(f"p({name})" for name in classes), "Set"], rows, missed)
    pages.text(
        "Files are numbered in the order of the cohort; a shaded row was read differently from its label.",
        soft=True,
    )
    return pages.pdf()
