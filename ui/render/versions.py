"""Versions of a condition: which is in use, going back, and two side by side."""

from __future__ import annotations

from ui.render import figures
from ui.render.markup import esc, plural
from ui.render.words import moment, right_in, span
from workbench.service.kinds import AdaptResult, Share95, VersionInfo


def listed(versions: tuple[VersionInfo, ...], shown: str | None, beside: str | None, may_edit: bool) -> str:
    """All versions, newest first.

    Args:
        versions: newest first.
        shown: identifier of the one whose result is on the screen.
        beside: identifier of the one it is compared with, or None.
        may_edit: whether the actor may change which is in use.
    """
    if not versions:
        return ""
    rows = "".join(_row(one, shown, beside, may_edit, len(versions) > 1) for one in versions)
    return (
        f'<section class="wb-versions" aria-label="Versions"><h3>Versions '
        f"<small>the one in use reads new cases</small></h3><ol>{rows}</ol></section>"
    )


def _row(one: VersionInfo, shown: str | None, beside: str | None, may_edit: bool, several: bool) -> str:
    here = one.id == shown
    tools = ""
    if several and not here:
        pressed = one.id == beside
        tools += (
            f'<button type="button" class="wb-link" data-action="compare" data-value="{esc(one.id)}" '
            f'aria-pressed="{str(pressed).lower()}">{"Stop comparing" if pressed else "Compare"}'
            f'<span class="wb-hidden"> version {one.number}</span></button>'
        )
    if may_edit and not one.active:
        tools += (
            f'<button type="button" class="wb-link" data-action="activate" data-value="{esc(one.id)}">'
            f'Use this one<span class="wb-hidden">: version {one.number}</span></button>'
        )
    mark = '<span class="wb-tag wb-ok">in use</span>' if one.active else ""
    current = ' aria-current="true"' if here else ""
    return (
        f'<li class="wb-version{" wb-chosen" if here else ""}"><button type="button" class="wb-version-open" '
        f'data-action="version" data-value="{esc(one.id)}"{current}><span><b>Version {one.number}</b>{mark}'
        f"</span><span>{right_in(one.result.accuracy)}</span><small>{esc(one.method)} · "
        f'{moment(one.created)} · {esc(one.by)}</small></button><div class="wb-version-tools">{tools}'
        "</div></li>"
    )


def side_by_side(first: VersionInfo, second: VersionInfo) -> str:
    """Two versions beside each other, and what the difference does and does not show."""
    columns = "".join(_column(one) for one in (first, second))
    return (
        '<section class="wb-card wb-compare" aria-label="Comparison"><h3>Version '
        f"{first.number} beside version {second.number}</h3>"
        f'<div class="wb-compare-two">{columns}</div>'
        f'<p class="wb-said">{difference(first, second)}</p></section>'
    )


def _column(one: VersionInfo) -> str:
    value = one.result.accuracy
    learned = ", ".join(
        f"{count} {esc(name)}" for name, count in zip(one.result.classes, one.result.shots, strict=True)
    )
    if value is None or value.n == 0:
        body = '<p class="wb-big-line">Too few to say</p>'
    else:
        body = (
            f'<p class="wb-big-line"><b>{value.successes}</b> of <b>{value.n}</b> '
            f'<span class="wb-range">{span(value.low, value.high)}</span></p>'
            f"{figures.scale(value, 1 / len(one.result.classes), f'Version {one.number}')}"
        )
    return (
        f'<div><h4>Version {one.number}{" · in use" if one.active else ""}</h4>{body}<dl class="wb-facts">'
        f"<div><dt>Patients</dt><dd>{learned}</dd></div><div><dt>Method</dt><dd>{esc(one.method)}</dd></div>"
        "</dl></div>"
    )


def difference(first: VersionInfo, second: VersionInfo) -> str:
    """What two versions' figures say about each other, without claiming more than they can bear."""
    a, b = first.result.accuracy, second.result.accuracy
    if a is None or b is None or not a.n or not b.n:
        return "One of the two has too few patients to say anything about it, so they cannot be compared."
    both = _on_common_scans(first.result, second.result)
    base = f"Version {first.number} is {right_in(a)}, version {second.number} {right_in(b)}."
    return f"{base} {_overlap(first, second, a, b)} {both}".strip()


def _overlap(first: VersionInfo, second: VersionInfo, a: Share95, b: Share95) -> str:
    if a.low <= b.high and b.low <= a.high:
        return (
            "The intervals overlap: <b>this does not show that one of them reads better.</b> Only patients "
            "that neither has learned from would tell; Evaluate does that."
        )
    better = first if a.low > b.high else second
    return (
        f"The intervals do not overlap: version {better.number} reads its own labelled patients better. They "
        "may not be the same patients; Evaluate compares both on a locked cohort."
    )


def _on_common_scans(first: AdaptResult, second: AdaptResult) -> str:
    """Scans that both were tried on: how often only one of the two was right."""
    other = {one.scan_id: one for one in second.judged if one.read_as is not None}
    pairs = [
        (one.read_as == one.true, other[one.scan_id].read_as == other[one.scan_id].true)
        for one in first.judged
        if one.read_as is not None and one.scan_id in other
    ]
    if not pairs:
        return "They were tried on no scan in common."
    only_first = sum(x and not y for x, y in pairs)
    only_second = sum(y and not x for x, y in pairs)
    return (
        f"Of {plural(len(pairs), 'scan')} that both were tried on, {only_first} only the former and "
        f"{only_second} only the latter read right."
    )
