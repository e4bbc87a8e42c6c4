"""The querying benchmark as files: Markdown, JSON and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from workbench.benchmark.querying import QueryingRun
from workbench.benchmark.querying_outlook import as_markdown as outlook_section
from workbench.benchmark.querying_outlook import read_foretold
from workbench.benchmark.querying_table import LEARNED, QueryingTable, read_table
from workbench.benchmark.ranking import Difference
from workbench.data.catalogue import get_card
from workbench.evaluation.plaintext import NOTICE
from workbench.evaluation.statistics import Interval, mean_interval
from workbench.querying import DEFAULT
from workbench.querying.strategies import strategies

_COLOURS = ("#000000", "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#d55e00")
"""Of Okabe and Ito, told apart by colour-blind readers."""
_COLUMNS = 3


def write_tables(run: QueryingRun, folder: Path) -> tuple[Path, ...]:
    """Write ``querying.md``, ``querying.json`` and one plot for each batch size that is measured.

    Args:
        run: whose curves are read; its number of episodes counts as complete.
        folder: to write into.
    """
    tables = [read_table(run.plan, run.store, batch, run.episodes) for batch in run.plan.batches]
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in tables:
        if table.conditions:
            picture = folder / _picture(table)
            draw(table, picture)
            written.append(picture)
    page, values = folder / f"{run.plan.name}.md", folder / f"{run.plan.name}.json"
    page.write_text(as_markdown(run, tables), encoding="utf-8", newline="")
    values.write_text(as_json(run, tables), encoding="utf-8", newline="")
    return (page, values, *written)


def as_markdown(run: QueryingRun, tables: Sequence[QueryingTable]) -> str:
    """The page: how it was made, then for each batch size the overview and every condition."""
    parts = [_preface(run)]
    for table in tables:
        parts.append(f"## {_title(table)}\n")
        if not table.conditions:
            parts.append("Not computed.\n")
            continue
        parts += [_verdict(table), _overview(table), f"![Label-efficiency curves]({_picture(table)})\n"]
        parts += [
            "Area under the curve by condition, % (± half the 95 % interval over episodes):\n",
            _areas(table),
        ]
    found = [one for name in run.plan.conditions if (one := read_foretold(run.outlooks, name)) is not None]
    if found:
        parts.append(outlook_section(found))
    parts.append(f"{NOTICE}\n")
    return "\n".join(parts)


def as_json(run: QueryingRun, tables: Sequence[QueryingTable]) -> str:
    """Plan, overview, areas and mean curves."""
    values = {
        "notice": NOTICE,
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn")},
        "plan": run.plan.model_dump(mode="json"),
        "default": DEFAULT,
        "batches": {str(table.batch): _values(table) for table in tables if table.conditions},
    }
    return json.dumps(values, indent=1) + "\n"


def _values(table: QueryingTable) -> dict[str, object]:
    best = table.best_heuristic
    return {
        "episodes": table.episodes,
        "labels": table.plan.labels(table.batch),
        "best_heuristic": best,
        "strategies": {
            name: {
                "area": asdict(table.overall(name)),
                "at_end": asdict(table.at_end(name)),
                f"minus_{table.plan.baseline}": asdict(table.minus(name, table.plan.baseline)),
                "minus_best_heuristic": asdict(table.minus(name, best)),
                "milliseconds": _milliseconds(table, name),
                "conditions": {
                    condition: {
                        "area": asdict(table.area(name, condition)),
                        f"minus_{table.plan.baseline}": asdict(
                            table.gain(name, table.plan.baseline, condition)
                        ),
                        "minus_best_heuristic": asdict(table.gain(name, best, condition)),
                        "curve": [
                            [round(x, 5) for x in (point.value, point.low, point.high)]
                            for point in _curve(table, name, condition)
                        ],
                    }
                    for condition in table.conditions
                },
            }
            for name in table.strategies
        },
    }


def draw(table: QueryingTable, path: Path) -> None:
    """One picture for each condition: balanced accuracy against labels, with 95 % intervals over episodes."""
    rows = -(-len(table.conditions) // _COLUMNS)
    figure = Figure(figsize=(3.6 * _COLUMNS, 2.6 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True).flatten()
    labels = table.plan.labels(table.batch)
    handles = {}
    for place, condition in zip(axes, table.conditions, strict=False):
        place.set_title(_named(table, condition), fontsize=9)
        for number, name in enumerate(table.strategies):
            points = _curve(table, name, condition)
            colour = _COLOURS[number % len(_COLOURS)]
            (line,) = place.plot(
                labels,
                [100 * p.value for p in points],
                color=colour,
                linewidth=2.2 if name == LEARNED else 1.2,
                linestyle="--" if name == table.plan.baseline else "-",
            )
            place.fill_between(
                labels, [100 * p.low for p in points], [100 * p.high for p in points], color=colour, alpha=0.1
            )
            handles[name] = line
        place.tick_params(labelsize=7)
        place.grid(axis="y", linewidth=0.3)
    for place in axes[len(table.conditions) :]:
        place.set_visible(False)
    figure.supxlabel(f"labels asked for, {table.batch} at a time", fontsize=9)
    figure.supylabel("balanced accuracy, % (95 % interval over episodes)", fontsize=9)
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper center", ncols=7, fontsize=8, frameon=False
    )
    figure.savefig(path, dpi=100)


def _preface(run: QueryingRun) -> str:
    plan = run.plan
    return f"""# Which scan should be labelled next

