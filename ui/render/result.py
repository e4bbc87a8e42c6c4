"""What an adapted version can be expected to do: the verdict first, then what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping

from ui.render import figures
from ui.render.confusion import matrix
from ui.render.markup import button, esc, findings, heading, icon, notice, plural, progress, swatch
from ui.render.thumbs import thumb
from ui.render.words import TOO_FEW, figure, share, span
from workbench.evaluation.statistics import percent
from workbench.service.kinds import AdaptResult, ConditionInfo, JobInfo, Level, ScanInfo, Share95, VersionInfo

Scans = Mapping[str, ScanInfo]


def head() -> str:
    """What the screen is for."""
    return heading(
        "Adapt",
        "The model learns from your labelled patients, and is tried on each of them in turn, every time "
        "without "
        "that patient.",
    )


def ingredients(
    condition: ConditionInfo, methods: tuple[str, ...], running: JobInfo | None, last: JobInfo | None
) -> str:
    """What an adaptation learns from, the one button, and the choice of method folded away.

    Args:
        condition: with its labelled patients, a mark each, and what is missing.
        methods: names of those that can be asked for.
        running: the job that is under way, or None; it takes the button's place, so that nothing moves.
        last: the job before; why it brought nothing is said until the next one is asked for.
    """
    rows = "".join(
        f"<li>{swatch(i)}<b>{esc(one.name)}</b><span>{plural(one.patients, 'patient')}</span>"
        f'<div class="wb-tally wb-tally-{i}" '
        f'aria-hidden="true">{"<i></i>" * min(one.patients, 40)}</div></li>'
        for i, one in enumerate(condition.classes)
    )
    left = [
        f"{plural(count, 'scan')} {what}"
        for count, what in (
            (condition.unlabelled, "without a label"),
            (condition.unsure, "unsure"),
            (condition.disputed, "disputed"),
        )
        if count
    ]
    aside = f'<p class="wb-aside">Left out: {", ".join(left)}.</p>' if left else ""
    stale = "The labels have changed since the version in use." if condition.status == "stale" else ""
    return (
        '<form class="wb-card wb-ingredients"><h3>Labelled patients</h3><ul '
        f'class="wb-shots">{rows}</ul>{aside}'
        f"{notice('warning', condition.missing)}{notice('info', '' if condition.missing else stale)}"
        f"{_outcome(last)}{_press(condition, methods, running)}</form>"
    )


def _outcome(last: JobInfo | None) -> str:
    if last is not None and last.state == "failed":
        return notice("refused", f"Adapting failed. {last.error}")
    if last is not None and last.state == "cancelled":
        return notice("info", "Adapting was stopped. Nothing was changed.")
    return ""


def _press(condition: ConditionInfo, methods: tuple[str, ...], running: JobInfo | None) -> str:
    if running is not None:
        away = '<p class="wb-aside">You may close this page: it goes on, and is shown again here.</p>'
        return f'<div class="wb-press">{progress(running, condition.level is not Level.READ)}{away}</div>'
    if condition.level is Level.READ:
        return '<p class="wb-aside">You may look and label here; whoever may edit the condition adapts.</p>'
    label = "Adapt again" if condition.version else "Adapt"
    pressed = button(
        f"{label} <kbd>Ctrl ⏎</kbd>", "adapt", kind="main wb-big", disabled=bool(condition.missing)
    )
    own = condition.draft.method
    options = "".join(
        f'<option value="{esc(name)}">{esc(_spoken(name))}</option>' for name in methods if name != own
    )
    first = f"As the condition says: {_spoken(own)}" if own else "Automatic: the best on your own patients"
    return (
        f'<div class="wb-press">{pressed}'
        '<details class="wb-fold" id="wb-method"><summary>Method</summary><div class="wb-field">'
        '<label for="wb-method-name">Adapt with</label><select id="wb-method-name" name="method">'
        f'<option value="">{esc(first)}</option>{options}</select></div></details></div>'
    )


def _spoken(name: str) -> str:
    """A method's name as people read it."""
    if name == "auto":
        return "Automatic"
    return name.replace("-", " ").capitalize() if len(name) > 4 else name.upper()


