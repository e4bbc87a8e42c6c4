"""The scans screen: where files are dropped, what becomes of their identifiers, what each import brought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ui.render.markup import (
    ago,
    button,
    esc,
    findings,
    heading,
    icon,
    notice,
    plural,
    progress,
    refusals,
    symbol,
    worst_first,
)
from ui.state import Staged
from workbench.imaging.options import Remedy
from workbench.imaging.scan import Severity
from workbench.service.kinds import Batch, ConditionInfo, JobInfo, Level, Light, ScanInfo

_FORMATS = "DICOM, NIfTI, NRRD, PNG, JPEG, BMP, TIFF, or zips of them. A series becomes one volume."
_REMEDIES = {
    Remedy.LARGEST_REGULAR_BLOCK: "Missing or unevenly spaced slices: keep the longest even run",
    Remedy.RESAMPLE_TILT: "Tilted gantry: shift the slices upright",
    Remedy.KEEP_FIRST_DUPLICATE: "Several slices at one place: keep the first",
}
_SIGNS = {Light.OK: "ok", Light.WARNING: "warning", Light.ERROR: "refused"}
_SHOWN_DIGITS = 6
_BRINGS = ("import", "demo", "retrieve")
"""Jobs that bring scans."""
_FINE = "Fine."


def head(condition: ConditionInfo) -> str:
    """Title, and the way on."""
    ready = condition.scans > 0
    tools = button("Label", "on", kind="main", disabled=not ready)
    lead = (
        "Ten patients of each class are a good start. A shot is a patient: further scans of one count once."
    )
    return heading("Add scans", lead, tools)


def drop_zone(
    condition: ConditionInfo, role: str, title: str, told: str = _FORMATS, small: bool = False
) -> str:
    """Where files, folders and zips are dropped or chosen, and series chosen in an archive where the site has
    one; ``uploads.js`` and ``archive.js`` listen.

    Args:
        condition: whose.
        role: ``support``, ``case`` or ``cohort``.
        title: what to drop.
        told: what may be dropped.
        small: for a narrow column.
    """
    if condition.level is Level.READ:
        return notice(
            "info", "You may look and label here; scans are added by whoever may edit the condition."
        )
    kind = " wb-small" if small else ""
    return (
        f'<div class="wb-drop{kind}" data-upload="{role}" data-condition="{condition.id}">{symbol("folder")}'
        f"<p><b>{esc(title)}</b><span>{esc(told)}</span></p>"
        f'<div class="wb-line">'
        f'<button type="button" class="wb-button wb-quiet" data-choose="files">{symbol("file")}Choose files'
        "</button>"
        f'<button type="button" class="wb-button wb-quiet" data-choose="folder">{symbol("folder")}Choose a '
        "folder"
        "</button></div>"
        '<input type="file" class="wb-choose-files wb-hidden" multiple tabindex="-1" aria-label="Files">'
        '<input type="file" class="wb-choose-folder wb-hidden" webkitdirectory multiple tabindex="-1" '
        'aria-label="A folder"></div>'
        f'<wb-archive condition="{condition.id}" purpose="{role}"></wb-archive>'
    )


def staged(waiting: Staged) -> str:
    """Nothing is stored yet: what becomes of identifiers, how to read, and the consent."""
    told = "".join(f"<li>{esc(line)}</li>" for line in waiting.lines)
    job_id = waiting.job_id
    named = " and ".join(f"<b>{esc(name)}</b>" for name in waiting.folders)
    adopt = (
        '<label class="wb-tick wb-adopt"><input type="checkbox" name="adopt" value="yes" checked><span>'
        f"Name the classes after the folders: {named}. Their scans then come with these labels."
        "</span></label>"
        if named
        else ""
    )
    boxes = "".join(
        f'<label class="wb-tick"><input type="checkbox" name="remedy" value="{remedy.value}">{esc(said)}'
        "</label>"
        for remedy, said in _REMEDIES.items()
    )
    return (
        f'<form class="wb-card wb-staged" data-submit="store" data-value="{job_id}" data-form="{job_id}">'
        f'<div class="wb-staged-head">{symbol("shield")}<div><h3>Before anything is stored</h3>'
        '<p class="wb-aside">Names and identifiers in the files stay behind. This is what was found in '
        "them.</p></div>"
        f'<div class="wb-line">{button("Drop them again", "abandon", job_id)}'
        '<button class="wb-button wb-main" data-focus>Store these scans</button></div></div>'
        f'<ul class="wb-deidentified">{told}</ul>{adopt}'
        '<details class="wb-fold" id="wb-options"><summary>Reading options'
        "<small>a part only, irregular series, several volumes</small></summary>"
        '<div class="wb-options"><div class="wb-field"><label for="wb-slices">Slices, first:last</label>'
        '<input id="wb-slices" name="slices" placeholder="10:40" maxlength="40"></div>'
        '<div class="wb-field"><label for="wb-box">Box, rows,columns</label>'
        '<input id="wb-box" name="box" placeholder="20:80,30:90" maxlength="60"></div>'
        '<div class="wb-field"><label for="wb-volume">Volume of several, from 0</label>'
        '<input id="wb-volume" name="volume" inputmode="numeric" placeholder="first" maxlength="4"></div>'
        f'<fieldset class="wb-ticks"><legend class="wb-hidden">Ways of reading</legend>{boxes}'
        '<label class="wb-tick"><input type="checkbox" name="no_preamble" value="yes">'
        "DICOM without its file header: read it, its encoding guessed</label>"
        '<label class="wb-tick"><input type="checkbox" name="hints" value="yes" checked>'
        "Folder names suggest the class</label></fieldset></div></details></form>"
    )


def body(
    condition: ConditionInfo,
    scans: Sequence[ScanInfo],
    batches: Sequence[Batch],
    jobs: Sequence[JobInfo],
    light: str,
) -> str:
    """Progress, what the last import brought, folder labels to accept, every scan with its findings."""
    running = "".join(f'<div class="wb-card">{progress(job)}</div>' for job in jobs if job.kind in _BRINGS)
    brought = "".join(_batch(batch, scans) for batch in batches[:1] if batch.job.over)
    before = "".join(_batch(batch, scans) for batch in batches[1:] if batch.job.over)
    if before:
        count = plural(len(batches) - 1, "earlier import")
        before = (
            f'<details class="wb-fold" id="wb-before"><summary>{count}</summary><div '
            f'class="wb-stack">{before}</div></details>'
        )
    return f"{running}{hints(condition, scans)}{brought}{_list(scans, light)}{before}"


def hints(condition: ConditionInfo, scans: Sequence[ScanInfo]) -> str:
    """The folders' names as labels, to be accepted at once; nothing where there are none."""
    open_to = [
        scan for scan in scans if scan.hint and scan.label is None and not scan.unsure and not scan.readers
    ]
    if condition.level is Level.READ or not open_to:
        return ""
    names = {one.name for one in condition.classes}
    counts = Counter(scan.hint for scan in open_to)
    told = ", ".join(f"<b>{esc(name)}</b> ({count})" for name, count in counts.most_common(8))
    known = sum(count for name, count in counts.items() if name in names)
    press = button(f"Accept {plural(known, 'folder label')}", "hints", kind="main")
    said = f"The folders say what the scans are: {told}."
    return f'<div class="wb-offer">{symbol("folder")}<p>{said}</p>{press}</div>'


