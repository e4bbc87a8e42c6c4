"""One case: what the model says, how far to trust it, and what the reader says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ui.render.cases import VERDICTS
from ui.render.markup import button, esc, findings, icon, notice, progress, symbol
from ui.render.thumbs import thumb
from workbench.evaluation.statistics import percent
from workbench.service.kinds import CaseInfo, ClassInfo, JobInfo, Near, ScanInfo, ShownReading

NOT_PROOF = "Shows what the model used; it does not prove that the reading is right. For research use only."
_GIVEN = (("agree", "Agree", "A"), ("disagree", "Disagree", "D"), ("unsure", "Unsure", "U"))


def empty(has_cases: bool) -> str:
    """Beside the viewer while no case is chosen."""
    said = "Choose a case on the left." if has_cases else "What the model says of a case appears here."
    return f'<section class="wb-empty" aria-label="Reading">{symbol("read")}<p>{said}</p></section>'


@dataclass(frozen=True, slots=True)
class Around:
    """What a case is shown with.

    Attributes:
        classes: of the condition, in its order.
        scans: labelled scans by identifier.
        beside: identifier of the labelled scan shown beside the case, or None.
        threshold: probability of the first class from which it is the better call, 0 to 1.
        evidence: job that looks for the evidence, while there is one.
        overlaid: whether the evidence is laid over the case.
        may_edit: whether the actor may add to the labelled scans.
    """

    classes: tuple[ClassInfo, ...]
    scans: Mapping[str, ScanInfo]
    beside: str | None = None
    threshold: float = 0.5
    evidence: JobInfo | None = None
    overlaid: bool = False
    may_edit: bool = True


def viewer(case: CaseInfo | None, around: Around) -> str:
    """The case in the viewer, with a labelled scan beside it where one was chosen."""
    if case is None:
        said = "Drop new scans on the left, or choose a case."
        return f'<wb-viewer class="wb-read-viewer" empty="{said}"></wb-viewer>'
    scan = case.scan
    other = around.scans.get(around.beside or "")
    pair = ""
    if other is not None:
        names = {one.id: one.name for one in around.classes}
        label = names.get(other.counts_as or other.label or "", "labelled")
        name = f"Scan {other.number}: {esc(label)}"
        pair = f' other="{esc(other.id)}" other-slices="{other.slices}" other-name="{name}"'
    over = (
        f' overlay="/files/evidence/{esc(scan.id)}" overlay-name="The case with the map of the evidence over '
        'it"'
        if around.overlaid and case.has_evidence
        else ""
    )
    return (
        f'<wb-viewer class="wb-read-viewer" scan="{esc(scan.id)}" slices="{scan.slices}" '
        f'name="Case {scan.number}"{pair}{over}></wb-viewer>'
    )


def panel(case: CaseInfo, around: Around) -> str:
    """Everything said of a case."""
    title = f'<h2 class="wb-case-title">Case {case.scan.number} <small>{_describe(case.scan)}</small></h2>'
    if case.refused:
        body = notice("refused", case.refused) + _own(case, around.classes)
    elif case.concealed:
        body = _own_first(around.classes)
    elif case.reading is None:
        body = (
            '<div class="wb-notice wb-info" role="status"><span>Waiting to be read by the model.</span></div>'
        )
    else:
        body = _read(case, case.reading, around)
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
        '<div class="wb-card wb-block wb-own"><h3>What do you read?</h3><p class="wb-aside">The model’s '
        "reading is "
        f'shown once you have said yours.</p><div class="wb-choices">{keys}<button type="button" '
        'class="wb-choice" data-action="own" data-value="" data-key="u"><i class="wb-swatch"></i>'
        "<span>I am unsure</span><kbd>U</kbd></button></div></div>"
    )


def _own(case: CaseInfo, classes: tuple[ClassInfo, ...]) -> str:
    """What the reader said before the reveal, and whether the model says the same."""
    if case.own is None:
        return ""
    if case.own == "unsure":
        return f'<p class="wb-own-line">{icon("info")}<span>You were unsure.</span></p>'
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


def _read(case: CaseInfo, reading: ShownReading, around: Around) -> str:
    badges = findings(reading.badges)
    shift = f'<ul class="wb-findings wb-badges" aria-label="Warnings">{badges}</ul>' if badges else ""
    said = (
        f"{_headline(reading)}{shift}{_bars(reading, around.threshold)}"
        f"{_better_call(reading, around.threshold)}{_own(case, around.classes)}"
        f'<p class="wb-aside">{_kind(reading)} {esc(reading.evidence_n)}</p>'
    )
    verdict = _verdict(case)
    if around.may_edit and case.verdict:
        verdict += _into_support(case, around.classes)
    blocks = (
        ("", said),
        ("<h3>Your verdict</h3>", verdict),
        ("<h3>Nearest labelled scans</h3>", _nearest(reading, around)),
        (
            "<h3>Where the evidence lies <small>not proof</small></h3>",
            _evidence(case, around.evidence, around.overlaid),
        ),
    )
    cards = "".join(f'<div class="wb-card wb-block">{title}{body}</div>' for title, body in blocks)
    return f"{notice('warning', reading.caution)}{cards}"


def _headline(reading: ShownReading) -> str:
    plausible = reading.set
    if reading.none_of_these:
        said = (
            f"Nearest would be {esc(reading.label)} with {percent(max(reading.probabilities))} %, but the "
            "scan "
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
    """Where the stated cost of a miss makes the first class the better call though it is not the "
    "likeliest."""
    finding, share = reading.classes[0], reading.probabilities[0]
    if reading.none_of_these or reading.label == finding or share < threshold:
        return ""
    return (
        f'<p class="wb-own-line">{icon("warning")}<span>At the stated cost of a miss <b>{esc(finding)}</b> '
        "is the "
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
        '<details class="wb-more" id="wb-into-support"><summary>Add it to the labelled scans</summary><p '
        'class="wb-aside">Only '
        "with a label you are sure of: the next adaptation learns from it, and it can no longer be read as "
        "new."
        f'</p><div class="wb-choices-wrap">{buttons}</div></details>'
    )