def nothing(condition: ConditionInfo) -> str:
    """In place of a result while there is none."""
    said = (
        esc(condition.missing)
        if condition.missing
        else "Press Adapt. What the model gets right on patients it has not seen appears here, with what "
        "that can and "
        "cannot tell you."
    )
    tool = button("Go to Label", "screen", "label") if condition.missing else ""
    return (
        f'<section class="wb-empty wb-empty-tall" aria-label="Result">{_ghost()}<h3>No version yet</h3>'
        f"<p>{said}</p>{tool}</section>"
    )


def result(version: VersionInfo, scans: Scans) -> str:
    """Everything that can be said of a version.

    Args:
        version: shown.
        scans: labelled scans by identifier; those no longer there are left out.
    """
    found = version.result
    pairs = (
        _panel("Confusion matrix", "press one to see the scans", matrix(found, scans))
        + _panel("Per class", "sensitivity, 95 % interval", _classes(found)),
        _panel("More patients", "forecast of the accuracy", _forecast(found))
        + _panel("When to call it", "threshold for the stated cost", _threshold(found)),
    )
    rows = "".join(f'<div class="wb-pair-of">{pair}</div>' for pair in pairs)
    return (
        f'<section class="wb-result" aria-label="Version {version.number}">{_verdict(version)}{rows}'
        f"{_panel('Labelled scans to look at', 'doubtful labels, copies, shortcuts', _doubts(found, scans))}"
        f"{_panel('How far it carries', 'calibration, promise, known conditions', _carries(found))}</section>"
    )


def _panel(title: str, aside: str, body: str) -> str:
    return f'<div class="wb-card wb-panel"><h3>{title} <small>{aside}</small></h3>{body}</div>'


def _verdict(version: VersionInfo) -> str:
    found = version.result
    title = f"Version {version.number}" + (" · in use" if version.active else "")
    value, way = found.accuracy, len(found.classes)
    if value is None or value.n == 0:
        said = found.too_few or "Every class needs at least two patients before a patient can be left out."
        return (
            f'<div class="wb-card wb-verdict-card"><span class="wb-kicker">{title}</span>'
            '<p class="wb-verdict">Too few to say</p>'
            f'<p class="wb-said">{esc(said)} Until then its readings come without any figure to weigh them '
            "by.</p></div>"
        )
    chance = 1 / way
    return (
        f'<div class="wb-card wb-verdict-card"><span class="wb-kicker">{title}</span>'
        f'<p class="wb-verdict">Right in <b>{value.successes}</b> of <b>{value.n}</b> patients'
        f'<span class="wb-range">{span(value.low, value.high)}</span></p>'
        f"{figures.dots(value)}{figures.scale(value, chance, 'Patients read right')}"
        f'<p class="wb-said">Each patient was read by a model that had not seen that patient. '
        f"{_against_chance(value, chance, way)} The interval (95 %) is for new patients of the same source; "
        "scans from elsewhere may be read worse.</p></div>"
    )


def _against_chance(value: Share95, chance: float, way: int) -> str:
    guess = f"guessing between {way} classes ({percent(chance)} %)"
    if value.low > chance:
        return f"That is better than {guess}."
    return f"<b>That is not shown to be better than {guess}.</b> Add patients, or look at the labels below."


def _classes(found: AdaptResult) -> str:
    rows = "".join(
        f'<tr><th scope="row"><span class="wb-named"><i class="wb-swatch wb-class-{i}"></i>{esc(name)}</span>'
        f"</th><td>{share(value)}</td><td>{figures.bar(value, i)}</td></tr>"
        for i, (name, value) in enumerate(zip(found.classes, found.sensitivities, strict=True))
    )
    more = "".join(
        f"<div><dt>{name}</dt><dd>{figure(value, percents)}</dd></div>"
        for name, value, percents in (
            ("Balanced accuracy", found.balanced_accuracy, True),
            ("AUROC", found.auroc, False),
        )
    )
    return (
        '<table class="wb-table wb-per-class"><thead class="wb-hidden"><tr><th scope="col">Class</th>'
        '<th scope="col">Read right</th><th scope="col">Interval</th></tr></thead>'
        f'<tbody>{rows}</tbody></table><dl class="wb-figures">{more}</dl>'
    )


