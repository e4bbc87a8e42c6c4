"""Readings as CSV and JSON. File names are the user's own; nothing else of the scans leaves."""

from __future__ import annotations

import csv
import io
import json

from ui.render.chrome import RESEARCH_USE
from ui.render.estimate import in_words
from ui.session import Case, Session
from workbench.adaptation.plain import as_plain

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def readings_csv(session: Session) -> str:
    """One row per scan: file, label, a probability per class, its set, findings; refused files too."""
    classes = session.adapted.model.record.classes if session.adapted else session.classes
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\r\n")
    columns = [f"p({name})" for name in classes]
    around_it = ("calibrated", "set", "none_of_these")
    table.writerow(map(cell, ["file", "label", *columns, *around_it, "findings", "error", "notice"]))
    for case in session.cases:
        shares = [f"{share:.6f}" for share in case.reading.probabilities]
        around = case.reading.set
        said = [
            str(case.reading.calibrated).lower(),
            "; ".join(around.classes) if around else "",
            str(case.reading.none_of_these).lower() if around else "",
        ]
        codes = "; ".join(_codes(case))
        row = [case.held.scan.provenance.source, case.reading.label, *shares, *said, codes, ""]
        table.writerow(map(cell, [*row, RESEARCH_USE]))
    for refused in session.refused_cases:
        blank = [""] * (len(classes) + 5)
        error = f"{refused.reason} {refused.fix}"
        table.writerow(map(cell, [refused.source, *blank, error, RESEARCH_USE]))
    return buffer.getvalue()


def readings_json(session: Session) -> str:
    """The same with the condition and its estimate; `readings` as ``workbench predict`` writes them."""
    adapted = session.adapted
    readings: list[object] = [
        {
            "file": case.held.scan.provenance.source,
            **as_plain(case.reading),
            "findings": _findings(case),
        }
        for case in session.cases
    ]
    readings += [{"file": r.source, "error": f"{r.reason} {r.fix}"} for r in session.refused_cases]
    return json.dumps(
        {
            "notice": RESEARCH_USE,
            "condition": session.title,
            "classes": list(session.classes),
            "method": adapted.model.record.method if adapted else "",
            "choice": adapted.model.record.choice if adapted else "",
            "estimate": in_words(adapted.estimate.performance) if adapted else "",
            "outlook": list(adapted.model.outlook.statements) if adapted and adapted.model.outlook else [],
            "readings": readings,
        },
        ensure_ascii=False,
        indent=2,
    )


def cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _codes(case: Case) -> list[str]:
    codes = [finding.code for finding in case.reading.findings]
    return ["not-a-new-case", *codes] if case.caution else codes


def _findings(case: Case) -> list[dict[str, str]]:
    said = [
        {"code": f.code, "severity": f.severity.value, "message": f.message, "fix": f.fix}
        for f in case.reading.findings
    ]
    caution = {"code": "not-a-new-case", "severity": "warning", "message": case.caution, "fix": ""}
    return [caution, *said] if case.caution else said
