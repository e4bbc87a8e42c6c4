"""The label screen: the keys, the tray, what is said of a scan, how readers agree, what to label next."""

from __future__ import annotations

from collections.abc import Sequence

from ui.render.markup import button, esc, heading, icon, notice, plural, progress, swatch, symbol
from ui.render.scans import card_findings, patient_of, size_of
from workbench.service.kinds import Agreement, ConditionInfo, JobInfo, Level, Light, ScanInfo, SuggestedScans

FILTERS = ("all", "todo", "unsure", "disputed", "doubtful")
_NAMES = {
    "all": "All",
    "todo": "To label",
    "unsure": "Unsure",
    "disputed": "Disputed",
    "doubtful": "Doubtful",
}
_SIGNS = {Light.WARNING: "warning", Light.ERROR: "refused"}
_VIEWER = (
    '<wb-viewer empty="Choose a scan on the left. Number keys label it."></wb-viewer>'
    '<div id="wb-label-about" aria-live="off"></div>'
)


def head(condition: ConditionInfo, scans: Sequence[ScanInfo]) -> str:
    """Title, how far the reader is, and the way on."""
    done = sum(_has(scan) for scan in scans)
    missing = condition.missing
    tools = button("Adapt", "on", kind="main", disabled=bool(missing))
    said = f"You have looked at <b>{done}</b> of {plural(len(scans), 'scan')}. "
    said += esc(missing or condition.said)
    return heading("Label", said, tools)


def keys(condition: ConditionInfo, scans: Sequence[ScanInfo], shown: str) -> str:
    """The classes with their keys, and which scans the tray lists."""
    classes = "".join(
        f'<button type="button" class="wb-key" data-tray="label" data-value="{i}" title="Key {i + 1}">'
        f"<kbd>{i + 1}</kbd>{swatch(i)}<span>{esc(one.name)}</span>"
        f"<small>{plural(one.patients, 'patient')}</small></button>"
        for i, one in enumerate(condition.classes)
    )
    others = (
        '<button type="button" class="wb-key" data-tray="label" data-value="unsure"><kbd>U</kbd>'
        "<span>Unsure</span></button>"
        '<button type="button" class="wb-key" data-tray="undo"><kbd>Z</kbd><span>Undo</span></button>'
        '<button type="button" class="wb-key" data-tray="keep" aria-pressed="false" '
        'title="Keep this scan beside the next ones"><kbd>C</kbd><span>Compare</span></button>'
    )
    counts = {name: len(listed(scans, name)) for name in FILTERS}
    segments = "".join(
        f'<button type="button" data-action="show" data-value="{name}" '
        f'aria-pressed="{str(name == shown).lower()}">{_NAMES[name]}<span>{counts[name]}</span></button>'
        for name in FILTERS
        if counts[name] or name in ("all", "todo", shown)
    )
    return (
        f'<div class="wb-keys"><div class="wb-line" role="group" aria-label="Label the chosen scan">{classes}'
        f'{others}</div><div class="wb-segments" role="group" aria-label="Show">{segments}</div></div>'
    )


def listed(scans: Sequence[ScanInfo], shown: str) -> list[ScanInfo]:
    """The scans that a filter of `FILTERS` lists."""
    match shown:
        case "todo":
            return [scan for scan in scans if not _has(scan)]
        case "unsure":
            return [scan for scan in scans if scan.unsure]
        case "disputed":
            return [scan for scan in scans if scan.disputed]
        case "doubtful":
            return [scan for scan in scans if scan.doubt or scan.twin]
    return list(scans)