def _nearest(reading: ShownReading, around: Around) -> str:
    order = {name: i for i, name in enumerate(reading.classes)}
    held = [near for near in reading.near if near.scan_id in around.scans]
    cards = "".join(
        _near(near, around.scans[near.scan_id], order, around.beside, str(place))
        for place, near in enumerate(held[:8], start=1)
    )
    if not cards:
        return '<p class="wb-aside">None is left among the labelled scans.</p>'
    stop = button("Stop comparing <kbd>0</kbd>", "alone", kind="bare") if around.beside else ""
    stop = stop.replace("data-action", 'data-key="0" data-action')
    return (
        f'<div class="wb-minis wb-minis-four">{cards}</div><p class="wb-aside">Distance to the case: 0 is '
        f"the same, 2 the opposite. {stop}</p>"
    )


def _near(near: Near, scan: ScanInfo, order: dict[str, int], beside: str | None, key: str) -> str:
    return thumb(
        scan,
        "beside",
        caption=f"{near.label} · {near.distance:.2f}",
        colour=order.get(near.label),
        pressed=beside == scan.id,
        spoken="Show it beside the case",
        key=key,
    )


def _evidence(case: CaseInfo, job: JobInfo | None, overlaid: bool) -> str:
    if case.has_evidence:
        label = "Take it off the case" if overlaid else "Lay it over the case"
        return (
            f'<button type="button" class="wb-button wb-quiet" data-action="overlay" data-key="e" '
            f'aria-pressed="{str(overlaid).lower()}">{label}&nbsp;<kbd>E</kbd></button>'
            '<p class="wb-aside">Orange speaks for the class it was read as, blue against it. '
            f"{NOT_PROOF}</p>"
        )
    if job is not None:
        return progress(job)
    return (
        f'<button type="button" class="wb-button wb-quiet" data-action="evidence" '
        f'data-value="{esc(case.scan.id)}" data-key="e">Look for it&nbsp;<kbd>E</kbd></button>'
        f'<p class="wb-aside">Covers parts of the scan in turn and sees what changes. {NOT_PROOF}</p>'
    )
