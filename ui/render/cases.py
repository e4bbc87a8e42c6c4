"""The worklist of cases: those without the reader's verdict first."""

from __future__ import annotations

from ui.render.markup import esc, icon, plural
from ui.render.thumbs import preview
from ui.render.words import TOO_FEW
from workbench.evaluation.statistics import percent
from workbench.imaging.scan import Severity
from workbench.service.kinds import CaseInfo, ConditionInfo

VERDICTS = {"agree": "you agree", "disagree": "you disagree", "unsure": "you are unsure"}


def in_order(cases: tuple[CaseInfo, ...]) -> tuple[CaseInfo, ...]:
    """Those without a verdict first, each group by number."""
    return tuple(sorted(cases, key=lambda case: (bool(case.verdict), case.scan.number)))


def worklist(cases: tuple[CaseInfo, ...], selected: str | None, condition: ConditionInfo) -> str:
    """All cases, as buttons; the selected one is pressed.

    Args:
        cases: any order.
        selected: identifier of the scan on the screen, or None.
        condition: whose cases they are.
    """
    if not cases:
        return (
            '<p class="wb-aside wb-cases-none">No cases yet. Drop scans above: each is read on its own by '
            "version "
            f"{condition.version}, and is listed here.</p>"
        )
    groups = (
        ("To read", [case for case in in_order(cases) if not case.verdict]),
        ("Read", [case for case in in_order(cases) if case.verdict]),
    )
    lists = "".join(
        f'<h3>{title} <small>{len(held)}</small></h3><ol class="wb-cases" aria-label="{title}">'
        f"{''.join(_row(case, selected) for case in held)}</ol>"
        for title, held in groups
        if held
    )
    left = len(groups[0][1])
    said = (
        f"{plural(len(cases), 'case')}, {left} to read" if left else f"All {plural(len(cases), 'case')} read"
    )
    told = f'<p class="wb-hidden" role="status">{said}</p>'
    return f'<nav class="wb-caselist" aria-label="Cases">{told}{lists}</nav>'


def switch(on: bool) -> str:
    """Whether the reader gives an own reading before the model's is shown."""
    ticked = " checked" if on else ""
    return (
        f'<form class="wb-own-first"><label class="wb-tick"><input type="checkbox" name="own" value="yes" '
        f'data-change="own-first"{ticked}><span>My own reading first<small>The model’s reading stays hidden '
        "until I "
        "have given mine</small></span></label></form>"
    )


def taken_away(condition: ConditionInfo) -> str:
    """Tables of all readings."""
    links = "".join(
        f'<a class="wb-button wb-quiet" href="/files/readings/{esc(condition.id)}.{form}" '
        f"download>{form.upper()}"
        '<span class="wb-hidden"> of the readings</span></a>'
        for form in ("csv", "json")
    )
    return f'<div class="wb-takeaway"><span>All readings</span>{links}</div>'


def _row(case: CaseInfo, selected: str | None) -> str:
    here = case.scan.id == selected
    current = ' aria-current="true"' if here else ""
    return (
        f'<li><button type="button" class="wb-caserow{" wb-chosen" if here else ""}" data-action="case" '
        f'data-value="{esc(case.scan.id)}"{current}><img src="{preview(case.scan.id)}" alt="" width="48" '
        'height="48" loading="lazy" decoding="async"><span class="wb-caserow-text"><b>Case '
        f"{case.scan.number}"
        f"</b>{_line(case)}</span>{_badge(case)}</button></li>"
    )


def _line(case: CaseInfo) -> str:
    if case.refused:
        return "<span>not read</span>"
    if case.concealed:
        return "<span>your reading first</span>"
    reading = case.reading
    if reading is None:
        return "<span>waiting to be read</span>"
    if reading.none_of_these:
        return "<span>none of these</span>"
    top = reading.classes.index(reading.label)
    share = percent(max(reading.probabilities)) if reading.probabilities else TOO_FEW
    told = f'<span class="wb-hidden">, {VERDICTS[case.verdict]}</span>' if case.verdict in VERDICTS else ""
    return f'<span><i class="wb-swatch wb-class-{top}"></i>{esc(reading.label)} {share} %{told}</span>'


def _badge(case: CaseInfo) -> str:
    """The worst sign of a case: refused, doubtful, agreed, or simply new."""
    if case.refused:
        return icon("refused")
    reading = case.reading
    doubtful = reading is not None and (
        reading.none_of_these
        or bool(reading.caution)
        or any(found.severity is not Severity.INFO for found in reading.badges)
    )
    if doubtful:
        return icon("warning")
    if case.verdict:
        return icon("ok")
    return '<span class="wb-new" role="img" aria-label="To read"></span>'
