"""The report of a cohort evaluation as HTML, JSON or CSV.

A report holds no file names and no patient keys: files are numbered in the order of the cohort. Plots are
inline SVG, so that a report is one file.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from workbench.errors import WorkbenchError
from workbench.evaluation import plots
from workbench.evaluation.cohorts import CohortCase, CohortResult
from workbench.evaluation.performance import by_patient, said, said_in_percent
from workbench.evaluation.plaintext import NOTICE, csv_cell
from workbench.evaluation.statistics import Interval, Proportion

INTERVALS = (
    "95 % intervals: proportions after Clopper and Pearson, balanced accuracy after Zou and Donner, AUROC "
    "after DeLong (two classes) or by bootstrap over patients. A patient with several scans counts once, by "
    "the mean of their probabilities; a scan of an unknown patient counts as a patient of its own."
)
"""How the figures of every report were made."""


@dataclass(frozen=True, slots=True)
class Preface:
    """What a report says before its figures.

    Attributes:
        title: of the report.
        note: anything the reader must know about the cohort, or empty.
    """

    title: str = "Cohort evaluation"
    note: str = ""


def check_ending(path: Path) -> None:
    """Say so before the cohort is read.

    Raises:
        WorkbenchError: if the ending is not one that `write_report` knows.
    """
    if path.suffix not in _WRITERS:
        raise WorkbenchError(f"{path.name}: the ending must be one of {', '.join(_WRITERS)}.")


def write_report(result: CohortResult, path: Path, preface: Preface | None = None) -> None:
    """Write a report in the form its ending names; see `check_ending`."""
    check_ending(path)
    text = _WRITERS[path.suffix](result, preface or Preface())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def as_csv(result: CohortResult, preface: Preface) -> str:
    """One line for each file read."""
    out = io.StringIO()
    writer = csv.writer(out)
    classes = result.record.classes
    around = ("calibrated", "set", "none_of_these")
    writer.writerow(["index", "truth", "reading", *(csv_cell(f"p({name})") for name in classes), *around])
    for case in result.cases:
        best = classes[int(np.argmax(case.probabilities))]
        numbers = [f"{p:.6f}" for p in case.probabilities]
        writer.writerow([case.index, csv_cell(classes[case.truth]), csv_cell(best), *numbers, *_around(case)])
    return out.getvalue()


def as_json(result: CohortResult, preface: Preface) -> str:
    """Figures and readings; a figure about which there is too little to say is null."""
    record, found = result.record, result.performance
    classes = record.classes
    value = {
        "title": preface.title,
        "note": preface.note,
        "notice": NOTICE,
        "model": {
            "method": record.method,
            "choice": record.choice,
            "weights": record.learner,
            "weights_sha256": record.learner_sha256,
            "support_sha256": record.support_sha256,
            "classes": classes,
            "shots": record.shots,
            "doubts": record.doubts,
        },
        "patients": found.patients,
        "scans": found.scans,
        "left_out": len(result.refused),
        "accuracy": _plain(found.accuracy),
        "balanced_accuracy": _plain(found.balanced_accuracy),
        "auroc": _plain(found.auroc),
        "sensitivity": {n: _plain(s) for n, s in zip(classes, found.sensitivities, strict=True)},
        "confusion": found.confusion.tolist(),
        "trust": asdict(result.trust) if result.trust is not None else None,
        "files": [
            {
                "index": case.index,
                "truth": classes[case.truth],
                "label": classes[int(np.argmax(case.probabilities))],
                "probabilities": dict(zip(classes, case.probabilities, strict=True)),
                "calibrated": case.reading.calibrated,
                "set": list(case.reading.set.classes) if case.reading.set is not None else None,
                "none_of_these": case.reading.none_of_these,
            }
            for case in result.cases
        ],
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def as_html(result: CohortResult, preface: Preface) -> str:
    """A page that needs nothing but a browser."""
    environment = Environment(
        loader=PackageLoader("workbench.evaluation"), autoescape=True, undefined=StrictUndefined
    )
    record, found = result.record, result.performance
    page: str = environment.get_template("report.html").render(
        preface=preface,
        notice=NOTICE,
        intervals=INTERVALS,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        record=record,
        shots=list(zip(record.classes, record.shots, strict=True)),
        found=found,
        figures=figures(result),
        plots=[(caption, plots.svg(draw)) for caption, draw in drawings(result)],
        left_out=len(result.refused),
        cases=[
            (
                c.index,
                record.classes[c.truth],
                record.classes[int(np.argmax(c.probabilities))],
                c.probabilities,
                plausible(c),
            )
            for c in result.cases
        ],
        trust=result.trust,
        calibrated=all(c.reading.calibrated for c in result.cases),
    )
    return page


def figures(result: CohortResult) -> list[tuple[str, str]]:
    """Names and values of the figures, each with its interval and n, or why there is none."""
    found = result.performance
    return [
        ("Accuracy", said(found.accuracy)),
        ("Balanced accuracy", said_in_percent(found.balanced_accuracy)),
        ("AUROC", said(found.auroc)),
        *(
            (f"Sensitivity, {name}", said(value))
            for name, value in zip(found.classes, found.sensitivities, strict=True)
        ),
    ]


def drawings(result: CohortResult) -> list[tuple[str, plots.Drawing]]:
    """Captions and plots of a report."""
    found = result.performance
    drawn: list[tuple[str, plots.Drawing]] = [
        ("Readings against labels, by patient", partial(plots.confusion, found.classes, found.confusion)),
        ("Sensitivity with 95 % interval", partial(plots.sensitivities, found.classes, found.sensitivities)),
    ]
    if found.auroc is not None and len(found.classes) == 2:
        cases = by_patient(
            np.array([c.probabilities for c in result.cases]),
            np.array([c.truth for c in result.cases], dtype=np.int64),
            [c.patient for c in result.cases],
        )
        sick = cases.labels == 1
        drawn.append((f"ROC curve, {found.classes[1]}", partial(plots.roc, cases.probabilities[:, 1], sick)))
    return drawn


def _around(case: CohortCase) -> tuple[str, str, str]:
    """Cells on what surrounds a reading; the last two are empty where nothing does."""
    reading = case.reading
    if reading.set is None:
        return str(reading.calibrated).lower(), "", ""
    said = csv_cell("; ".join(reading.set.classes))
    return str(reading.calibrated).lower(), said, str(reading.none_of_these).lower()


def plausible(case: CohortCase) -> str:
    """The set of a case in words; a dash where it has none."""
    found = case.reading.set
    if found is None:
        return "-"
    unlike = " (unlike the labelled scans)" if case.reading.none_of_these and found.classes else ""
    return (", ".join(found.classes) or "none of these") + unlike


def _plain(value: Proportion | Interval | None) -> dict[str, float] | None:
    if value is None or (isinstance(value, Interval) and math.isnan(value.low)):
        return None
    return {"value": value.value, **asdict(value)}


_WRITERS: dict[str, Callable[[CohortResult, Preface], str]] = {
    ".html": as_html,
    ".json": as_json,
    ".csv": as_csv,
}
