"""Evaluating on a locked cohort, and everything that can be taken away."""

from __future__ import annotations

from ui.render.markup import button, esc, heading, icon, plural, symbol
from ui.render.words import moment, size
from workbench.service.kinds import ArtefactInfo, Batch, ConditionInfo, VersionInfo

_KINDS = {
    "text/html": "HTML",
    "application/pdf": "PDF",
    "text/csv": "CSV",
    "application/json": "JSON",
    "application/zip": "ZIP",
    "text/markdown": "Markdown",
    "application/dicom": "DICOM",
}


def head(version: VersionInfo | None) -> str:
    """What the screen is for."""
    which = "" if version is None else f" Version {version.number} is the one in use."
    return heading(
        "Evaluate and export",
        "A locked cohort is one that no adaptation has learned from. Its report says what may be claimed of the "
        f"model, with every interval and n.{which}",
    )


def nothing() -> str:
    """Before anything was adapted."""
    return (
        f'<section class="wb-empty wb-empty-tall">{symbol("evaluate")}<h3>Nothing to evaluate yet</h3><p>Adapt '
        "first. Then a cohort can be read, and everything be taken away.</p>"
        f"{button('Go to Adapt', 'screen', 'adapt')}</section>"
    )


def cohorts(held: tuple[Batch, ...], reports: dict[str, ArtefactInfo], may_edit: bool) -> str:
    """Cohorts that were dropped, newest first, each with its report or a button that makes one.

    Args:
        held: imports of the role ``cohort``.
        reports: HTML report by identifier of the import it is of.
        may_edit: whether the actor may start an evaluation.
    """
    if not held:
        return '<p class="wb-aside wb-none">No cohort yet. Nothing of it goes into an adaptation.</p>'
    rows = "".join(_cohort(batch, reports.get(batch.job.id), may_edit) for batch in held)
    return f'<ol class="wb-cohorts" aria-label="Cohorts">{rows}</ol>'


def _cohort(batch: Batch, report: ArtefactInfo | None, may_edit: bool) -> str:
    count = plural(len(batch.scans), "scan")
    refused = f", {plural(len(batch.refused), 'file')} refused" if batch.refused else ""
    if report is not None:
        tool = (
            f'<button type="button" class="wb-button wb-quiet" data-action="report" data-value="{esc(report.id)}">'
            "Show the report</button>"
        )
    elif may_edit and batch.job.state == "done" and batch.scans:
        tool = (
            f'<button type="button" class="wb-button wb-main" data-action="evaluate" '
            f'data-value="{esc(batch.job.id)}">Evaluate</button>'
        )
    else:
        tool = ""
    return f"<li><span><b>Cohort of {count}</b><small>{moment(batch.job.created)}{refused}</small></span>{tool}</li>"


def report(content: str | None) -> str:
    """A report inside the page: in a frame without scripts, forms or any right of this page."""
    if content is None:
        return (
            f'<section class="wb-empty wb-empty-tall" aria-label="Report">{symbol("evaluate")}<h3>No report yet</h3>'
            "<p>Drop a cohort, press Evaluate, and its report is shown here.</p></section>"
        )
    return (
        f'<iframe class="wb-report" sandbox="" title="Report of the evaluation" referrerpolicy="no-referrer" '
        f'srcdoc="{esc(content)}"></iframe>'
    )


def exports(
    condition: ConditionInfo, version: VersionInfo | None, archives: tuple[str, ...], may_edit: bool
) -> str:
    """What can be made and taken away, each with what it is for."""
    have = version is not None
    rows = [
        _offer(
            "Readings",
            "Every case with the model’s reading and the verdicts.",
            _made("readings", "CSV", "JSON"),
        ),
        _offer(
            "Report",
            "The version, its estimate, findings and limits, for the file or a reviewer.",
            _made("report", "HTML", "PDF") if have else "",
        ),
        _offer(
            "Model card",
            "What the model is, was tried on, and is not for.",
            _made("card", "Markdown") if have else "",
        ),
        _offer(
            "Model",
            "The adapted model as one file, for the command line.",
            f'<a class="wb-button wb-quiet" href="/files/model/{esc(version.id)}" download>Download</a>'
            if version is not None
            else "",
        ),
        _offer(
            "Signed case bundle",
            "Scans, labels, version and readings, signed; whoever has it can compute the same figures again.",
            _made("bundle", "Make it") if have and may_edit else "",
        ),
        _offer(
            "Structured report to the archive",
            "Each reading as a DICOM report beside its study, marked unverified."
            if archives
            else "No archive is set up on this site; ask whoever runs it.",
            _archives(archives) if archives and have and may_edit else "",
        ),
    ]
    return (
        f'<section class="wb-card wb-offered" aria-label="Take away"><h3>Take away <small>{esc(condition.draft.title)}'
        f'</small></h3><ul class="wb-offers">{"".join(rows)}</ul></section>'
    )


def _offer(name: str, what: str, tools: str) -> str:
    shut = "" if tools else '<span class="wb-aside">not yet</span>'
    return f'<li><span><b>{name}</b><small>{what}</small></span><span class="wb-offer-tools">{tools}{shut}</span></li>'


def _made(kind: str, *forms: str) -> str:
    return "".join(
        f'<button type="button" class="wb-button wb-quiet" data-action="export" data-value="{kind} '
        f'{form.split()[0].lower()}">{form}<span class="wb-hidden">: {kind}</span></button>'
        for form in forms
    )


def _archives(names: tuple[str, ...]) -> str:
    return "".join(
        f'<button type="button" class="wb-button wb-quiet" data-action="archive" data-value="{esc(name)}" '
        f'data-confirm="Write the readings into {esc(name)}?">{esc(name)}</button>'
        for name in names
    )


def artefacts(made: tuple[ArtefactInfo, ...]) -> str:
    """Files that were made, newest first, as links."""
    if not made:
        return ""
    rows = "".join(
        f'<li><a href="/files/artefact/{esc(one.id)}" download="{esc(one.name)}"><b>{esc(one.name)}</b></a>'
        f"<small>{_KINDS.get(one.media_type, esc(one.media_type))}, {size(one.size)}, "
        f"{moment(one.created)}</small></li>"
        for one in made
    )
    return (
        '<section class="wb-card wb-offered" aria-label="Made files"><h3>Made <small>newest first</small></h3>'
        f'<ol class="wb-made">{rows}</ol></section>'
    )


def bundle(name: str, fingerprint: str) -> str:
    """How to check a signed bundle elsewhere."""
    return (
        f'<div class="wb-bundle">{icon("ok")}<div><p><b>{esc(name)}</b> is signed. Note the fingerprint apart from '
        "it; whoever replays the bundle compares the two.</p>"
        f'<code class="wb-print">{esc(fingerprint)}</code><p class="wb-aside">Reproduce it with</p>'
        f'<code class="wb-print">workbench replay {esc(name)}</code></div></div>'
    )
