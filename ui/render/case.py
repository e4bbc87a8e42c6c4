"""One case: what the model says, how far to trust it, and what the reader says."""

from __future__ import annotations

from ui.render.cases import VERDICTS
from ui.render.markup import esc, findings, icon, notice
from ui.render.thumbs import thumb
from workbench.evaluation.statistics import percent
from workbench.service.kinds import CaseInfo, ClassInfo, JobInfo, Near, ScanInfo, ShownReading

NOT_PROOF = "Shows what the model used; it does not prove that the reading is right. For research use only."
_GIVEN = (("agree", "Agree", "A"), ("disagree", "Disagree", "D"), ("unsure", "Unsure", "U"))


def empty(has_cases: bool) -> str:
    """Beside the viewer while no case is chosen."""
    said = "Choose a case on the left." if has_cases else "What the model says of a case appears here."
    return f'<section class="wb-said-of wb-vacant" aria-label="Reading"><p>{said}</p></section>'


def panel(
    case: CaseInfo,
    classes: tuple[ClassInfo, ...],
    scans: dict[str, ScanInfo],
    beside: str | None,
    threshold: float,
    evidence: JobInfo | None,
    may_edit: bool,
) -> str:
    """Everything said of a case.

    Args:
        case: shown.
        classes: of the condition, in its order.
        scans: labelled scans by identifier.
        beside: labelled scan shown beside the case, or None.
        threshold: probability of the first class from which it is the better call, 0 to 1.
        evidence: job that looks for the evidence, while there is one.
        may_edit: whether the actor may add to the labelled scans.
    """
    title = f'<h2 class="wb-case-title">Case {case.scan.number} <small>{_describe(case.scan)}</small></h2>'
    if case.refused:
        body = notice("refused", case.refused) + _own(case, classes)
    elif case.concealed:
        body = _own_first(classes)
    elif case.reading is None:
        body = (
            '<div class="wb-notice wb-info" role="status"><span>Waiting to be read by the model.</span></div>'
        )
    else:
        body = _read(case, case.reading, classes, scans, beside, threshold, evidence, may_edit)
    return (
        f'<section class="wb-said-of" aria-label="Reading of case {case.scan.number}">{title}{body}</section>'
    )


def _describe(scan: ScanInfo) -> str:
    size = f"{scan.columns} × {scan.rows}" + (f" × {scan.slices} slices" if scan.slices > 1 else "")
    modality = "" if scan.modality in ("", "OT") else f"{esc(scan.modality)} · "
    return f"{modality}{size}"


def _own_first(classes: tuple[ClassInfo, ...]) -> str:
    """Asks for the reader's own class; nothing of the model's reading is in the page."""
    keys = "".join(
        f'<button type="button" class="wb-choice" data-action="own" data-value="{esc(one.id)}" '
        f'data-key="{i + 1}"><i class="wb-swatch wb-class-{i}"></i><span>{esc(one.name)}</span>'
        f"<kbd>{i + 1}</kbd></button>"
        for i, one in enumerate(classes)
    )
    return (
        '<div class="wb-card wb-block wb-own"><h3>What do you read?</h3><p class="wb-aside">The model’s reading is '
        f'shown once you have said yours.</p><div class="wb-choices">{keys}<button type="button" '
        'class="wb-choice" data-action="own" data-value="" data-key="u"><i class="wb-swatch"></i>'
        "<span>I am unsure</span><kbd>U</kbd></button></div></div>"
    )


def _own(case: CaseInfo, classes: tuple[ClassInfo, ...]) -> str:
    """What the reader said before the reveal, and whether the model says the same."""
    if case.own is None:
        return ""
    name = next((one.name for one in classes if one.id == case.own), "")
    if not name:
        return ""
    if case.reading is None:
        return f'<p class="wb-own-line">You read it as <b>{esc(name)}</b>.</p>'
    same = case.reading.label == name and not case.reading.none_of_these
    return (
        f'<p class="wb-own-line">{icon("ok" if same else "warning")}<span>You read it as <b>{esc(name)}</b>; '
        f"the model {'says the same' if same else 'does not'}.</span></p>"
    )


