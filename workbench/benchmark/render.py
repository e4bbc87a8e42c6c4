"""The tables of the medical benchmark as files: Markdown, JSON, CSV and a plot."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from workbench.benchmark.medical import Asked, Run
from workbench.benchmark.medical_page import as_markdown, titled
from workbench.benchmark.medical_plan import Base
from workbench.benchmark.medical_table import Table, interval_of, overview, read_table
from workbench.benchmark.plot import Line, draw
from workbench.data.catalogue import get_card
from workbench.evaluation.plaintext import NOTICE
from workbench.evaluation.statistics import mean_interval

_MEASURES = ("balanced_accuracy", "auroc", "accuracy")
_KEPT_CONDITIONS, _KEPT_EPISODES = ("dental_root_xray", "crc100k_mini"), 20
"""Of whose raw-pixel cells the JSON keeps the scores, so that a test can compute them again; few images."""


def write_tables(run: Run, folder: Path, asked: Asked) -> tuple[Path, ...]:
    """Write ``medical.md``, ``.json``, ``.csv`` and ``.png``.

    Args:
        run: whose cells are read.
        folder: to write into.
        asked: its number of episodes counts as complete.
    """
    table = read_table(run.plan, run.results, asked.episodes)
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / run.plan.name
    written = [
        (base.with_suffix(".md"), as_markdown(table)),
        (base.with_suffix(".json"), as_json(table)),
        (base.with_suffix(".csv"), as_csv(table)),
    ]
    for path, text in written:
        path.write_text(text, encoding="utf-8", newline="")
    picture = base.with_suffix(".png")
    draw(lines_of(table), picture)
    return (*(path for path, _ in written), picture)


def as_json(table: Table) -> str:
    """Plan, overview, and the first episodes of the cells that a test computes again."""
    lines, rankings = overview(table)
    kept = [
        {**asdict(cell.first(_KEPT_EPISODES)), "milliseconds": []}
        for key, cell in table.cells.items()
        if table.plan.row(key.row).base is Base.RAW_PIXELS and key.condition in _KEPT_CONDITIONS
    ]
    values = {
        "notice": NOTICE,
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn")},
        "plan": table.plan.model_dump(mode="json"),
        "complete_cells": len(table.cells),
        "overview": [asdict(line) for line in lines],
        "ranks": {str(shot): asdict(ranking) for shot, ranking in rankings.items()},
        "kept": kept,
    }
    return json.dumps(_finite(values), indent=1) + "\n"


def as_csv(table: Table) -> str:
    """One line for each complete cell."""
    out = io.StringIO()
    writer = csv.writer(out)
    limits = [f"{name}{end}" for name in _MEASURES for end in ("", "_low", "_high")]
    first = (
        "row",
        "method",
        "base",
        "condition",
        "modality",
        "fold",
        "way",
        "shot",
        "inner_steps",
        "episodes",
    )
    writer.writerow([*first, *limits, "auroc_n", "adapt_milliseconds"])
    for key, cell in table.cells.items():
        row = table.plan.row(key.row)
        found = [interval_of(cell, name) for name in _MEASURES]
        numbers = [x for one in found for x in (one.value, one.low, one.high)]
        writer.writerow(
            [
                *(key.row, row.method, row.base.value, key.condition, get_card(key.condition).modality),
                *(table.plan.fold_of(key.condition), cell.way, key.shot, cell.inner_steps, cell.episodes),
                *("" if math.isnan(x) else f"{x:.6f}" for x in numbers),
                *(found[1].n, f"{cell.adapt_milliseconds:.3f}"),
            ]
        )
    return out.getvalue()


def lines_of(table: Table) -> list[tuple[str, list[Line]]]:
    """For each condition, its title and the points of each plotted row."""
    out: list[tuple[str, list[Line]]] = []
    for name in table.plan.conditions:
        rows: list[Line] = []
        for row in table.plan.rows:
            if row.plotted:
                points = [
                    (shot, mean_interval(values, bounds=(0.0, 1.0)))
                    for shot in table.plan.evaluation.shots
                    if (values := table.values(row, name, shot, "balanced_accuracy")) is not None
                ]
                rows.append((row.label, points))
        out.append((titled(table, name), rows))
    return out


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
