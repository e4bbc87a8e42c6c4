"""The report of a condition as page and PDF, and the model card of a version as Markdown.

`document` says once what a report holds. Called by the export job (`workbench.service.exporting`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import numpy as np

from workbench.adaptation.model import AdaptedModel
from workbench.evaluation import plots
from workbench.evaluation.document import Document, Grid, Section
from workbench.evaluation.performance import TOO_FEW
from workbench.evaluation.plaintext import NOTICE
from workbench.evaluation.report import INTERVALS
from workbench.evaluation.statistics import Proportion, percent
from workbench.service.caselist import ListedCase
from workbench.service.facts import Facts, versions_of
from workbench.service.kinds import AdaptResult, Interval95, Share95, ShownReading
from workbench.service.overview import plural

_MOST_CASES = 2000


def report(facts: Facts) -> Document:
    """Everything known of a condition and its version.

    Args:
        facts: gathered in one view of the database.
    """
    title = f"{facts.info.draft.title}: condition report"
    sections = [_condition(facts), _labelled(facts)]
    if facts.version is not None:
        sections += [
            _estimate(facts.version.result),
            *_forecast(facts.version.result),
            _statements(facts.version.result),
            _doubts(facts),
        ]
    sections += [_readings(facts)]
    if facts.model is not None:
        sections.append(_method(facts, facts.model))
    sections.append(_made_with(facts))
    return Document(title, _stamp(), tuple(sections))


def model_card(facts: Facts, model: AdaptedModel) -> Document:
    """What a version is for, what it was made of, and how well it is expected to read.

    The headings follow Mitchell et al., "Model cards for model reporting" (FAT* 2019, section 4).
    """
    assert facts.version is not None
    result = facts.version.result
    title = f"{facts.info.draft.title}, version {facts.version.number}: model card"
    use = Section(
        "Intended use",
        (
            f"{NOTICE} It reads scans of the condition described below and says how sure it is; it is made "
            "for comparing few-shot methods and for research with clinicians, not for decisions about care.",
            "Out of scope: other modalities (refused), other body parts and populations (warned of), and any "
            "class that is not listed.",
        ),
    )
    factors = Section(
        "Factors",
        (
            "No attribute of a patient but the images is known to the model; differences between sex, age or "
            "ethnic groups were not and cannot be examined here.",
        ),
        facts=tuple(_population(facts)),
    )
    return Document(
        title,
        _stamp(),
        (
            _method(facts, model, "Model details"),
            use,
            _condition(facts),
            factors,
            _labelled(facts, "Training data: the labelled scans"),
            _estimate(result, "Metrics and evaluation"),
            *_forecast(result),
            _statements(result, "Quantitative statements"),
            _doubts(facts, "Caveats"),
            _made_with(facts),
        ),
    )


def _condition(facts: Facts) -> Section:
    draft, info = facts.info.draft, facts.info
    rows = [
        ("Condition", draft.title),
        ("Classes", ", ".join(draft.classes)),
        ("Modality", draft.modality or "any"),
        ("Body part", draft.body_part or "any"),
        *_population(facts),
        ("A miss weighs", f"as much as {draft.miss_cost:g} false alarms"),
        ("Labelled by", plural(facts.readers, "reader")),
        ("Made", _day(info.created)),
    ]
    if info.demo:
        rows.append(("Demonstration", "This is the demonstration condition."))
    return Section("Condition", facts=tuple(rows))


def _population(facts: Facts) -> list[tuple[str, str]]:
    draft = facts.info.draft
    stated = draft.prevalence
    shares = (
        ", ".join(f"{name} {percent(share)} %" for name, share in zip(draft.classes, stated, strict=True))
        if stated is not None
        else "not stated; every class counts the same"
    )
    return [("Population", draft.population or "not described"), ("Expected shares", shares)]


def _labelled(facts: Facts, heading: str = "Labelled scans") -> Section:
    info = facts.info
    rows = tuple((one.name, str(one.patients), str(one.scans)) for one in info.classes)
    left = (
        f"Without a label: {info.unlabelled}. Unsure: {info.unsure}. Disputed and left out: {info.disputed}. "
        "A shot is a patient."
    )
    return Section(heading, grid=Grid(("Class", "Patients", "Scans"), rows), remark=left)


def _estimate(result: AdaptResult, heading: str = "Expected performance") -> Section:
    facts = [
        ("Accuracy", _share(result.accuracy)),
        ("Balanced accuracy", _interval(result.balanced_accuracy, in_percent=True)),
        ("AUROC", _interval(result.auroc)),
        *(
            (f"Sensitivity, {name}", _share(value))
            for name, value in zip(result.classes, result.sensitivities, strict=True)
        ),
    ]
    counts = np.array(result.confusion, dtype=np.int64)
    drawings: list[tuple[str, plots.Drawing]] = []
    if counts.size and counts.any():
        drawings = [
            ("Readings against labels, left-out patients", partial(plots.confusion, result.classes, counts)),
            (
                "Sensitivity with 95 % interval",
                partial(plots.sensitivities, result.classes, tuple(map(_proportion, result.sensitivities))),
            ),
        ]
    head = ("label \\ read as", *result.classes)
    rows = tuple((name, *map(str, row)) for name, row in zip(result.classes, result.confusion, strict=False))
    texts = (
        "Leave one patient out: adapted to all other labelled patients, the one left out is read, and so on. "
        "It estimates how new patients of the same source are read; scans from elsewhere may be read worse.",
    )
    return Section(
        heading,
        texts + ((result.too_few,) if result.too_few else ()),
        tuple(facts),
        drawings=tuple(drawings),
        grid=Grid(head, rows) if rows else None,
        remark=INTERVALS,
    )


def _forecast(result: AdaptResult) -> tuple[Section, ...]:
    if not result.curve:
        return ()
    curve = result.curve
    draw = partial(
        plots.curve,
        [point.shots for point in curve],
        [point.expected for point in curve],
        [point.low for point in curve],
        [point.high for point in curve],
        float(np.mean(result.shots)),
    )
    rows = tuple(
        (f"{point.shots:g}", f"{percent(point.expected)} %", f"{percent(point.low)}-{percent(point.high)} %")
        for point in curve
    )
    head = ("Patients per class", "Expected accuracy", "95 % interval")
    return (
        Section(
            "What more patients would bring",
            drawings=(("Learning-curve forecast", draw),),
            grid=Grid(head, rows),
        ),
    )


def _statements(result: AdaptResult, heading: str = "Statements") -> Section:
    return Section(heading, points=result.statements)


def _doubts(facts: Facts, heading: str = "Shortcuts and doubts") -> Section:
    assert facts.version is not None
    result = facts.version.result
    points = [f"{one.message} {one.fix}".strip() for one in result.shortcuts]
    points += [f"{facts.name_of(scan)}: {why}" for scan, why in (*result.suspects, *result.odd)]
    points += list(result.limits)
    return Section(heading, points=tuple(points) or ("Nothing was found.",))


def _readings(facts: Facts) -> Section:
    if facts.version is None:
        return Section("Readings", ("Nothing has been adapted yet.",))
    classes, number = facts.version.result.classes, facts.version.number
    if not facts.cases:
        return Section("Readings", ("There is no case yet.",))
    shown = facts.cases[:_MOST_CASES]
    head = ("Case", *(f"p({name})" for name in classes), "Set", "Warnings", "Own reading", "Verdict")
    rows = tuple(_row(case, len(classes), number) for case in shown)
    abstained = frozenset(k for k, case in enumerate(shown) if case.reading and case.reading.none_of_these)
    calibrated = all(case.reading.calibrated for case in shown if case.reading)
    kind = "calibrated" if calibrated else "the model's own"
    promise = next((case.reading.promise for case in shown if case.reading and case.reading.promise), "")
    more = (
        f" The first {_MOST_CASES} of {len(facts.cases)} are listed." if len(facts.cases) > len(shown) else ""
    )
    return Section(
        "Readings",
        grid=Grid(head, rows, abstained),
        remark=f"Cases are numbered as on the screen. Probabilities are {kind}. {promise} A shaded case is "
        f"read as none of these, or is unlike every labelled scan: the model abstains.{more}",
    )


def _row(case: ListedCase, classes: int, version: int) -> tuple[str, ...]:
    reading = case.reading
    shares = tuple(f"{p:.3f}" for p in reading.probabilities) if reading else ("",) * classes
    own = "; ".join(f"{one.value} ({one.reader})" for one in case.last("own"))
    verdict = "; ".join(f"{one.value} ({one.reader})" for one in case.last("verdict", version))
    codes = ", ".join(one.code for one in case.findings if one.severity != "info")
    return (str(case.number), *shares, _set(reading), codes, own, verdict)


def _set(reading: ShownReading | None) -> str:
    if reading is None:
        return "not read"
    if reading.set is None:
        return f"{reading.label} (no set)"
    unlike = " (abstains)" if reading.none_of_these and reading.set else ""
    return (", ".join(reading.set) or "none of these") + unlike


def _method(facts: Facts, model: AdaptedModel, heading: str = "Method and weights") -> Section:
    assert facts.version is not None
    record, recipe = model.record, model.classifier.learner.recipe
    options = ", ".join(f"{name} = {value}" for name, value in record.options.items())
    rows = (
        ("Version", f"{facts.version.number}, made {_day(facts.version.created)} by {facts.version.by}"),
        ("Method", f"{record.method}. {facts.version.result.choice}".strip()),
        ("Source", type(model.classifier.learner).citation),
        ("Options", options or "none"),
        ("Weights", f"{record.learner or 'untitled'}, SHA-256 {record.learner_sha256}"),
        ("Model file", f"SHA-256 {facts.model_sha256}"),
        ("Labelled images", f"SHA-256 {record.support_sha256}"),
        ("Input", f"{recipe.size} px, {plural(recipe.channels, 'channel')}, volumes: {recipe.volume}"),
        ("Marked region", record.region or "none: scans were read whole"),
        ("Read as the first class from", f"probability {facts.version.result.threshold:.2f}"),
    )
    return Section(heading, facts=rows)


def _made_with(facts: Facts) -> Section:
    rows = [*versions_of().items(), ("Audit trail, head when this was made", facts.audit_head)]
    return Section(
        "Provenance",
        facts=tuple(rows),
        remark="File names and patient numbers are not kept. Whoever notes the audit trail's head elsewhere "
        "can show later whether the trail was changed since.",
    )


def _share(value: Share95 | None) -> str:
    return str(_proportion(value)) if value is not None else TOO_FEW


def _proportion(value: Share95 | None) -> Proportion | None:
    return None if value is None else Proportion(value.successes, value.n, value.low, value.high)


def _interval(value: Interval95 | None, in_percent: bool = False) -> str:
    if value is None:
        return TOO_FEW
    if in_percent:
        low, high = percent(value.low), percent(value.high)
        return f"{percent(value.value)} % ({low}-{high} %, n = {value.n})"
    return f"{value.value:.3f} ({value.low:.3f}-{value.high:.3f}, n = {value.n})"


def _stamp() -> str:
    return f"Made {datetime.now(UTC).strftime('%Y-%m-%d %H:%M UTC')} by the few-shot diagnosis workbench."


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