def card_findings(scan: ScanInfo) -> str:
    """Everything to be said of a scan as list items, its copy included."""
    twin = ""
    if scan.twin:
        twin = f"<li>{icon('warning')}<span>An exact copy of scan {scan.twin}.</span></li>"
    return twin + findings(scan.findings)


def patient_of(scan: ScanInfo) -> str:
    """The pseudonym, short."""
    return f"Patient {scan.patient[:_SHOWN_DIGITS]}"


def size_of(scan: ScanInfo) -> str:
    """Modality and size, as one line of text."""
    modality = "" if scan.modality == "OT" else f"{scan.modality} · "
    slices = f" × {scan.slices}" if scan.slices > 1 else ""
    return f"{modality}{scan.columns} × {scan.rows}{slices}"


def _batch(batch: Batch, scans: Sequence[ScanInfo]) -> str:
    job = batch.job
    if job.state == "failed":
        return notice("refused", f"This import failed: {job.error}")
    if job.state == "cancelled":
        return notice("info", "This import was cancelled; what it had stored before is kept.")
    here = {scan.id: scan for scan in scans}
    lights = Counter(here[scan].light for scan in batch.scans if scan in here)
    facts = [("ok", f"{plural(len(batch.scans), 'scan')} stored")]
    if lights[Light.WARNING]:
        facts.append(("warning", f"{lights[Light.WARNING]} with a warning"))
    if lights[Light.ERROR]:
        facts.append(("refused", f"{lights[Light.ERROR]} of no use"))
    if batch.copies:
        facts.append(
            ("info", f"{plural(len(batch.copies), 'exact copy').replace('copys', 'copies')} left out")
        )
    if batch.refused:
        facts.append(("refused", f"{plural(len(batch.refused), 'file')} could not be read"))
    line = "".join(f"<li>{icon(state)}<span>{esc(said)}</span></li>" for state, said in facts)
    refused = (
        f'<ul class="wb-findings" aria-label="Refused files">{refusals(batch.refused)}</ul>'
        if batch.refused
        else ""
    )
    copies = "".join(
        f"<li>{icon('info')}<span><b>{esc(name)}</b> is an exact copy of scan {number}.</span></li>"
        for name, number in batch.copies
    )
    copies = f'<ul class="wb-findings" aria-label="Copies">{copies}</ul>' if copies else ""
    forget = ""
    if batch.refused or batch.copies:
        forget = button("Forget the files’ names", "dismiss", job.id, "bare")
    kept = "".join(f"<li>{esc(told)}</li>" for told in batch.deidentified)
    kept = (
        f'<details class="wb-fold" id="wb-kept-{job.id}"><summary>What became of identifiers</summary>'
        f'<ul class="wb-deidentified">{kept}</ul></details>'
        if kept
        else ""
    )
    return (
        f'<section class="wb-card wb-batch" aria-label="Import"><div class="wb-line wb-apart">'
        f'<ul class="wb-brought">{line}</ul><span class="wb-aside">{esc(ago(job.finished or job.created))}'
        "</span></div>"
        f"{refused}{copies}{forget}{kept}</section>"
    )