def _read(
    case: CaseInfo,
    reading: ShownReading,
    classes: tuple[ClassInfo, ...],
    scans: dict[str, ScanInfo],
    beside: str | None,
    threshold: float,
    evidence: JobInfo | None,
    may_edit: bool,
) -> str:
    badges = findings(reading.badges)
    shift = f'<ul class="wb-findings wb-badges" aria-label="Warnings">{badges}</ul>' if badges else ""
    return (
        f"{notice('warning', reading.caution)}"
        f'<div class="wb-card wb-block">{_headline(reading)}{shift}{_bars(reading, threshold)}{_better_call(reading, threshold)}{_own(case, classes)}'
        f'<p class="wb-aside">{_kind(reading)} Rests on {esc(reading.evidence_n)}.</p></div>'
        f'<div class="wb-card wb-block wb-verdict-block"><h3>Your verdict</h3>{_verdict(case)}'
        f"{_into_support(case, classes) if may_edit and case.verdict else ''}</div>"
        f'<div class="wb-card wb-block"><h3>Nearest labelled scans <small>press one to see it beside the case</small>'
        f"</h3>{_nearest(reading, scans, beside)}</div>"
        f'<div class="wb-card wb-block"><h3>Where the evidence lies <small>not proof</small></h3>'
        f"{_evidence(case, evidence)}</div>"
    )


def _headline(reading: ShownReading) -> str:
    plausible = reading.set
    if reading.none_of_these:
        said = (
            f"Nearest would be {esc(reading.label)} with {percent(max(reading.probabilities))} %, but the scan "
            "is like none of the classes it has learned: take the figure for nothing."
        )
        return (
            f'<p class="wb-call wb-call-none">{icon("warning")}<span>None of these</span></p>'
            f'<p class="wb-aside">{said}</p>'
        )
    top = reading.classes.index(reading.label)
    call = (
        f'<p class="wb-call"><i class="wb-swatch wb-class-{top}"></i><span>{esc(reading.label)}</span>'
        f"<b>{percent(reading.probabilities[top])} %</b></p>"
    )
    if plausible is None:
        return call
    names = " or ".join(esc(name) for name in plausible) or "none of the classes"
    several = len(plausible) > 1
    lead = "Cannot tell: plausible are" if several else "Plausible:"
    return f'{call}<p class="wb-plausible">{lead} <b>{names}</b></p>'


def _bars(reading: ShownReading, threshold: float) -> str:
    rows = "".join(
        f'<div class="wb-prob"><dt>{esc(name)}</dt><dd><span class="wb-prob-rail">'
        f'<i class="wb-class-{i}" style="width:{100 * share:.1f}%"></i>{_cut(threshold) if i == 0 else ""}'
        f"</span><b>{percent(share)} %</b></dd></div>"
        for i, (name, share) in enumerate(zip(reading.classes, reading.probabilities, strict=True))
    )
    faded = " wb-faded" if reading.none_of_these else ""
    return f'<dl class="wb-probs{faded}" aria-label="Probabilities">{rows}</dl>'


def _cut(threshold: float) -> str:
    if not 0.0 < threshold < 1.0:
        return ""
    told = f"Threshold at the stated cost of a miss: {percent(threshold)} %"
    return f'<s style="left:{100 * threshold:.1f}%" title="{told}"><span class="wb-hidden">{told}</span></s>'


def _better_call(reading: ShownReading, threshold: float) -> str:
    """Where the stated cost of a miss makes the first class the better call though it is not the likeliest."""
    finding, share = reading.classes[0], reading.probabilities[0]
    if reading.none_of_these or reading.label == finding or share < threshold:
        return ""
    return (
        f'<p class="wb-own-line">{icon("warning")}<span>At the stated cost of a miss <b>{esc(finding)}</b> is the '
        f"better call: {percent(share)} % is above {percent(threshold)} %.</span></p>"
    )


