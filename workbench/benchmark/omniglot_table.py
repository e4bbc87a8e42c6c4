"""The Omniglot table in Markdown, and its figures as JSON; written by ``workbench benchmark omniglot``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.benchmark.omniglot import OmniglotPlan, Published, Row, plan_digest
from workbench.benchmark.results import Key, Results
from workbench.evaluation.statistics import Interval, mean_interval

TOLERANCE = 0.5
"""Points below its published figure at which a method counts as not reproduced."""
KEPT_EPISODES = 20
"""First episodes whose accuracies are kept beside each figure, so that a test can compute them again."""


_PAGE = """\
# Omniglot against what was published

Made by `workbench benchmark omniglot` from its plan (`workbench/benchmark/omniglot.yaml`), which holds every
training setting. 1,200 characters in four rotations for training, 423 others in four rotations for testing
(Vinyals et al. 2016; splits of Snell et al. 2017), Conv-4 at 28 px, {episodes} test episodes of {queries}
queries per class, the same for every row. Accuracy in % with its 95 % interval over episodes; one seed of
training, whose spread the intervals do not hold. Each image counts as a patient of its own, as in the
published protocol.

*Start*: the run whose encoder the method's training began with; where it is empty, training began from random
weights, as in the papers.

"""
_ALONE = """## Inductive

A reading depends on the support and on the one image that is read.
"""
_TOGETHER = """
## Transductive

Normalisers take the statistics of the whole query, whose classes are balanced: a help that no clinic has.
Only for comparison with papers that report it; the workbench refuses such weights elsewhere.

"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One cell of the table.

    Attributes:
        label: of the row, ``(transductive)`` included.
        method, start: learner, and the run its encoder comes from.
        transductive: whether queries are read together.
        way, shot: of the episodes.
        inner_steps: gradient steps of each adaptation.
        accuracy: mean over episodes, 0 to 1; None where it was not computed.
        published: per cent, None where there is none under this protocol.
        source: of the published figure.
        milliseconds: median processor time of an adaptation.
        first: accuracies of the first episodes.
    """

    label: str
    method: str
    start: str
    transductive: bool
    way: int
    shot: int
    inner_steps: int
    accuracy: Interval | None
    published: float | None
    source: str
    milliseconds: float
    first: tuple[float, ...]

    @property
    def falls_short(self) -> bool:
        """Whether the accuracy lies more than `TOLERANCE` below the published one."""
        if self.accuracy is None or self.published is None:
            return False
        return 100 * self.accuracy.value < self.published - TOLERANCE


def figures(plan: OmniglotPlan, results: Results, earlier: Sequence[Figure] = ()) -> tuple[Figure, ...]:
    """Every cell of the plan, computed or not.

    Args:
        plan: see there.
        results: of this run.
        earlier: figures of `read_figures`, taken where this run has none.
    """
    known = {(f.label, f.way, f.shot): f for f in earlier}
    found = (_figure(plan, row, key, results) for row in plan.rows for key in plan.keys(row))
    return tuple(f if f.accuracy else known.get((f.label, f.way, f.shot), f) for f in found)


def read_figures(plan: OmniglotPlan, file: Path) -> tuple[Figure, ...]:
    """Computed figures that an earlier run wrote, of rows that its plan decided as this one does.

    Args:
        plan: that the figures must agree with, training of their weights and episodes included.
        file: ``omniglot.json``; where there is none, nothing is known.
    """
    if not file.is_file():
        return ()
    stored = json.loads(file.read_text(encoding="utf-8"))
    before = OmniglotPlan.model_validate(stored["plan"])
    same = {
        plan.key_label(row): row
        for row in plan.rows
        for old in before.rows
        if before.key_label(old) == plan.key_label(row)
        and before.episodes == plan.episodes
        and plan_digest(before, old) == plan_digest(plan, row)
    }
    return tuple(
        _restored(plan, same[values["label"]], values)
        for values in stored["figures"]
        if values["label"] in same and values["accuracy"] is not None
    )


def _restored(plan: OmniglotPlan, row: Row, values: dict[str, Any]) -> Figure:
    said = _said(row, values["way"], values["shot"])  # what papers report may have been put right since
    return Figure(
        **{
            **values,
            "accuracy": Interval(**values["accuracy"]),
            "first": tuple(values["first"]),
            "published": said.accuracy if said else None,
            "source": said.source if said else "",
        }
    )


def _said(row: Row, way: int, shot: int) -> Published | None:
    return next((p for p in row.published if (p.way, p.shot) == (way, shot)), None)


def _figure(plan: OmniglotPlan, row: Row, key: Key, results: Results) -> Figure:
    run = plan.runs[row.run]
    cell = results.read(key)
    if cell is not None and cell.decided.plan != plan_digest(plan, row):
        cell = None  # of an earlier plan
    said = _said(row, key.way, key.shot)
    return Figure(
        label=key.row,
        method=row.method or run.method,
        start=run.start or ("" if row.method in ("", run.method) else row.run),
        transductive=run.transductive,
        way=key.way,
        shot=key.shot,
        inner_steps=cell.inner_steps if cell else 0,
        accuracy=mean_interval(np.array(cell.accuracy), bounds=(0.0, 1.0)) if cell else None,
        published=said.accuracy if said else None,
        source=said.source if said else "",
        milliseconds=cell.adapt_milliseconds if cell else float("nan"),
        first=cell.accuracy[:KEPT_EPISODES] if cell else (),
    )


def write_tables(plan: OmniglotPlan, results: Results, folder: Path) -> tuple[Path, Path]:
    """Write ``omniglot.md`` and ``omniglot.json`` into a folder.

    Figures that the folder's JSON holds already are kept where the same plan made them: the table takes
    longer than a night, and need not be computed in one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text, values = folder / "omniglot.md", folder / "omniglot.json"
    found = figures(plan, results, read_figures(plan, values))
    text.write_text(as_markdown(plan, found), encoding="utf-8")
    described = {
        "plan": plan.model_dump(mode="json"),
        "figures": [{**asdict(f), "milliseconds": f.milliseconds if f.accuracy else None} for f in found],
    }
    values.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    return text, values