def tray(condition: ConditionInfo, scans: Sequence[ScanInfo], shown: str, undone: str) -> str:
    """Thumbnails; ``tray.js`` moves among them and labels.

    Args:
        condition: whose classes the keys give.
        scans: all of them.
        shown: which are listed, see `listed`.
        undone: scan whose label was just taken back and how often one was, ``id:count``, or empty.
    """
    chosen = listed(scans, shown)
    if not scans:
        return (
            f'<div class="wb-empty">{symbol("scans")}<h3>No scans yet</h3>'
            f"<p>Drop some on the screen before; they appear here to be labelled.</p>"
            f"{button('Add scans', 'back', kind='quiet')}</div>"
        )
    if not chosen:
        said = "Every scan has your label." if shown == "todo" else "There are none of these."
        return (
            f'<div class="wb-empty">{symbol("label")}<h3>{said}</h3>'
            f"{button('Show all', 'show', 'all', kind='quiet')}</div>"
        )
    order = {one.id: i for i, one in enumerate(condition.classes)}
    classes = "".join(
        f' data-class{i}="{one.id}" data-name{i}="{esc(one.name)}"' for i, one in enumerate(condition.classes)
    )
    cards = "".join(_card(scan, order, condition) for scan in chosen)
    return (
        f'<div class="wb-tray" role="listbox" aria-label="Scans to label"{classes} '
        f'data-undone="{esc(undone)}">'
        f"{cards}</div>"
    )


def viewer() -> str:
    """The large view; which scan it shows is the tray's business, so that this never changes."""
    return _VIEWER


def side(
    condition: ConditionInfo,
    scans: Sequence[ScanInfo],
    agreement: Agreement | None,
    suggested: SuggestedScans,
    job: JobInfo | None,
    hints: str,
) -> str:
    """Balance, agreement and what readers dispute, what to label next.

    Args:
        condition: whose.
        scans: all of its scans.
        agreement: None where one reader has labelled only.
        suggested: unlabelled scans that would help most.
        job: that looks for suggestions now, or None.
        hints: HTML that offers the folders' labels, or empty.
    """
    return (
        f"{hints}{_balance(condition)}{_agreement(condition, scans, agreement)}"
        f"{_next(condition, scans, suggested, job)}"
    )


def _card(scan: ScanInfo, order: dict[str, int], condition: ConditionInfo) -> str:
    label = "unsure" if scan.unsure else str(order[scan.label]) if scan.label in order else ""
    name = (
        "Unsure" if scan.unsure else condition.classes[order[scan.label]].name if scan.label in order else ""
    )
    sign = ""
    if scan.disputed:
        sign = (
            '<span class="wb-flag wb-refused" title="Readers disagree">≠<span class="wb-hidden">Disputed'
            "</span></span>"
        )
    elif scan.doubt or scan.twin:
        sign = (
            '<span class="wb-flag wb-warning" title="Doubtful">?<span class="wb-hidden">Doubtful</span>'
            "</span>"
        )
    elif scan.light in _SIGNS:
        sign = icon(_SIGNS[scan.light])
    slices = f'<span class="wb-slices">{scan.slices}</span>' if scan.slices > 1 else ""
    hint = f'<span class="wb-folder">{esc(scan.hint)}?</span>' if scan.hint and not label else ""
    return (
        f'<div class="wb-card-scan" role="option" tabindex="-1" aria-selected="false" data-scan="{scan.id}" '
        f'data-slices="{scan.slices}" data-name="Scan {scan.number}" data-label="{label}">'
        f'<img src="/files/preview/{scan.id}" alt="" loading="lazy" draggable="false">{sign}{slices}'
        f'<span class="wb-card-name">{scan.number}<span class="wb-hidden">, {esc(patient_of(scan))}</span>'
        "</span>"
        f'<span class="wb-mark-label">{esc(name)}</span>{hint}'
        f'<div class="wb-card-more" hidden>{_about(scan)}</div></div>'
    )


def _about(scan: ScanInfo) -> str:
    """What is said under the large view."""
    facts = [patient_of(scan), size_of(scan)]
    if scan.body_part:
        facts.append(scan.body_part.capitalize())
    if scan.readers > 1:
        facts.append(f"{scan.readers} readers")
    if scan.hint:
        facts.append(f"folder “{scan.hint}”")
    said = "".join(f"<span>{esc(fact)}</span>" for fact in facts)
    doubt = ""
    if scan.doubt:
        doubt = f"<li>{icon('warning')}<span>{esc(scan.doubt)}</span></li>"
    found = doubt + card_findings(scan)
    listed = f'<ul class="wb-findings">{found}</ul>' if found else ""
    return f'<p class="wb-about"><b>Scan {scan.number}</b>{said}</p>{listed}'


