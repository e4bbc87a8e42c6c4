"""The leave-one-patient-out estimate in words, a table and a confusion matrix."""

from __future__ import annotations

from ui.former.render.markup import esc, findings, icon, plural, short
from ui.former.session import Adapted
from workbench.evaluation.performance import TOO_FEW, Performance, said
from workbench.evaluation.statistics import Proportion, percent


def estimate(adapted: Adapted) -> str:
    """Everything that can be said about how well the adapted model reads."""
    result = adapted.estimate.performance
    return (
        f'<section class="wb-estimate" aria-label="Estimate">{_headline(result)}'
        f"{_table(result)}{_confusion(result)}{_labelled_scans(adapted)}{_choice(adapted)}"
        f"{_unjudged(adapted)}{_odd(adapted)}</section>"
    )


def in_words(result: Performance) -> str:
    """``right in 17 of 20 patients (62-97 %)``, or that there are too few to say."""
    accuracy = result.accuracy
    if accuracy is None:
        return f"{TOO_FEW} (every class needs two patients or more)"
    return f"right in {accuracy.successes} of {plural(accuracy.n, 'patient')} ({interval(accuracy)})"


def interval(value: Proportion) -> str:
    """Both limits in percent."""
    return f"{percent(value.low)}-{percent(value.high)} %"


def _headline(result: Performance) -> str:
    accuracy = result.accuracy
    if accuracy is None:
        return (
            '<div class="wb-headline"><p class="wb-verdict">Too few to say</p>'
            "<p>Every class needs at least two patients before the model can be tried on a patient "
            "it has not seen. Add scans of other patients.</p></div>"
        )
    return (
        f'<div class="wb-headline"><p class="wb-verdict">Right in <b>{accuracy.successes}</b> of '
        f"<b>{accuracy.n}</b> patients</p>{_scale(accuracy, 1 / len(result.classes))}"
        f"<p>Each patient was read by a model that had not seen that patient. With {accuracy.n} patients, "
        f"the true share of right readings plausibly lies between <b>{percent(accuracy.low)} %</b> and "
        f"<b>{percent(accuracy.high)} %</b> (95 % interval). {_compare(accuracy, len(result.classes))} "
        "It holds for other patients of the same source; scans from elsewhere may be read worse.</p></div>"
    )


def _compare(accuracy: Proportion, way: int) -> str:
    chance = 1 / way
    if accuracy.low > chance:
        return f"This is better than guessing between {way} classes ({percent(chance)} %)."
    return (
        f"<b>This is not shown to be better than guessing</b> between {way} classes ({percent(chance)} %). "
        "Add patients, or try another method."
    )


def _scale(value: Proportion, chance: float) -> str:
    """The interval on a line from 0 to 100 %."""
    low, high, here = 100 * value.low, 100 * value.high, 100 * value.value
    spoken = f"{percent(value.value)} %, 95 % interval {interval(value)}; guessing {percent(chance)} %"
    return (
        f'<div class="wb-scale" role="img" aria-label="{spoken}">'
        f'<i class="wb-chance" style="left:{100 * chance:.1f}%"><span>guessing</span></i>'
        f'<i class="wb-range" style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
        f'<i class="wb-point" style="left:{here:.1f}%"></i>'
        '<span class="wb-tick" style="left:0">0</span><span class="wb-tick" style="left:50%">50</span>'
        '<span class="wb-tick wb-last" style="left:100%">100 %</span></div>'
    )


def _table(result: Performance) -> str:
    rows = []
    for index, (name, value) in enumerate(zip(result.classes, result.sensitivities, strict=True)):
        counts = result.confusion[index]
        shown = "–" if value is None else f"{int(counts[index])} of {int(counts.sum())}"
        limits = TOO_FEW if value is None else f"{percent(value.value)} % ({interval(value)})"
        rows.append(
            f'<tr><th scope="row"><div class="wb-named"><span class="wb-swatch wb-class-{index}"></span>'
            f"{esc(name)}</div></th>"
            f"<td>{shown}</td><td>{limits}</td></tr>"
        )
    more = "".join(
        f"<div><dt>{name}</dt><dd>{esc(said(value))}</dd></div>"
        for name, value in (("Balanced accuracy", result.balanced_accuracy), ("AUROC", result.auroc))
    )
    return (
        '<div class="wb-panel"><h3>Per class</h3><table class="wb-table"><thead><tr>'
        '<th scope="col">Class</th><th scope="col">Read right</th>'
        '<th scope="col">Sensitivity (95 % interval)</th></tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table><dl class="wb-figures">{more}</dl></div>'
    )


def _confusion(result: Performance) -> str:
    heads = "".join(f'<th scope="col">{esc(name)}</th>' for name in result.classes)
    most = max(1, int(result.confusion.max()))
    rows = []
    for index, name in enumerate(result.classes):
        cells = "".join(
            f'<td class="{"wb-right" if index == column else "wb-wrong"}" '
            f'style="--share:{count / most:.2f}">{count}</td>'
            for column, count in enumerate(result.confusion[index].tolist())
        )
        rows.append(f'<tr><th scope="row">{esc(name)}</th>{cells}</tr>')
    return (
        '<div class="wb-panel"><h3>Confusion matrix <small>patients</small></h3>'
        '<table class="wb-table wb-confusion"><thead><tr><td>true class ↓ &nbsp; read as →</td>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _labelled_scans(adapted: Adapted) -> str:
    """What is doubtful about the labelled scans, and what could not be judged."""
    found = adapted.doubtful
    listed = findings(found.findings)
    shown = (
        f'<ul class="wb-findings">{listed}</ul>' if listed else '<p class="wb-aside">Nothing doubtful.</p>'
    )
    limits = "".join(f'<p class="wb-aside">{esc(line)}</p>' for line in found.limits)
    return (
        '<div class="wb-panel wb-doubtful"><h3>Labelled scans <small>labels, copies, acquisition</small></h3>'
        f"{shown}{limits}</div>"
    )


def _choice(adapted: Adapted) -> str:
    """How the method was chosen, where it was."""
    said = adapted.model.record.choice
    return f'<p class="wb-aside wb-choice">{icon("info")}<span>{esc(said)}</span></p>' if said else ""


def _unjudged(adapted: Adapted) -> str:
    left = int((~adapted.estimate.judged).sum())
    if not left:
        return ""
    return (
        f'<p class="wb-aside">{icon("info")}<span>{plural(left, "scan")} could not be tried: '
        "the class has no other patient to learn from.</span></p>"
    )


def _odd(adapted: Adapted) -> str:
    """Labelled scans that the encoder finds out of place."""
    items = "".join(
        findings(found).replace("<span>", f"<span><b>{esc(short(held.scan.provenance.source))}</b> ", 1)
        for held, found in zip(adapted.scans, adapted.odd, strict=False)
        if found
    )
    return f'<ul class="wb-findings" aria-label="Labelled scans to look at">{items}</ul>' if items else ""
