"""The reading benchmark as files: Markdown, JSON and a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from workbench.adaptation.experience import Learned
from workbench.adaptation.similarity import Evidence
from workbench.benchmark.ranking import mean_over_conditions
from workbench.benchmark.reading import SHOTS, origin_of
from workbench.benchmark.reading_shift import MEASURES, Other, OwnLine, ShiftLine
from workbench.benchmark.reading_table import COVERAGES, SHARES, Line, SetLine
from workbench.evaluation.plaintext import NOTICE
from workbench.evaluation.statistics import Interval, Proportion, proportion


@dataclass(frozen=True, slots=True)
class Found:
    """Everything the benchmark measured.

    Attributes:
        method: that adapted.
        held_out, validation: conditions by their part in making the encoder.
        lines, shift, own: see `reading_table` and `reading_shift`.
        evidence: of nearness, over all conditions measured.
        learned: the shipped experience.
        command: that made it.
    """

    method: str
    held_out: tuple[str, ...]
    validation: tuple[str, ...]
    lines: tuple[Line, ...]
    shift: tuple[ShiftLine, ...]
    own: tuple[OwnLine, ...]
    evidence: Evidence
    learned: Learned
    command: str


def write_pages(found: Found, folder: Path) -> tuple[Path, ...]:
    """Write ``reading.md``, ``.json`` and ``.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "reading"
    written = [(base.with_suffix(".md"), as_markdown(found)), (base.with_suffix(".json"), as_json(found))]
    for path, text in written:
        path.write_text(text, encoding="utf-8", newline="")
    draw(found.lines, base.with_suffix(".png"))
    return (*(path for path, _ in written), base.with_suffix(".png"))


def as_json(found: Found) -> str:
    """Every figure."""
    return json.dumps(_finite({"notice": NOTICE, **asdict(found)}), indent=1) + "\n"


def interval_total(lines: Sequence[Line]) -> Proportion:
    """Episodes whose leave-one-patient-out interval holds the accuracy."""
    return proportion(sum(x.interval_holds for x in lines), sum(x.judged for x in lines))


def widened_total(lines: Sequence[Line]) -> Proportion:
    """The same of the interval that minds how dependent such readings are."""
    return proportion(sum(x.widened_holds for x in lines), sum(x.judged for x in lines))


def forecast_total(lines: Sequence[Line]) -> Proportion:
    """Forecasts whose interval holds what then happened."""
    return proportion(sum(x.forecast_holds for x in lines), sum(x.forecasts for x in lines))


def as_markdown(found: Found) -> str:
    """The page."""
    return "\n".join(
        (
            *_preface(found),
            *_summary(found),
            *_calibration(found),
            *_sets(found),
            *_selective(found),
            *_shift(found),
            *_expected(found),
            "",
            NOTICE,
            "",
        )
    )


def _preface(found: Found) -> list[str]:
    episodes = max(x.episodes for x in found.lines)
    return [
        "# What surrounds a reading",
        "",
        f"Made by `{found.command}`: `{found.method}` on the shipped encoder `general`, on "
        f"{len(found.held_out)} held-out "
        f"conditions and {len(found.validation)} that only chose the encoder's checkpoint (marked *). "
        f"What is known "
        f"beforehand (temperature, growth, the margin of strangeness) was learned on the latter: held-out "
        f"conditions are "
        "read with the shipped file, and each of the latter with one learned without its origin. At most "
        f"{episodes} episodes per condition and number of shots, 2 to 5 classes each (drawn), up to 100 "
        f"scans per class "
        "read, at most 150 images per class. Intervals (95 %) are over episodes; those of means over "
        "conditions are over "
        "conditions, drawn by origin.",
        "",
    ]