def _forecast(found: AdaptResult) -> str:
    if len(found.curve) < 2:
        return (
            '<p class="wb-aside wb-tall">Too few patients to forecast what more of them would bring. '
            "From ten patients on, a forecast is drawn here.</p>"
        )
    have = sum(found.shots) / len(found.shots)
    last = max(found.curve, key=lambda point: point.shots)
    return (
        f"{figures.curve(found.curve, have, 1 / len(found.classes))}"
        f'<p class="wb-aside">With {last.shots:g} patients per class: {percent(last.expected)} % '
        f"expected, {span(last.low, last.high)} plausible. A forecast, not a result.</p>"
    )


def _threshold(found: AdaptResult) -> str:
    finding, miss_cost = found.classes[0], found.miss_cost
    otherwise = found.classes[1] if len(found.classes) == 2 else "another class"
    if miss_cost == 1:
        cost = f"A miss of {esc(finding)} weighs as much as a false alarm"
    elif miss_cost > 1:
        cost = f"A miss of {esc(finding)} weighs {miss_cost:g} false alarms"
    else:
        cost = f"A false alarm weighs {1 / miss_cost:g} misses of {esc(finding)}"
    return (
        f'<p class="wb-big-line">Call it {esc(finding)} from <b>{percent(found.threshold)} %</b> on</p>'
        f"{figures.threshold(found.threshold, finding, otherwise)}"
        f'<p class="wb-aside">{cost}, as the condition stated. The threshold is as good as the '
        "probabilities are calibrated; see below.</p>"
    )


def _doubts(found: AdaptResult, scans: Scans) -> str:
    cards = [
        _doubt(scans[scan_id], why, kind)
        for kind, pairs in (("Label doubtful", found.suspects), ("Out of place", found.odd))
        for scan_id, why in pairs
        if scan_id in scans
    ]
    listed = findings(found.shortcuts)
    limits = "".join(f"<li>{icon('info')}<span>{esc(line)}</span></li>" for line in found.limits)
    parts = ""
    if cards:
        parts += f'<ul class="wb-doubts">{"".join(cards)}</ul>'
    if listed or limits:
        parts += f'<ul class="wb-findings" aria-label="Shortcuts and copies">{listed}{limits}</ul>'
    if not cards and not listed:
        parts = f'<p class="wb-aside">{icon("ok")} Nothing doubtful was found.</p>{parts}'
    return parts


def _doubt(scan: ScanInfo, why: str, kind: str) -> str:
    picture = thumb(scan, "look", spoken="Look at it")
    return (
        f'<li>{picture}<div><b>{kind}</b><p>{esc(why)}</p><button type="button" class="wb-link" '
        f'data-action="look" data-value="{esc(scan.id)}">Look at it'
        f'<span class="wb-hidden"> (scan {scan.number})</span></button></div></li>'
    )


def _carries(found: AdaptResult) -> str:
    said = "".join(f"<li>{icon('info')}<span>{esc(line)}</span></li>" for line in found.statements)
    method = found.choice or f"Method: {found.method}, as asked for."
    return (
        f'<ul class="wb-findings">{said}</ul><dl class="wb-facts">'
        f"<div><dt>Method</dt><dd>{esc(method)}</dd></div>"
        f"<div><dt>Weights</dt><dd>{esc(found.weights)}</dd></div>"
        f"<div><dt>Learned from</dt><dd>{_shots(found)}</dd></div>"
        f"<div><dt>Took</dt><dd>{found.seconds:.1f} s of processor time</dd></div></dl>"
    )


def _shots(found: AdaptResult) -> str:
    return (
        ", ".join(
            f"{plural(count, 'patient')} of {esc(name)}"
            for name, count in zip(found.classes, found.shots, strict=True)
        )
        or TOO_FEW
    )


def _ghost() -> str:
    return (
        '<svg class="wb-ghost" viewBox="0 0 120 60" aria-hidden="true"><path d="M6 46h108M6 46V8"/>'
        '<path d="M10 40C34 20 60 16 112 13" class="wb-ghost-line"/>'
        '<path d="M10 46C34 32 60 26 112 22M10 30C34 12 60 8 112 6" class="wb-ghost-band"/></svg>'
    )