def _list(scans: Sequence[ScanInfo], light: str) -> str:
    if not scans:
        return ""
    counts = Counter(scan.light for scan in scans)
    segments = "".join(
        f'<button type="button" data-action="light" data-value="{value}" '
        f'aria-pressed="{str(light == value).lower()}">{label}<span>{count}</span></button>'
        for value, label, count in (
            ("all", "All", len(scans)),
            ("warning", "Warnings", counts[Light.WARNING]),
            ("error", "Of no use", counts[Light.ERROR]),
        )
    )
    shown = [scan for scan in scans if light == "all" or scan.light.value == light]
    rows = "".join(_row(scan) for scan in shown)
    nothing = '<p class="wb-aside wb-none">None of these.</p>' if not rows else ""
    patients = len({scan.patient for scan in scans})
    return (
        f'<section class="wb-card wb-scanlist" aria-label="Scans"><div class="wb-line wb-apart"><h3>'
        f"{plural(len(scans), 'scan')} <small>of {plural(patients, 'patient')}</small></h3>"
        f'<div class="wb-segments" role="group" aria-label="Show">{segments}</div></div>'
        f'<ul class="wb-scanrows">{rows}</ul>{nothing}</section>'
    )


def _row(scan: ScanInfo) -> str:
    said, fix, others = _said(scan)
    more = ""
    if others:
        count = plural(others, "further note" if said != _FINE else "note")
        more = (
            f'<details id="wb-more-{scan.id}"><summary>{count}</summary>'
            f'<ul class="wb-findings">{findings(scan.findings)}</ul></details>'
        )
    hint = f'<span class="wb-tag">{symbol("folder")}{esc(scan.hint)}</span>' if scan.hint else "<span></span>"
    fix = f' <em class="wb-fix">{esc(fix)}</em>' if fix else ""
    return (
        f'<li><img src="/files/preview/{scan.id}" alt="" loading="lazy" width="52" height="52">'
        f'<div class="wb-scan-name"><b>Scan {scan.number}</b><small>{esc(patient_of(scan))}</small></div>'
        f'<small class="wb-scan-size">{esc(size_of(scan))}</small>{icon(_SIGNS[scan.light])}'
        f'<div class="wb-scan-said"><span>{esc(said)}{fix}</span>{more}</div>{hint}'
        f"{button(symbol('bin'), 'remove', scan.id, 'sign', f'Remove scan {scan.number}')}</li>"
    )


def _said(scan: ScanInfo) -> tuple[str, str, int]:
    """What matters most about a scan, its fix, and how many findings there are beside."""
    worst = next(iter(worst_first(scan.findings)), None)
    if scan.twin:
        return f"An exact copy of scan {scan.twin}.", "Remove one of them.", len(scan.findings)
    if worst is None or worst.severity is Severity.INFO:
        return _FINE, "", len(scan.findings)
    return worst.message, worst.fix, len(scan.findings) - 1