Made by `workbench benchmark querying --out RUN --tables docs/benchmarks` from
[querying.yaml](../../workbench/benchmark/querying.yaml); the figures are in [querying.json](querying.json).

- **Held out.** {len(plan.conditions)} conditions that neither the encoder `{plan.weights}` nor the learned
  policy has seen, nor anything of their origin.
- **Tasks.** {run.wanted} of each condition, the same for every strategy: {plan.start} labelled patient per
  class to start with, a pool of up to {plan.pool} scans in the condition's own proportions, and up to
  {plan.held_out} held-out patients per class (at most {100 * plan.share:.0f} % of them). The three share no
  patient.
- **Labels.** Up to {plan.budget}. `{plan.method}` adapts anew after every batch and is judged by balanced
  accuracy on the held-out patients. Every strategy prefers patients of whom nothing is labelled.
- **Area** under the label-efficiency curve: mean balanced accuracy over its points after the start.
  Differences are paired by task. Intervals are 95 %: over conditions, drawn by origin, in the overviews; over
  tasks for single conditions. An interval over tasks speaks of tasks drawn from *these* images.
- **Time** is processor time per scan suggested, median over tasks, then over conditions: describing the pool
  and scoring it, without adapting.
- `{LEARNED}` is the learned one ([how](../querying.md)); all others are heuristics. The default of `workbench
  suggest` is **`{DEFAULT}`**.
"""


def _verdict(table: QueryingTable) -> str:
    best = table.best_heuristic
    if LEARNED not in table.strategies:
        return f"The best heuristic is `{best}`. The learned policy is not measured.\n"
    found = table.minus(LEARNED, best)
    said = "beats" if table.learned_wins else "does not clearly beat"
    return (
        f"**The learned policy {said} the best heuristic**, which is `{best}` "
        f"(chosen in hindsight, on these very tasks): {_points(found.mean)} points of area.\n"
    )


def _overview(table: QueryingTable) -> str:
    best, base = table.best_heuristic, table.plan.baseline
    lines = [
        f"| strategy | source | area % | minus {base} | minus {best} | with all {table.plan.budget} labels % "
        "| ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in sorted(table.strategies, key=lambda one: -table.mean_area(one)):
        area, end = table.overall(name), table.at_end(name)
        lines.append(
            f"| {f'**{name}** (default)' if name == DEFAULT else name} | {strategies()[name].citation} "
            f"| {_percent(area)} | {_difference(table, name, base)} | {_difference(table, name, best)} "
            f"| {_percent(end)} | {_milliseconds(table, name):.1f} |"
        )
    lines.append(
        f"\n{len(table.conditions)} conditions, {table.episodes} tasks each. In brackets after a difference: "
        "on how many conditions the strategy is clearly better and clearly worse (interval over tasks).\n"
    )
    return "\n".join(lines)


def _areas(table: QueryingTable) -> str:
    best = table.best_heuristic
    learned = LEARNED in table.strategies
    heading = f" {LEARNED} minus {best} |" if learned else ""
    lines = [
        f"| condition | {' | '.join(table.strategies)} |{heading}",
        f"|---|{'---|' * (len(table.strategies) + learned)}",
    ]
    for condition in table.conditions:
        means = {name: table.area(name, condition) for name in table.strategies}
        most = max(one.value for one in means.values())
        cells = [
            f"{'**' if one.value == most else ''}{100 * one.value:.1f}{'**' if one.value == most else ''}"
            f" ± {50 * (one.high - one.low):.1f}"
            for one in means.values()
        ]
        gain = f" {_points(table.gain(LEARNED, best, condition))} |" if learned else ""
        lines.append(f"| {_named(table, condition)} | {' | '.join(cells)} |{gain}")
    return "\n".join(lines) + "\n"


def _curve(table: QueryingTable, strategy: str, condition: str) -> list[Interval]:
    return [mean_interval(values, bounds=(0.0, 1.0)) for values in table.curves[strategy, condition].T]


def _milliseconds(table: QueryingTable, strategy: str) -> float:
    return float(np.median([table.milliseconds[strategy, name] for name in table.conditions]))


def _difference(table: QueryingTable, first: str, second: str) -> str:
    if first == second:
        return "-"
    found: Difference = table.minus(first, second)
    return f"{_points(found.mean)} [{found.better}, {found.worse}]"


def _percent(found: Interval) -> str:
    return f"{100 * found.value:.1f} ({100 * found.low:.1f}-{100 * found.high:.1f})"


def _points(found: Interval) -> str:
    return f"{100 * found.value:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"


def _named(table: QueryingTable, condition: str) -> str:
    return f"{condition} ({get_card(condition).modality}, {table.ways[condition]}-way)"


def _title(table: QueryingTable) -> str:
    return "One label at a time" if table.batch == 1 else f"{table.batch} labels at a time"


def _picture(table: QueryingTable) -> str:
    return f"{table.plan.name}-{table.batch}.png"