def as_markdown(plan: OmniglotPlan, found: Sequence[Figure]) -> str:
    """The page: one table of inductive readings, one of transductive ones, and what falls short."""
    inductive = [f for f in found if not f.transductive]
    transductive = [f for f in found if f.transductive]
    short = [f for f in found if f.falls_short]
    missing = sum(f.accuracy is None for f in found)
    lines = _PAGE.format(episodes=plan.episodes, queries=plan.queries).splitlines()
    if plan.looks:
        lines += [f"*Looked at before*: {plan.looks.strip()}", ""]
    lines += [*_ALONE.splitlines(), "", *_table(inductive)]
    if transductive:
        lines += [*_TOGETHER.splitlines(), *_table(transductive)]
    lines += ["", "## What falls short", ""]
    lines += [
        f"- {f.label}, {f.way}-way {f.shot}-shot: {_value(f)} against {f.published} ({f.source})."
        for f in short
    ] or [f"No computed figure lies more than {TOLERANCE} points below the published one in the same column."]
    if missing:
        lines += ["", f"{missing} of {len(found)} figures were not computed."]
    return "\n".join(lines) + "\n"


def _table(found: Sequence[Figure]) -> list[str]:
    columns = sorted({(f.way, f.shot) for f in found})
    head = [f"{way}-way {shot}-shot | published" for way, shot in columns]
    lines = [
        "| method | start | inner steps | " + " | ".join(head) + " |",
        "|---|---|---|" + "---|---|" * len(columns),
    ]
    for label in dict.fromkeys(f.label for f in found):
        mine = {(f.way, f.shot): f for f in found if f.label == label}
        first = next(iter(mine.values()))
        cells = [_pair(mine.get(column)) for column in columns]
        steps = max(f.inner_steps for f in mine.values())
        name = label.removesuffix(" (transductive)")
        lines.append(f"| {name} | {first.start} | {steps} | " + " | ".join(cells) + " |")
    return lines


def _pair(figure: Figure | None) -> str:
    if figure is None:
        return "not planned | "
    published = "" if figure.published is None else f"{figure.published}"
    return f"{_value(figure)}{' **below**' if figure.falls_short else ''} | {published}"


def _value(figure: Figure) -> str:
    a = figure.accuracy
    return "not computed" if a is None else f"{100 * a.value:.1f} ({100 * a.low:.1f}-{100 * a.high:.1f})"
