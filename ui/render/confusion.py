"""The confusion matrix; each cell opens the scans it counts."""

from __future__ import annotations

from collections.abc import Mapping

from ui.render.markup import esc, plural
from ui.render.thumbs import thumb
from workbench.evaluation.statistics import percent
from workbench.service.kinds import AdaptResult, Judged, ScanInfo


def matrix(result: AdaptResult, scans: Mapping[str, ScanInfo]) -> str:
    """Patients of the row's class read as the column's, leave-one-patient-out.

    A cell is a button of a popover, which the browser itself opens, closes with Escape and keeps in the
    order of focus; so nothing on the screen moves.
    """
    if not any(map(any, result.confusion)):
        return '<p class="wb-aside">No patient could be tried yet.</p>'
    heads = "".join(
        f'<th scope="col"><span><i class="wb-swatch wb-class-{i}"></i>{esc(name)}</span></th>'
        for i, name in enumerate(result.classes)
    )
    most = max(1, max(map(max, result.confusion)))
    rows, opened = [], []
    for i, true in enumerate(result.classes):
        cells = []
        for j, read in enumerate(result.classes):
            count = result.confusion[i][j]
            held = [one for one in result.judged if one.true == true and one.read_as == read]
            cells.append(_cell(i, j, true, read, count, count / most, bool(held)))
            if held:
                opened.append(_popover(i, j, true, read, count, held, scans))
        rows.append(
            f'<tr><th scope="row"><span><i class="wb-swatch wb-class-{i}"></i>{esc(true)}</span></th>'
            f"{''.join(cells)}</tr>"
        )
    return (
        '<table class="wb-matrix"><caption class="wb-hidden">Confusion matrix in patients</caption><thead>'
        '<tr><td></td><th scope="colgroup" class="wb-over" '
        f'colspan="{len(result.classes)}">read as</th></tr><tr><td class="wb-corner-name">truly</td>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>{''.join(opened)}"
    )


def _cell(i: int, j: int, true: str, read: str, count: int, share: float, opens: bool) -> str:
    kind = "right" if i == j else "wrong" if count else "none"
    told = f"{plural(count, 'patient')} of {true} read as {read}"
    style = f'style="--share:{share:.2f}"'
    sign = "" if i == j or not count else f'<small aria-hidden="true">{_error(i, j)}</small>'
    if not opens:
        return f'<td class="wb-cell wb-cell-{kind}" {style}><span title="{esc(told)}">{count}</span></td>'
    return (
        f'<td class="wb-cell wb-cell-{kind}" {style}><button type="button" popovertarget="wb-cell-{i}-{j}" '
        f'aria-label="{esc(told)}. Open the scans" title="{esc(told)}">{count}{sign}</button></td>'
    )


def _error(i: int, j: int) -> str:
    """What a wrong reading is called; the first class is the finding looked for."""
    return "miss" if i == 0 else "false alarm" if j == 0 else "mistaken"


def _popover(
    i: int,
    j: int,
    true: str,
    read: str,
    count: int,
    held: list[Judged],
    scans: Mapping[str, ScanInfo],
) -> str:
    cards = "".join(
        thumb(
            scans[one.scan_id],
            "look",
            caption="" if one.probability is None else f"{percent(one.probability)} % {read}",
            colour=i,
            spoken="Look at it",
        )
        for one in held
        if one.scan_id in scans
    )
    title = f"{true} read as {read}" if i != j else f"{true}, read right"
    return (
        f'<div popover id="wb-cell-{i}-{j}" class="wb-opened" role="dialog" aria-label="{esc(title)}">'
        f'<div class="wb-opened-head"><h3>{esc(title)}</h3><span>{plural(count, "patient")}, '
        f"{plural(len(held), 'scan')}</span>"
        f'<button type="button" class="wb-button wb-quiet" popovertarget="wb-cell-{i}-{j}" '
        f'popovertargetaction="hide">Close</button></div><div class="wb-minis">{cards}</div>'
        '<p class="wb-aside">Each was read by a model that had not seen that patient. A press opens the '
        "scan.</p></div>"
    )
