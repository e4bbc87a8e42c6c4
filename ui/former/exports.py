"""Readings as CSV and JSON, with case numbers and keyed hashes in place of file names.

File names may identify patients: they are on the screen beside the numbers, and in an export only where the
user asked for them.
"""

from __future__ import annotations

import csv
import io
import json

from ui.former.render.chrome import RESEARCH_USE
from ui.former.render.estimate import in_words
from ui.former.session import Case, Session
from workbench.adaptation.plain import as_plain

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def readings_csv(session: Session, names: bool = False) -> str:
    """One row per scan: number, keyed hashes, label, a probability per class, its set, findings; refusals
    with their error.

    Args:
        session: whose readings.
        names: whether to name the files as well.
    """
    classes = session.adapted.model.record.classes if session.adapted else session.classes
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\r\n")
    columns = [f"p({name})" for name in classes]
    named = ["file"] if names else []
    around_it = ("calibrated", "set", "none_of_these")
    headings = ["case", *named, "scan", "patient", "label", *columns, *around_it]
    table.writerow(map(cell, [*headings, "findings", "error", "notice"]))
    for number, case in enumerate(session.cases, start=1):
        shares = [f"{share:.6f}" for share in case.reading.probabilities]
        who = [str(number), *([case.held.scan.provenance.source] if names else [])]
        who += [case.held.identity, case.held.scan.patient or ""]
        around = case.reading.set
        said = [
            str(case.reading.calibrated).lower(),
            "; ".join(around.classes) if around else "",
            str(case.reading.none_of_these).lower() if around else "",
        ]
        row = [*who, case.reading.label, *shares, *said, "; ".join(_codes(case)), ""]
        table.writerow(map(cell, [*row, RESEARCH_USE]))
    for number, refused in enumerate(session.refused_cases, start=1):
        blank = [""] * (len(classes) + len(around_it) + 4)
        who = [f"refused {number}", *([refused.source] if names else [])]
        table.writerow(map(cell, [*who, *blank, f"{refused.reason} {refused.fix}", RESEARCH_USE]))
    return buffer.getvalue()


def readings_json(session: Session, names: bool = False) -> str:
    """The same with the condition and its estimate; `readings` as ``workbench predict`` writes them."""
    adapted = session.adapted
    readings: list[object] = [
        {
            "case": number,
            **({"file": case.held.scan.provenance.source} if names else {}),
            "scan": case.held.identity,
            "patient": case.held.scan.patient or "",
            **as_plain(case.reading),
            "findings": _findings(case),
        }
        for number, case in enumerate(session.cases, start=1)
    ]
    readings += [
        {"refused": k, **({"file": r.source} if names else {}), "error": f"{r.reason} {r.fix}"}
        for k, r in enumerate(session.refused_cases, start=1)
    ]
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