def _summary(found: Found) -> list[str]:
    out = [
        "| | " + " | ".join(f"{s} shots" for s in SHOTS) + " |",
        "|---" * (len(SHOTS) + 1) + "|",
    ]

    def row(title: str, cell: Callable[[Sequence[Line]], str]) -> None:
        cells = [cell([x for x in found.lines if x.shots == s]) for s in SHOTS]
        out.append(f"| {title} | " + " | ".join(cells) + " |")

    row("conditions", lambda xs: str(len(xs)))
    row("calibration error, the model's own", lambda xs: _mean(xs, lambda x: x.ece_before.value))
    row("... expected temperature", lambda xs: _mean(xs, lambda x: x.ece_prior.value))
    row("... refined on left-out patients", lambda xs: _mean(xs, lambda x: x.ece_after.value))
    row("conditions where it fell / rose clearly", _fell)
    row("log-loss, the model's own", lambda xs: _mean(xs, lambda x: x.loss_before.value))
    row("... calibrated", lambda xs: _mean(xs, lambda x: x.loss_after.value))
    for place, asked in enumerate(COVERAGES):

        def of(figure: Callable[[SetLine], float], place: int = place) -> Callable[[Sequence[Line]], str]:
            return lambda xs: _mean(xs, lambda x: figure(x.sets[place]))

        row(f"sets at {100 * asked:.0f} %: coverage", of(lambda s: s.coverage.value))
        row("... classes in a set", of(lambda s: s.size.value))
        row("... conditions within / above / below the promise", partial(_verdicts, place=place))
        row("... episodes declined", of(lambda s: s.declined))
    row("leave-one-patient-out: exact interval holds the accuracy", lambda xs: str(interval_total(xs)))
    row("... widened for dependence", lambda xs: str(widened_total(xs)))
    row("forecast interval holds what then happened", lambda xs: str(forecast_total(xs)))
    exact, wide = interval_total(found.lines), widened_total(found.lines)
    out += ["", f"Leave one patient out, all episodes: exact interval {exact}, widened {wide}.", ""]
    return out


