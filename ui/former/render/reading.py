"""One new scan and what the model says about it: worklist, viewer, probabilities, nearest labelled scans."""

from __future__ import annotations

import math

from ui.former.render.estimate import in_words
from ui.former.render.markup import button, esc, findings, icon, notice, refusals, state_of
from ui.former.render.pictures import evidence_uri, view_uri
from ui.former.render.tray import describe, patient_name
from ui.former.session import Adapted, Case, HeldScan, Session
from workbench.adaptation.saliency import NOT_PROOF


def worklist(session: Session) -> str:
    """New scans in the order they were dropped, with the class each was read as."""
    rows = "".join(_row(session, number, case) for number, case in enumerate(session.cases))
    listed = f'<ol class="wb-worklist" tabindex="0" aria-label="New scans">{rows}</ol>' if rows else ""
    refused = refusals(session.refused_cases)
    return listed + (f'<ul class="wb-findings" aria-label="Refused files">{refused}</ul>' if refused else "")


def viewer(session: Session) -> str:
    """The scan in its window, with a labelled scan beside it where one was chosen."""
    case, adapted = session.case, session.adapted
    if case is None or adapted is None:
        return (
            '<div class="wb-stage wb-empty"><p>Drop new scans on the left. Each is read on its own, and '
            "appears here beside the labelled scans it resembles.</p></div>"
        )
    panes = _pane("New scan", case.held, case.window, case.slice_index, patient_name(case.held))
    if case.compared is not None and case.compared < len(adapted.scans):
        other = adapted.scans[case.compared]
        # The same window on both, unless they measure different things.
        window = case.window if other.scan.units is case.held.scan.units else None
        label = adapted.model.classifier.classes[int(adapted.model.classifier.support_labels[case.compared])]
        middle = other.scan.pixels.shape[0] // 2
        panes += _pane(f"Labelled: {label}", other, window, middle, patient_name(other))
    pair = " wb-pair" if case.compared is not None else ""
    pair += " wb-volume" if case.held.scan.is_volume else ""  # leaves room for the slice slider
    return f'<div class="wb-stage{pair}" tabindex="0" aria-label="Image">{panes}</div>'


def reading(session: Session) -> str:
    """Probabilities, nearest labelled scans and findings of the selected case."""
    case, adapted = session.case, session.adapted
    if case is None or adapted is None:
        return ""
    named = findings(case.reading.findings)
    listed = f'<ul class="wb-findings">{named}</ul>' if named else '<p class="wb-aside">None.</p>'
    return (
        f'<section class="wb-reading" aria-label="Reading">{notice("warning", case.caution)}'
        f'<div class="wb-panel"><h3>Reading</h3>{_probabilities(case)}'
        f'<p class="wb-aside">{_kind(case)} Left-out patients: '
        f"{esc(in_words(adapted.estimate.performance))}.</p></div>"
        f"{_trust(case, adapted)}"
        f'<div class="wb-panel"><h3>Nearest labelled scans <small>click to compare</small></h3>'
        f"{_neighbours(case, adapted)}</div>"
        f'<div class="wb-panel"><h3>Where the evidence lies</h3>{_evidence(case)}</div>'
        f'<div class="wb-panel"><h3>Findings</h3>{listed}</div></section>'
    )


def _evidence(case: Case) -> str:
    """A button, or the map that was asked for with what it does not show."""
    if case.evidence is None:
        return button("Show", "evidence", "", spoken="Show where the evidence lies")
    said = f"Orange speaks for “{esc(case.evidence.label)}”, blue against it. {NOT_PROOF}"
    return (
        f'<img class="wb-evidence" src="{evidence_uri(case.held.scan, case.evidence)}" '
        f'alt="Map of the evidence for {esc(case.evidence.label)}"><p class="wb-aside">{said} '
        f"{button('Hide', 'evidence', '', 'bare')}</p>"
    )


def exports(session: Session) -> str:
    """Links to what can be taken away."""
    readings = ""
    if session.cases:
        readings = _link("readings.csv", "CSV") + _link("readings.json", "JSON")
        readings += _link("readings.csv?names=true", "CSV with file names")
    return f'<div class="wb-exports"><span>Save</span>{readings}{_link("model.safetensors", "Model")}</div>'


def _link(name: str, label: str) -> str:
    return f'<a class="wb-button wb-quiet" href="/export/{name}" download title="{name}">{label}</a>'


