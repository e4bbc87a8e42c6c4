"""Table, picture and figures of the continual benchmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from workbench.benchmark.continual import META_TRAINING, META_VALIDATION, TITLES, ContinualResult, Outcome
from workbench.evaluation.continual import average_accuracy, backward_transfer, forgetting
from workbench.evaluation.statistics import Interval, mean_interval

Matrix = npt.NDArray[np.float64]
_SETTINGS = ("task-incremental", "class-incremental")
_FIGURES: tuple[tuple[str, Callable[[Matrix], float]], ...] = (
    ("average accuracy", average_accuracy),
    ("backward transfer", backward_transfer),
    ("forgetting", forgetting),
)


def write_page(result: ContinualResult, folder: Path) -> tuple[Path, ...]:
    """Write ``continual.md``, ``continual.json`` and ``continual.png``.

    Args:
        result: of the run.
        folder: made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"continual{ending}" for ending in (".md", ".json", ".png"))
    paths[0].write_text(_page(result), encoding="utf-8")
    paths[1].write_text(json.dumps(_plain(result)) + "\n", encoding="utf-8")
    _draw(result, paths[2])
    return paths


def matrix_of(one: Outcome, setting: str) -> Matrix:
    """Its accuracy matrix in a setting."""
    return one.task if setting == _SETTINGS[0] else one.whole


def figure(
    result: ContinualResult, method: str, setting: str, measure: Callable[[Matrix], float]
) -> Interval:
    """A figure of a method over runs, with Student's t interval."""
    values = [measure(matrix_of(o, setting)) for o in result.outcomes if o.method == method]
    return mean_interval(np.array(values))


def _page(result: ContinualResult) -> str:
    plan = result.plan
    lines = [
        "# Continual learning: one condition after another",
        "",
        f"Made by `workbench benchmark continual`. {len(plan.conditions)} real conditions that the weights "
        f"`{plan.weights}` have not seen ({', '.join(plan.conditions)}), learned one after another from "
        f"{plan.shots} labelled patients per class, in {plan.runs} orders drawn at random, each with its own "
        f"support, up to {plan.queries} further patients per class to read, its own neck and its own "
        "meta-training of OML. Intervals (95 %, Student's t) are over the runs; the images are the same in "
        "all.",
        "",
        f"All methods read the same cached embeddings of `{plan.weights}`; what is tuned is a residual neck "
        f"of 64 units on them ({plan.steps} steps of Adam at 0.001 on each condition), never the encoder. "
        f"OML is meta-trained for {plan.meta_steps} steps on streams of classes of "
        f"{', '.join(META_TRAINING)}. Strengths, chosen on sequences of meta-validation conditions "
        f"({', '.join(META_VALIDATION)}): "
        + ", ".join(f"{_strength_of(name)} {value:g}" for name, value in result.strengths.items())
        + ".",
        "",
        "*Task-incremental*: it is known which condition a scan is of. *Class-incremental*: all classes "
        "learned so far are compared. Average accuracy is that over all conditions after the last; backward "
        "transfer is its difference from the accuracy right after each condition was learned (negative: "
        "later ones did harm); forgetting is the difference from the best accuracy before. In percent.",
    ]
    for setting in _SETTINGS:
        lines += [
            "",
            f"## {setting.capitalize()}",
            "",
            "| method | average accuracy | backward transfer | forgetting |",
            "|---|---|---|---|",
        ]
        for method, title in TITLES.items():
            if method == "separate" and setting == _SETTINGS[1]:
                continue  # scores of different networks are not comparable
            cells = [_cell(figure(result, method, setting, measure)) for _, measure in _FIGURES]
            lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += [
        "",
        "## What the last condition changes",
        "",
        f"Runs in which the scores of all scans of the first {len(plan.conditions) - 1} conditions were "
        "bit-identical before and after the last one was added:",
        "",
    ]
    for method, title in TITLES.items():
        mine = [o.unchanged for o in result.outcomes if o.method == method]
        lines.append(f"- {title}: {sum(mine)} of {len(mine)}")
    lines += [
        "",
        "## Accuracy matrices, mean over runs (task-incremental)",
        "",
        "Row i: after the i-th condition was learned; column j: on the j-th. Orders differ between runs, so "
        "that row and column are positions and not conditions.",
    ]
    for method, title in TITLES.items():
        mean = np.mean([o.task for o in result.outcomes if o.method == method], axis=0)
        head = " | ".join(str(j + 1) for j in range(len(mean)))
        lines += ["", f"**{title}**", "", f"| after | {head} |", "|---|" + "---|" * len(mean)]
        for i, row in enumerate(mean):
            shown = " | ".join("" if np.isnan(v) else f"{100 * v:.0f}" for v in row)
            lines.append(f"| {i + 1} | {shown} |")
    lines += ["", "![Average accuracy on the conditions learned so far](continual.png)"]
    return "\n".join(lines) + "\n"


def _strength_of(name: str) -> str:
    return f"{TITLES[name]} (alpha)" if name == "oml" else TITLES[name]


def _cell(value: Interval) -> str:
    return f"{100 * value.value:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f})"


def _plain(result: ContinualResult) -> dict[str, object]:
    outcomes = [
        {
            "method": o.method,
            "run": o.run,
            "order": o.order,
            "unchanged": o.unchanged,
            **{setting: _rows(matrix_of(o, setting)) for setting in _SETTINGS},
        }
        for o in result.outcomes
    ]
    return {"plan": asdict(result.plan), "strengths": dict(result.strengths), "outcomes": outcomes}


def _rows(matrix: Matrix) -> list[list[float | None]]:
    """NaN is not JSON."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in matrix]


_COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of Okabe and Ito, told apart by colour-blind readers."""
_MARKS = "os^Dvx*"


def _draw(result: ContinualResult, path: Path) -> None:
    drawing = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(drawing)
    for place, setting in zip(drawing.subplots(1, 2, sharey=True), _SETTINGS, strict=True):
        for number, (method, title) in enumerate(TITLES.items()):
            if method == "separate" and setting == _SETTINGS[1]:
                continue
            mine = [np.nanmean(matrix_of(o, setting), axis=1) for o in result.outcomes if o.method == method]
            steps = np.arange(1, len(mine[0]) + 1)
            means = 100 * np.mean(mine, axis=0)
            place.plot(steps, means, color=_COLOURS[number], marker=_MARKS[number], markersize=4, label=title)
        place.set_title(setting, fontsize=10)
        place.set_xlabel("conditions learned", fontsize=9)
        place.grid(axis="y", linewidth=0.3)
        place.tick_params(labelsize=8)
    drawing.axes[0].set_ylabel("mean accuracy on the conditions learned so far, %", fontsize=9)
    lines = drawing.axes[0].get_legend_handles_labels()
    drawing.legend(*lines, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    drawing.savefig(path, dpi=100)