def _calibration(found: Found) -> list[str]:
    out = [
        "## Calibration",
        "",
        "Expected calibration error (15 bins of equally many scans), by the model's softmax and after "
        "scaling; "
        "`workbench/adaptation/calibration.py` has the equations.",
        "",
        "| condition | shots | classes | accuracy | before | expected temperature | after | log-loss "
        "before | after |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for x in found.lines:
        out.append(
            f"| {_named(found, x.condition)} | {x.shots} | {x.way:.1f} | {_short(x.accuracy)} | "
            f"{_short(x.ece_before)} | "
            f"{_short(x.ece_prior)} | {_short(x.ece_after)} | {x.loss_before.value:.3f} | "
            f"{x.loss_after.value:.3f} |"
        )
    return [*out, ""]


def _sets(found: Found) -> list[str]:
    heads = " | ".join(f"{100 * c:.0f} %: coverage | classes | promise" for c in COVERAGES)
    out = [
        "## Prediction sets",
        "",
        "Cross-conformal over left-out patients, for each class where its patients suffice, over all "
        "classes together "
        "where only these do, otherwise declined (the share of episodes is given, and the coverage is "
        "that of the set at "
        "the largest coverage that could be promised). Coverage counts every class the same. *Within*: "
        "the interval of the "
        "coverage reaches the promise, and does not begin above what exchangeable patients would give, "
        "which moves in steps of "
        "one patient. *Above* is wider than need be; *below* is a broken promise.",
        "",
        f"| condition | shots | {heads} |",
        "|---|---" + "|---|---|---" * len(COVERAGES) + "|",
    ]
    for x in found.lines:
        cells = []
        for s in x.sets:
            said = s.verdict + (f", {100 * s.declined:.0f} % declined" if s.declined else "")
            said += ", per class" if s.per_class == 1 else ""
            cells.append(f"{_short(s.coverage)} | {s.size.value:.2f} | {said}")
        out.append(f"| {_named(found, x.condition)} | {x.shots} | " + " | ".join(cells) + " |")
    return [*out, ""]


def _selective(found: Found) -> list[str]:
    shares = (1.0, 0.8, 0.5, 0.2)
    places = [SHARES.index(s) for s in shares]
    out = [
        "## Abstention",
        "",
        "Accuracy of the scans the model is most sure of, calibrated, all episodes of a condition together.",
        "",
        "![Accuracy of the most confident scans, and reliability before and after](reading.png)",
        "",
        "| condition | shots | " + " | ".join(f"{100 * s:.0f} % read" for s in shares) + " |",
        "|---|---" + "|---" * len(shares) + "|",
    ]
    for x in found.lines:
        cells = " | ".join(f"{100 * x.selective[p]:.0f}" for p in places)
        out.append(f"| {_named(found, x.condition)} | {x.shots} | {cells} |")
    for s in SHOTS:
        mine = [x for x in found.lines if x.shots == s]
        means = [_over(mine, [100 * x.selective[p] for x in mine], 1) for p in places]
        cells = " | ".join(means)
        out.append(f"| **mean** | {s} | {cells} |")
    return [*out, ""]


def _shift(found: Found) -> list[str]:
    out = [
        "## Shift",
        "",
        "**Is this scan like the support?** AUROC of telling scans that do not belong from scans of the "
        "condition, mean over "
        "conditions. The energy is of a linear probe on the same support: the committee behind `auto` "
        "averages "
        "probabilities and has none. *Flagged* and *false alarms*: share called unlike the support at "
        "the learned margin "
        f"({found.learned.margin:.2f} times the usual distance, set for 5 % false alarms elsewhere).",
        "",
        "| scans of | shots | conditions | " + " | ".join(MEASURES) + " | flagged | false alarms |",
        "|---|---|---" + "|---" * len(MEASURES) + "|---|---|",
    ]
    for kind in Other:
        for s in SHOTS:
            mine = [x for x in found.shift if x.shots == s and x.other is kind]
            cells = [_over(mine, [x.auroc[i] for x in mine]) for i in range(len(MEASURES))]
            cells += [_over(mine, [x.flagged for x in mine]), _over(mine, [x.false_alarms for x in mine])]
            out.append(f"| {kind.value} | {s} | {len(mine)} | " + " | ".join(cells) + " |")
    out += [
        "",
        "**Is the cohort drifting?** Share of cohorts of 20 patients that the test calls drifting (p <= "
        "0.01); cohorts too small "
        "on either side to say are left out.",
        "",
        "| cohort | " + " | ".join(f"{s} shots" for s in SHOTS) + " |",
        "|---" * (len(SHOTS) + 1) + "|",
    ]
    for title, of in (
        ("the same condition, classes balanced", "balanced"),
        ("the same, four in five of one class", "skewed"),
    ):
        cells = []
        for s in SHOTS:
            own = [x for x in found.own if x.shots == s]
            cells.append(_over(own, [float(getattr(x, of)) for x in own]))
        out.append(f"| {title} | " + " | ".join(cells) + " |")
    for kind in Other:
        cells = []
        for s in SHOTS:
            mine = [x for x in found.shift if x.shots == s and x.other is kind]
            cells.append(_over(mine, [x.drift for x in mine]))
        out.append(f"| {kind.value} | " + " | ".join(cells) + " |")
    e, shipped = found.evidence, found.learned.evidence
    out += [
        "",
        "**Is this condition like anything seen in meta-training?** Rank correlation of the distance to "
        "the nearest known "
        f"condition with accuracy (as a share of the way from guessing to perfect), conditions of one "
        f"origin as one: "
        f"{_rho(e)} over all measured, {_rho(shipped)} over those the shipped file learned from. An "
        f"accuracy to expect is "
        f"stated only where the interval lies below zero: it is "
        f"{'stated' if shipped.predicts else 'withheld'}.",
        "",
    ]
    return out


def _expected(found: Found) -> list[str]:
    out = [
        "## Expected performance",
        "",
        "Episodes (with 20 scans or more of each class to measure on) whose leave-one-patient-out interval, "
        "exact and widened for the dependence learned elsewhere, holds the accuracy on scans no model had "
        "seen, and "
        "forecasts of five more patients per class whose interval holds the accuracy then measured.",
        "",
        "| condition | shots | exact holds | widened holds | forecast holds | mean error of the forecast |",
        "|---|---|---|---|---|---|",
    ]
    for x in found.lines:
        later = f"{x.forecast_holds} of {x.forecasts}" if x.forecasts else "too few patients"
        error = "-" if math.isnan(x.forecast_error) else f"{100 * x.forecast_error:.1f} points"
        out.append(
            f"| {_named(found, x.condition)} | {x.shots} | {x.interval_holds} of {x.judged} | "
            f"{x.widened_holds} of {x.judged} | {later} | {error} |"
        )
    return out


def draw(lines: Sequence[Line], path: Path) -> None:
    """Selective accuracy, and reliability before and after."""
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    for axes, shots in ((left, SHOTS[0]), (middle, SHOTS[1])):
        mine = [x for x in lines if x.shots == shots]
        shares = [100 * s for s in SHARES]
        for x in mine:
            axes.plot(shares, [100 * v for v in x.selective], color="#999999", linewidth=0.7)
        if mine:
            mean = np.mean([x.selective for x in mine], axis=0)
            axes.plot(shares, 100 * mean, color="#0072b2", linewidth=2.2, label="mean of conditions")
            axes.legend(frameon=False, fontsize=8, loc="lower left")
        axes.set_title(f"{shots} patients per class", fontsize=10)
        axes.set_xlabel("most confident share read, %")
        axes.set_ylabel("accuracy of what is read, %")
        axes.grid(linewidth=0.3)
    _draw_reliability(right, lines)
    figure.savefig(path, dpi=100)


def _draw_reliability(axes: Axes, lines: Sequence[Line]) -> None:
    for place, (label, colour, marker) in enumerate(
        (("the model's own", "#d55e00", "s"), ("calibrated", "#0072b2", "o"))
    ):
        table = np.array([x.reliability[place] for x in lines])
        confidence, accuracy = 100 * table.mean(axis=0).T
        axes.plot(confidence, accuracy, marker=marker, color=colour, markersize=4, label=label)
    axes.plot([20, 100], [20, 100], color="#999999", linewidth=0.8, linestyle="--")
    axes.set_title("reliability, mean of conditions", fontsize=10)
    axes.set_xlabel("confidence, %")
    axes.set_ylabel("accuracy, %")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.grid(linewidth=0.3)


def _named(found: Found, name: str) -> str:
    return f"{name} *" if name in found.validation else name


def _mean(lines: Sequence[Line], of: Callable[[Line], float], digits: int = 3) -> str:
    return _over(lines, [of(x) for x in lines], digits)


def _over(lines: Sequence[Line | ShiftLine | OwnLine], values: Sequence[float], digits: int = 3) -> str:
    kept = [(v, origin_of(x.condition)) for x, v in zip(lines, values, strict=True) if not math.isnan(v)]
    if not kept:
        return "-"
    found = mean_over_conditions(np.array([v for v, _ in kept]), [o for _, o in kept])
    if math.isnan(found.low):
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} ({found.low:.{digits}f}-{found.high:.{digits}f})"


def _fell(lines: Sequence[Line]) -> str:
    fell = sum(x.ece_after.high < x.ece_before.low for x in lines)
    rose = sum(x.ece_after.low > x.ece_before.high for x in lines)
    return f"{fell} / {rose}"


def _verdicts(lines: Sequence[Line], place: int) -> str:
    said = [x.sets[place].verdict for x in lines]
    return " / ".join(str(said.count(word)) for word in ("within", "above", "below"))


def _short(value: Interval) -> str:
    if math.isnan(value.low):
        return f"{value.value:.3f}"
    return f"{value.value:.3f} ({value.low:.3f}-{value.high:.3f})"


def _rho(found: Evidence) -> str:
    return f"{found.correlation:+.2f} ({found.low:+.2f} to {found.high:+.2f}, {found.conditions} origins)"


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
