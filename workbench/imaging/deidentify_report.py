"""The before/after report of a de-identification, as HTML and JSON.

It names elements, what became of them and how often; it holds no value of any element and no file name, so
that it can leave with the copies. Called by ``workbench deidentify``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from workbench.imaging.deidentify import Deidentified
from workbench.imaging.deidentify_dicom import Action

PROFILE = (
    "Elements by allow-list, after the Basic Application Level Confidentiality Profile (PS3.15 annex E)."
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done, in a few words.

    Attributes:
        files, written, refused: numbers of files.
        profile: after which rules.
        options: of the profile that were used.
        reviewed: whether somebody has looked at the pixels.
    """

    files: int
    written: int
    refused: int
    profile: str
    options: tuple[str, ...]
    reviewed: bool


def summary(result: Deidentified) -> Summary:
    """The report's head."""
    dates = "Dates were moved by a secret number of days for each patient; times of day stayed."
    options = [
        "Patient numbers and UIDs were replaced by keyed ones, the same for the same.",
        "Sex and decade of age were kept (Retain Patient Characteristics).",
        dates if result.wishes.shift_dates else "Dates and times were dropped.",
        "A person has looked at the pixels (Clean Pixel Data)."
        if result.wishes.reviewed
        else "Nobody has confirmed yet that the pixels identify nobody.",
    ]
    count = len(result.written) + len(result.refused)
    return Summary(
        count, len(result.written), len(result.refused), PROFILE, tuple(options), result.wishes.reviewed
    )


def as_json(result: Deidentified, notice: str) -> str:
    """The report for programs."""
    value = {
        "notice": notice,
        "summary": asdict(summary(result)),
        "look": [{"why": why, "cases": cases} for why, cases in _looks(result)],
        "elements": [
            {"element": name, "action": action.value, "count": count}
            for (name, action), count in sorted(result.actions.items())
        ],
        "files": [
            {
                "case": one.case,
                "copy": one.name,
                "form": one.form,
                "elements_before": one.before,
                "elements_after": one.after,
                "look": [look.value for look in one.looks],
            }
            for one in result.written
        ],
        "not_copied": [{"case": case, "reason": error.reason} for case, error in result.refused],
    }
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def as_html(result: Deidentified, notice: str) -> str:
    """A page that needs nothing but a browser."""
    environment = Environment(
        loader=PackageLoader("workbench.imaging"), autoescape=True, undefined=StrictUndefined
    )
    names = sorted({name for name, _ in result.actions})
    page: str = environment.get_template("deidentification.html").render(
        notice=notice,
        summary=summary(result),
        looks=_looks(result),
        actions=[action.value for action in Action],
        elements=[(name, [result.actions[name, action] for action in Action]) for name in names],
        written=result.written,
        refused=[(case, error.reason) for case, error in result.refused],
    )
    return page


def _looks(result: Deidentified) -> list[tuple[str, list[int]]]:
    cases: defaultdict[str, list[int]] = defaultdict(list)
    for one in result.written:
        for look in one.looks:
            cases[look.value].append(one.case)
    return sorted(cases.items())
