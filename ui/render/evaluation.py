"""Evaluating on a locked cohort, and everything that can be taken away."""

from __future__ import annotations

from ui.render.markup import button, esc, heading, icon, plural, symbol
from ui.render.words import moment, right_in, size
from workbench.service.kinds import ArtefactInfo, Batch, ConditionInfo, Evaluation, VersionInfo

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
        "A locked cohort is one that no adaptation has learned from. Its report says what may be claimed of "
        "the "
        f"model, with every interval and n.{which}",
    )


def nothing() -> str:
    """Before anything was adapted."""
    return (
        f'<section class="wb-empty wb-empty-tall">{symbol("evaluate")}<h3>Nothing to evaluate '
        "yet</h3><p>Adapt "
        "first. Then a cohort can be read, and everything be taken away.</p>"
        f"{button('Go to Adapt', 'screen', 'adapt')}</section>"
    )


def cohorts(held: tuple[Batch, ...], done: tuple[Evaluation, ...], shown: str, may_edit: bool) -> str:
    """What was evaluated, newest first, and cohorts that can be.

    Args:
        held: imports of the role ``cohort`` that are over.
        done: evaluations, newest first.
        shown: identifier of the report on the screen, empty for the newest.
        may_edit: whether the actor may start an evaluation.
    """
    if not held and not done:
        return '<p class="wb-aside wb-none">No cohort yet. Nothing of it goes into an adaptation.</p>'
    ready = "".join(_cohort(batch, may_edit, not done) for batch in held)
    looked = "".join(_looked(one, shown or _page(done[0])) for one in done)
    return (
        '<section class="wb-card wb-offered" aria-label="Cohorts"><h3>Cohorts</h3><ol '
        f'class="wb-cohorts">{ready}</ol>'
        f'{"<h3>Evaluated</h3>" if looked else ""}<ol class="wb-cohorts">{looked}</ol></section>'
    )


def _cohort(batch: Batch, may_edit: bool, first: bool) -> str:
    refused = f", {plural(len(batch.refused), 'file')} refused" if batch.refused else ""
    tool = button("Evaluate", "evaluate", batch.job.id, "main" if first else "quiet") if may_edit else ""
    return (
        f"<li><span><b>{plural(len(batch.scans), 'scan')}</b><small>dropped "
        f"{moment(batch.job.created)}{refused}"
        f"</small></span>{tool}</li>"
    )


def _looked(one: Evaluation, shown: str) -> str:
    """One evaluation: the figure, how often this cohort was looked at, and its report."""
    page = _page(one)
    again = "" if one.looked == 1 else f"; look {one.looked} at this cohort, no longer held out"
    pressed = str(page == shown).lower()
    tool = (
        f'<button type="button" class="wb-button wb-quiet" data-action="report" data-value="{esc(page)}" '
        f'aria-pressed="{pressed}">Report</button>'
        if page
        else ""
    )
    return (
        f"<li><span><b>{esc(right_in(one.accuracy).capitalize())}</b><small>version {one.version}, "
        f"{moment(one.job.finished)}{again}</small></span>{tool}</li>"
    )


def _page(one: Evaluation) -> str:
    return next((made.id for made in one.artefacts if made.media_type == "text/html"), "")


def report(content: str | None) -> str:
    """A report inside the page: in a frame without scripts, forms or any right of this page."""
    if content is None:
        return (
            f'<section class="wb-empty wb-empty-tall" aria-label="Report">{symbol("evaluate")}<h3>No report '
            "yet</h3>"
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
    model = "" if version is None else _link(f"/files/model/{esc(version.id)}", "Download", "the model")
    base = f"/files/readings/{esc(condition.id)}"
    rows = (
        _offer(
            "Readings",
            "Every case with the model’s reading and the verdicts.",
            _link(f"{base}.csv", "CSV", "the readings") + _link(f"{base}.json", "JSON", "the readings"),
        ),
        _offer(
            "Report",
            "The version, its estimate, findings and limits: HTML and PDF.",
            button("Make", "export", "report", spoken="Make the report"),
        ),
        _offer(
            "Model card",
            "What the model is, was tried on, and is not for.",
            button("Make", "export", "card", spoken="Make the model card") if have else "",
        ),
        _offer("Model", "The adapted model as one file, for the command line.", model),
        _offer(
            "Signed case bundle",
            "Scans, labels, version and readings; whoever has it can compute the same figures again.",
            button("Make", "export", "bundle", spoken="Make the signed bundle") if have and may_edit else "",
        ),
        _structured(archives, have and may_edit),
    )
    return (
        '<section class="wb-card wb-offered" aria-label="Take away"><h3>Take away</h3>'
        f'<ul class="wb-offers">{"".join(rows)}</ul></section>'
    )


def _offer(name: str, what: str, tools: str) -> str:
    shut = "" if tools else '<span class="wb-aside">not yet</span>'
    said = f"<span><b>{name}</b><small>{what}</small></span>"
    return f'<li>{said}<span class="wb-offer-tools">{tools}{shut}</span></li>'


def _link(address: str, label: str, of: str) -> str:
    spoken = f'<span class="wb-hidden"> of {of}</span>'
    return f'<a class="wb-button wb-quiet" href="{address}" download>{label}{spoken}</a>'


def _structured(archives: tuple[str, ...], open_to: bool) -> str:
    """Results beside their study, where archives are set up."""
    if not archives:
        return _offer("Structured report", "Goes to a picture archive; none is set up on this site.", "")
    what = "Each reading of a study’s cases as a DICOM report beside it, unverified."
    if not open_to:
        return _offer("Structured report", what, "")
    return (
        f"<li><span><b>Structured report</b><small>{what}</small></span></li>"
        f'<li class="wb-of-above">{_archives(archives)}</li>'
    )


def _archives(names: tuple[str, ...]) -> str:
    """The study is named again: the store knows none of its identifiers."""
    options = "".join(f'<option value="{esc(name)}">{esc(name)}</option>' for name in names)
    return (
        '<form class="wb-form wb-archive" data-submit="results"><label>Accession number<input '
        'name="accession" '
        'required maxlength="64" autocomplete="off"></label>'
        f'<label>Archive<select name="archive">{options}</select></label>'
        '<button type="submit" class="wb-button wb-quiet">Send</button></form>'
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
        '<section class="wb-card wb-offered" aria-label="Made files"><h3>Made <small>newest '
        "first</small></h3>"
        f'<ol class="wb-made">{rows}</ol></section>'
    )


def bundle(name: str, fingerprint: str) -> str:
    """How to check a signed bundle elsewhere."""
    return (
        f'<div class="wb-bundle">{icon("ok")}<div><p><b>{esc(name)}</b> is signed. Note the fingerprint '
        "apart from "
        "it; whoever replays the bundle compares the two.</p>"
        f'<code class="wb-print">{esc(fingerprint)}</code><p class="wb-aside">Reproduce it with</p>'
        f'<code class="wb-print">workbench replay {esc(name)}</code></div></div>'
    )