def _balance(condition: ConditionInfo) -> str:
    most = max((one.patients for one in condition.classes), default=0) or 1
    rows = "".join(
        f"<li>{swatch(i)}<span>{esc(one.name)}</span><b>{one.patients}</b>"
        f'<i class="wb-level"><i class="wb-class-{i}" style="width:{100 * one.patients / most:.0f}%"></i>'
        "</i></li>"
        for i, one in enumerate(condition.classes)
    )
    return (
        '<section class="wb-card"><h3>Labelled patients <small>that count</small></h3>'
        f'<ul class="wb-balance">{rows}</ul><p class="wb-aside">{esc(condition.missing)}'
        "</p></section>"
    )


def _agreement(condition: ConditionInfo, scans: Sequence[ScanInfo], agreement: Agreement | None) -> str:
    if agreement is None or not agreement.said:
        return ""
    kappa = ""
    if agreement.kappa is not None:
        k = agreement.kappa
        kappa = (
            f'<p class="wb-kappa"><b>κ {k.value:.2f}</b><span>{k.low:.2f} to {k.high:.2f} '
            f"(95 %), {plural(k.n, 'scan')} of two readers</span></p>"
        )
    by_id = {scan.id: scan for scan in scans}
    disputes = "".join(_dispute(by_id[scan], condition) for scan in agreement.disputed if scan in by_id)
    listed = f'<ul class="wb-disputes" aria-label="Disputed">{disputes}</ul>' if disputes else ""
    return (
        f'<section class="wb-card"><h3>{symbol("users")}Second reader</h3>{kappa}'
        f'<p class="wb-aside">{esc(agreement.said)}</p>{listed}</section>'
    )


def _dispute(scan: ScanInfo, condition: ConditionInfo) -> str:
    presses = "".join(
        button(f"{swatch(i)}{esc(one.name)}", "settle", f"{scan.id}:{one.id}", "quiet", "")
        for i, one in enumerate(condition.classes)
    )
    settle = f'<div class="wb-line">{presses}</div>' if condition.level is not Level.READ else ""
    return (
        f'<li><button type="button" class="wb-thumb" data-jump="{scan.id}"><img '
        f'src="/files/preview/{scan.id}" '
        f'alt="" width="44" height="44"><b>Scan {scan.number}</b></button>{settle}</li>'
    )


def _next(
    condition: ConditionInfo,
    scans: Sequence[ScanInfo],
    suggested: SuggestedScans,
    job: JobInfo | None,
) -> str:
    if not condition.version:
        return ""
    rows = "".join(
        f'<li><button type="button" class="wb-thumb" data-jump="{one.scan_id}">'
        f'<img src="/files/preview/{one.scan_id}" alt="" width="44" height="44">'
        f"<span><b>Scan {one.number}</b><small>{esc(one.reason)}</small></span></button></li>"
        for one in suggested.scans
    )
    outlook = f'<p class="wb-aside">{esc(suggested.outlook)}</p>' if suggested.outlook else ""
    left = any(not _has(scan) for scan in scans)
    if job is not None:
        body = progress(job)
    elif rows:
        body = f'<ul class="wb-disputes">{rows}</ul>{outlook}{button("Look again", "suggest")}'
    elif left:
        body = button(f"{symbol('star')}Which one would help most?", "suggest")
    else:
        body = notice("info", "Add unlabelled scans, and the model says which one to label next.")
    return f'<section class="wb-card"><h3>{symbol("star")}Label this one next</h3>{body}</section>'


def _has(scan: ScanInfo) -> bool:
    """Whether the reader has looked at it and said something."""
    return scan.label is not None or scan.unsure