def _row(session: Session, number: int, case: Case) -> str:
    here = number == session.selected
    top = case.reading.classes.index(case.reading.label)
    doubt = bool(case.caution) or case.reading.none_of_these
    state = "warning" if doubt else state_of(case.reading.findings)
    name = case.held.scan.provenance.source
    truth = session.truth.get(case.held.identity)
    told = f'<span class="wb-truth">truth: {esc(truth)}</span>' if truth else ""
    return (
        f'<li><button type="button" class="wb-case" data-action="select" data-value="{number}" '
        f'aria-pressed="{str(here).lower()}"><img src="{case.held.picture}" alt="">'
        f'<span class="wb-case-text"><b title="{esc(name)}">{number + 1}. {esc(name)}</b>'
        f'<span><i class="wb-swatch wb-class-{top}"></i>{esc(case.reading.label)} '
        f"{100 * case.reading.confidence:.0f} %</span>{told}</span>{icon(state)}</button></li>"
    )


def _pane(
    title: str, held: HeldScan, window: tuple[float, float] | None, slice_index: int, patient: str
) -> str:
    name = held.scan.provenance.source
    slices = held.scan.pixels.shape[0]
    at = f"<span>slice {min(slice_index, slices - 1) + 1} of {slices}</span>" if slices > 1 else ""
    return (
        f'<figure class="wb-pane"><img src="{view_uri(held.scan, window, slice_index)}" alt="{esc(name)}" '
        f'draggable="false"><figcaption><b>{esc(title)}</b><span>{esc(name)}</span></figcaption>'
        f'<div class="wb-corner"><span>{esc(describe(held))}</span><span>{esc(patient)}</span>{at}</div>'
        "</figure>"
    )


def _probabilities(case: Case) -> str:
    pairs = list(enumerate(zip(case.reading.classes, case.reading.probabilities, strict=True)))
    ranked = sorted(pairs, key=lambda item: -item[1][1])
    bars = "".join(
        f'<div class="wb-bar{" wb-top" if place == 0 else ""}"><dt>{esc(name)}</dt>'
        f'<dd><span class="wb-track"><i class="wb-class-{index}" style="width:{100 * share:.1f}%"></i></span>'
        f"<b>{100 * share:.1f} %</b></dd></div>"
        for place, (index, (name, share)) in enumerate(ranked)
    )
    return f'<dl class="wb-bars" aria-label="Probabilities">{bars}</dl>'


def _kind(case: Case) -> str:
    """What the probabilities are."""
    if not case.reading.calibrated:
        return "The model’s own probabilities, not calibrated."
    return "Calibrated probabilities; every class counts the same."


def _trust(case: Case, adapted: Adapted) -> str:
    """The plausible classes, whether the scan is like the labelled ones, and what the model promises."""
    around, near = case.reading.set, case.reading.familiarity
    if around is None or near is None:
        return ""
    named = ", ".join(esc(name) for name in around.classes) or "none of these"
    alarm = around.promise.given > 0 and not around.classes
    if math.isnan(near.usual):
        like, state = "Too few labelled patients to say whether it is like them.", "info"
    elif near.unlike:
        like, state = "Unlike every labelled scan: the reading may mean nothing.", "warning"
    else:
        like, state = "Like the labelled scans.", "ok"
    rows = [
        (icon("warning" if alarm else "info"), f"Plausible: <b>{named}</b>. {esc(around.promise.statement)}"),
        (icon(state), f"{like} {esc(near.measure)} distance {near.distance:.2f}."),
    ]
    if adapted.model.outlook is not None:
        rows += [(icon("info"), esc(said)) for said in adapted.model.outlook.of_model]
    listed = "".join(f"<li>{sign}<span>{text}</span></li>" for sign, text in rows)
    return (
        '<div class="wb-panel" aria-label="Trust"><h3>How far to trust it</h3>'
        f'<ul class="wb-findings">{listed}</ul></div>'
    )


def _neighbours(case: Case, adapted: Adapted) -> str:
    order = {name: index for index, name in enumerate(case.reading.classes)}
    cards = []
    for near in case.reading.neighbours:
        held = adapted.scans[near.index]
        name = held.scan.provenance.source
        told = f"{near.label} · distance {near.distance:.2f} · {name}"
        pressed = str(case.compared == near.index).lower()
        cards.append(
            f'<button type="button" class="wb-near" data-action="compare" data-value="{near.index}" '
            f'aria-pressed="{pressed}" title="{esc(told)}"><img src="{held.picture}" alt="{esc(name)}">'
            f'<i class="wb-strip wb-class-{order[near.label]}"></i>'
            f"<span>{esc(near.label)}</span><small>{near.distance:.2f}</small></button>"
        )
    legend = button("Stop comparing", "compare", "", "bare") if case.compared is not None else ""
    return (
        f'<div class="wb-nears">{"".join(cards)}</div>'
        '<p class="wb-aside">The number is the distance to the new scan: 0 is the same, 2 the opposite. '
        f"{legend}</p>"
    )