def _kind(reading: ShownReading) -> str:
    kind = "Calibrated." if reading.calibrated else "The model’s own probabilities, not calibrated."
    return f"{kind} {esc(reading.promise)}".strip()


def _verdict(case: CaseInfo) -> str:
    buttons = "".join(
        f'<button type="button" class="wb-choice" data-action="verdict" data-value="{value}" '
        f'data-key="{key.lower()}" aria-pressed="{str(case.verdict == value).lower()}"><span>{name}</span>'
        f"<kbd>{key}</kbd></button>"
        for value, name, key in _GIVEN
    )
    onward = (
        '<button type="button" class="wb-link" data-action="onward" data-value="" data-key="n">Next case to '
        "read <kbd>N</kbd></button>"
        if case.verdict
        else ""
    )
    said = f"Recorded: {VERDICTS[case.verdict]}." if case.verdict in VERDICTS else "Goes into the record."
    return (
        f'<div class="wb-choices wb-choices-row" role="group" aria-label="Verdict">{buttons}</div>'
        f'<p class="wb-aside wb-after" role="status">{said} {onward}</p>'
    )


def _into_support(case: CaseInfo, classes: tuple[ClassInfo, ...]) -> str:
    buttons = "".join(
        f'<button type="button" class="wb-button wb-quiet" data-action="into-support" '
        f'data-value="{esc(case.scan.id)} {esc(one.id)}"><i class="wb-swatch wb-class-{i}"></i>'
        f"&nbsp;{esc(one.name)}</button>"
        for i, one in enumerate(classes)
    )
    return (
        '<details class="wb-more"><summary>Add it to the labelled scans</summary><p class="wb-aside">Only '
        "with a label you are sure of: the next adaptation learns from it, and it can no longer be read as new."
        f'</p><div class="wb-choices-wrap">{buttons}</div></details>'
    )


def _nearest(reading: ShownReading, scans: dict[str, ScanInfo], beside: str | None) -> str:
    order = {name: i for i, name in enumerate(reading.classes)}
    cards = "".join(
        _near(near, scans[near.scan_id], order, beside) for near in reading.near if near.scan_id in scans
    )
    if not cards:
        return '<p class="wb-aside">None is left among the labelled scans.</p>'
    return (
        f'<div class="wb-minis wb-minis-four">{cards}</div><p class="wb-aside">Distance to the case: 0 is '
        "the same, 2 the opposite.</p>"
    )


def _near(near: Near, scan: ScanInfo, order: dict[str, int], beside: str | None) -> str:
    return thumb(
        scan,
        "beside",
        caption=f"{near.label} · {near.distance:.2f}",
        colour=order.get(near.label),
        pressed=beside == scan.id,
        spoken="Show it beside the case",
    )


def _evidence(case: CaseInfo, job: JobInfo | None) -> str:
    if case.has_evidence:
        return (
            '<details class="wb-more wb-evidence-fold"><summary data-key="e">Show it <kbd>E</kbd></summary>'
            f'<img class="wb-evidence" src="/files/evidence/{esc(case.scan.id)}" loading="lazy" '
            f'alt="The case with the map of the evidence laid over it"><p class="wb-aside">Orange speaks '
            f"for the class it was read as, blue against it. {NOT_PROOF}</p></details>"
        )
    if job is not None and not job.over:
        return '<p class="wb-aside" role="status">Looking for it. You may read on meanwhile.</p>'
    failed = f"{esc(job.error)} " if job is not None and job.state == "failed" else ""
    return (
        f'<button type="button" class="wb-button wb-quiet" data-action="evidence" '
        f'data-value="{esc(case.scan.id)}" data-key="e">Look for it&nbsp;<kbd>E</kbd></button>'
        f'<p class="wb-aside">{failed}Covers parts of the scan in turn and sees what changes. {NOT_PROOF}</p>'
    )
