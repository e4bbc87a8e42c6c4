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
from pathlib import Path
from typing import TypeVar

import matplotlib
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from workbench.errors import WorkbenchError
from workbench.evaluation.cohorts import CohortCase, CohortResult
from workbench.evaluation.performance import Cases, Performance, by_patient, said, said_in_percent
from workbench.evaluation.plaintext import NOTICE, csv_cell
from workbench.evaluation.statistics import Interval, Proportion

T = TypeVar("T")


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
    cases = by_patient(
        np.array([c.probabilities for c in result.cases]),
        np.array([c.truth for c in result.cases], dtype=np.int64),
        [c.patient for c in result.cases],
    )
    figures = [
        ("Accuracy", said(found.accuracy)),
        ("Balanced accuracy", said_in_percent(found.balanced_accuracy)),
    ]
    figures += [("AUROC", said(found.auroc))]
    figures += [
        (f"Sensitivity, {name}", said(value))
        for name, value in zip(found.classes, found.sensitivities, strict=True)
    ]
    plots = [("Readings against labels, by patient", _svg(_confusion, found))]
    plots += [("Sensitivity with 95 % interval", _svg(_sensitivities, found))]
    if found.auroc is not None and len(found.classes) == 2:
        plots += [(f"ROC curve, {found.classes[1]}", _svg(_roc, cases))]
    page: str = environment.get_template("report.html").render(
        preface=preface,
        notice=NOTICE,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        record=record,
        shots=list(zip(record.classes, record.shots, strict=True)),
        found=found,
        figures=figures,
        plots=plots,
        left_out=len(result.refused),
        cases=[
            (
                c.index,
                record.classes[c.truth],
                record.classes[int(np.argmax(c.probabilities))],
                c.probabilities,
                _set(c),
            )
            for c in result.cases
        ],
        trust=result.trust,
        calibrated=all(c.reading.calibrated for c in result.cases),
    )
    return page


def _around(case: CohortCase) -> tuple[str, str, str]:
    """Cells on what surrounds a reading; the last two are empty where nothing does."""
    reading = case.reading
    if reading.set is None:
        return str(reading.calibrated).lower(), "", ""
    said = csv_cell("; ".join(reading.set.classes))
    return str(reading.calibrated).lower(), said, str(reading.none_of_these).lower()


def _set(case: CohortCase) -> str:
    found = case.reading.set
    if found is None:
        return "-"
    unlike = " (unlike the labelled scans)" if case.reading.none_of_these and found.classes else ""
    return (", ".join(found.classes) or "none of these") + unlike


def _plain(value: Proportion | Interval | None) -> dict[str, float] | None:
    if value is None or (isinstance(value, Interval) and math.isnan(value.low)):
        return None
    return {"value": value.value, **asdict(value)}


def _svg(draw: Callable[[Axes, T], None], what: T) -> Markup:
    """A drawing as inline SVG: real text, no metadata, the same bytes for the same figures."""
    with matplotlib.rc_context({"svg.hashsalt": "workbench", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(4.6, 3.6), layout="constrained")
        draw(figure.subplots(), what)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = out.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 - matplotlib escapes the class names


def _confusion(axes: Axes, found: Performance) -> None:
    # Rectangles, not a picture: the page's content policy allows nothing that is loaded, not even inline.
    axes.pcolormesh(found.confusion, cmap="Blues", vmin=0, edgecolors="white", linewidth=1)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    ticks = [k + 0.5 for k in range(len(found.classes))]
    axes.set_xticks(ticks, _short(found.classes), rotation=30, ha="right")
    axes.set_yticks(ticks, _short(found.classes))
    axes.set_xlabel("reading")
    axes.set_ylabel("label")
    dark = found.confusion.max() / 2
    for (row, column), count in np.ndenumerate(found.confusion):
        axes.text(
            column + 0.5,
            row + 0.5,
            str(count),
            ha="center",
            va="center",
            color="white" if count > dark else "black",
        )


def _sensitivities(axes: Axes, found: Performance) -> None:
    for row, value in enumerate(found.sensitivities):
        if value is None:
            axes.text(0.02, row, "too few to say", va="center")
            continue
        axes.plot([value.low, value.high], [row, row], color="tab:blue", linewidth=2)
        axes.plot([value.value], [row], "o", color="tab:blue")
    axes.set_yticks(range(len(found.classes)), _short(found.classes))
    axes.set_ylim(len(found.classes) - 0.5, -0.5)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("sensitivity")


def _roc(axes: Axes, cases: Cases) -> None:
    false, true, _ = roc_curve(cases.labels == 1, cases.probabilities[:, 1])
    axes.plot(false, true, color="tab:blue", drawstyle="steps-post")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("sensitivity")
    axes.set_aspect("equal")


def _short(names: tuple[str, ...]) -> list[str]:
    # A dollar sign would start a formula in matplotlib's own markup.
    return [(name if len(name) <= 24 else f"{name[:23]}…").replace("$", r"\$") for name in names]


_WRITERS: dict[str, Callable[[CohortResult, Preface], str]] = {
    ".html": as_html,
    ".json": as_json,
    ".csv": as_csv,
}
