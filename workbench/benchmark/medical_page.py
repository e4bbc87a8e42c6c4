"""The tables of the medical benchmark as a page of Markdown.

What is missing is said to be missing. Every figure carries its interval and n.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from workbench.benchmark.medical_plan import Base, MedicalPlan, RowPlan
from workbench.benchmark.medical_table import Line, Table, overview
from workbench.benchmark.ranking import Difference, Ranking
from workbench.benchmark.results import Cell, Key
from workbench.data.catalogue import get_card
from workbench.data.episodes import span
from workbench.evaluation.plaintext import NOTICE
from workbench.evaluation.statistics import Interval, mean_interval

NOT_COMPUTED = "not computed"


def as_markdown(table: Table) -> str:
    """The page: how it was made, overview, differences, every condition."""
    lines, rankings = overview(table)
    parts = [
        _preface(table),
        "## Overview\n",
        _ranks_text(table, rankings),
        _overview_table(table, lines),
        f"## {table.plan.reference} minus each other row\n",
        _difference_text(),
        _difference_table(table, lines),
        "## Every condition\n",
        "![Balanced accuracy against shots](medical.png)\n",
        _conditions_text(),
    ]
    for shot in table.plan.evaluation.shots:
        for fold in range(1, len(table.plan.folds) + 1):
            parts += [f"### {_shots(shot)}, fold {fold}\n", _condition_table(table, shot, fold)]
    parts.append(f"{NOTICE}\n")
    return "\n".join(parts)


def _preface(table: Table) -> str:
    plan, encoder = table.plan, table.plan.encoder_plan(1)
    trained = next((row for row in plan.rows if row.base is Base.NECK), plan.rows[0])
    finishing = plan.finishing_plan(trained, 1, "")
    budget = (
        f"{finishing.steps} steps of {finishing.batch} episodes "
        f"({finishing.steps * finishing.batch:,} in all; "
        f"{_range(finishing.episodes.ways)} classes, {_range(finishing.episodes.shots)} shots, "
        f"{finishing.episodes.queries} queries per class)"
    )
    counted = sorted({cell.episodes for cell in table.cells.values()})
    episodes = str(counted[-1]) if counted else "0"
    fewer = " (fewer, the first ones, where a row says so)" if len(counted) > 1 else ""
    return f"""# {len(plan.conditions)} imaging conditions, each held out once

Made by `workbench benchmark medical --out RUN --tables docs/benchmarks` from
[medical.yaml](../../workbench/benchmark/medical.yaml). One line for each cell is in
[medical.csv](medical.csv), the figures of this page are in [medical.json](medical.json).

- **Held out.** {len(plan.folds)} folds of conditions; sets made from the same images stand in one fold.
  Whatever is trained for a fold has seen no condition of it.
{_choices(plan)}- **Common start.** The encoder of a fold
  ({encoder.backbone.name}, {encoder.backbone.size} px) has had supervised training and instance
  discrimination on all other conditions: {encoder.steps} steps of {encoder.batch} images.
- **Equal budget.** Every meta-learned row ("neck") trains a residual layer of {finishing.backbone.neck} units
  on that frozen encoder: {budget}. A row that had fewer
  steps says so. Rows on "encoder" use it as it is, those on "fresh-neck" an untrained layer on it; the rest
  have seen no condition.
- **Episodes.** {episodes} for each condition and number of shots{fewer}, the same for every row, of all
  classes that have more patients than shots, with up to {plan.evaluation.queries} queries per class.
  A shot is a patient; support and query never share one. All readings are inductive.
- **Time** is processor time of one adaptation on features computed once: median over the episodes of a cell,
  then over cells.
"""


def _choices(plan: MedicalPlan) -> str:
    seen = f"- **Looked at before.** {plan.looks.strip()}\n" if plan.looks else ""
    if not plan.chosen_on:
        return seen
    return f"""- **Not held out from choices.** Settings (parts of the encoder, regularisation, inner rates)
  were chosen earlier on {", ".join(plan.chosen_on)}.
  Their images took no part in the weights that are measured on them.
{seen}"""


def _range(value: int | tuple[int, int]) -> str:
    low, high = span(value)
    return str(low) if low == high else f"{low} to {high}"


def _ranks_text(table: Table, rankings: dict[int, Ranking]) -> str:
    said = [
        f"{_shots(shot)}: {len(r.labels)} rows on {r.conditions} conditions, Friedman p {_p(r.p_value)}, "
        f"critical difference {r.critical_difference:.2f}"
        for shot, r in rankings.items()
    ]
    shots = table.plan.evaluation.shots
    missing = [row for row in table.plan.rows if not all(table.complete(row, shot) for shot in shots)]
    text = f"""Balanced accuracy in per cent: mean over conditions, with a 95 % interval over conditions
(bootstrap of groups of one origin). AUROC likewise. Rank: mean over conditions by balanced accuracy, 1 is
best; mean ranks that differ by less than the critical difference (Nemenyi, 5 %) are not told apart.
{"; ".join(said) or "Nothing is ranked yet"}.
"""
    return text + (f"{len(missing)} rows miss cells and are {NOT_COMPUTED} there.\n" if missing else "")


def _overview_table(table: Table, lines: Sequence[Line]) -> str:
    shots = table.plan.evaluation.shots
    heads = [f"{kind}, {_shots(s)}" for s in shots for kind in ("balanced accuracy", "AUROC", "rank")]
    out = [_row(["row", "on", "inner steps", "ms per adaptation", *heads]), "|---" * (4 + len(heads)) + "|"]
    for row in table.plan.rows:
        mine = {line.shot: line for line in lines if line.row == row.label}
        cells = [cell for key, cell in table.cells.items() if key.row == row.label]
        known = cells or [cell for key, cell in table.partial.items() if key.row == row.label]
        texts = []
        for shot in shots:
            line = mine[shot]
            if line.balanced_accuracy is None or line.auroc is None:
                why = f"{NOT_COMPUTED} ({row.left_out})" if row.left_out else NOT_COMPUTED
                texts += [why, why, "-"]
            else:
                texts += [_percent(line.balanced_accuracy), _percent(line.auroc), _number(line.mean_rank, 1)]
        out.append(_row([_with_exceptions(row), row.base.value, _steps(known), _time(known), *texts]))
    return "\n".join(out) + "\n"


def _with_exceptions(row: RowPlan) -> str:
    """A row's label and what it had less of than the others."""
    less = [f"{row.steps} training steps"] if row.steps else []
    less += [f"{row.episodes} episodes"] if row.episodes else []
    return f"{row.label} ({', '.join(less)})" if less else row.label


def _difference_text() -> str:
    return """In percentage points of balanced accuracy, paired by episode: mean over conditions with its 95 %
interval; in brackets the number of conditions where the interval over episodes lies above and below zero. The
intervals are not corrected for the number of rows.
"""


def _difference_table(table: Table, lines: Sequence[Line]) -> str:
    shots = table.plan.evaluation.shots
    out = [_row(["row", *(_shots(s) for s in shots)]), "|---" * (1 + len(shots)) + "|"]
    for row in table.plan.rows:
        if row.label != table.plan.reference:
            mine = {line.shot: line.minus for line in lines if line.row == row.label}
            out.append(_row([row.label, *(_minus(mine[s]) for s in shots)]))
    return "\n".join(out) + "\n"


def _conditions_text() -> str:
    return """Balanced accuracy in per cent ± half of the 95 % interval over episodes (Student's t). Bold: the
best mean of a condition, which says nothing of significance.
"""


def _condition_table(table: Table, shot: int, fold: int) -> str:
    names = table.plan.folds[fold - 1]
    heads = [titled(table, name, shot) for name in names]
    found = {
        (row.label, name): mean_interval(values, bounds=(0.0, 1.0))
        for row in table.plan.rows
        for name in names
        if (values := table.values(row, name, shot, "balanced_accuracy")) is not None
    }
    best = {n: max((v.value for (_, m), v in found.items() if m == n), default=math.nan) for n in names}
    out = [_row(["row", *heads]), "|---" * (1 + len(heads)) + "|"]
    for row in table.plan.rows:
        texts = []
        for name in names:
            value = found.get((row.label, name))
            if value is None:
                texts.append(_missing(table, Key(row.label, name, shot)))
                continue
            text = f"{100 * value.value:.1f} ± {50 * (value.high - value.low):.1f}"
            texts.append(f"**{text}**" if value.value == best[name] else text)
        out.append(_row([row.label, *texts]))
    return "\n".join(out) + "\n"


def _missing(table: Table, key: Key) -> str:
    """Why a cell is empty: its episodes take too long, or nobody has asked yet."""
    cell, reason = table.partial.get(key), table.plan.row(key.row).left_out
    if cell is None or not cell.episodes:
        return f"{NOT_COMPUTED} ({reason})" if reason else NOT_COMPUTED
    return f"{NOT_COMPUTED} ({cell.episodes} episodes, {cell.adapt_milliseconds / 1000:.2g} s each)"


def titled(table: Table, name: str, shot: int | None = None) -> str:
    """A condition with its modality and number of classes, at one number of shots or at all."""
    ways = {c.way for k, c in table.cells.items() if k.condition == name and shot in (None, k.shot)}
    way = f", {'/'.join(map(str, sorted(ways, reverse=True)))}-way" if ways else ""
    return f"{name} ({get_card(name).modality}{way})"


def _steps(cells: Sequence[Cell]) -> str:
    steps = sorted({cell.inner_steps for cell in cells})
    return "/".join(map(str, steps)) if cells else "-"


def _time(cells: Iterable[Cell]) -> str:
    medians = [cell.adapt_milliseconds for cell in cells]
    return f"{float(np.median(medians)):.3g}" if medians else "-"


def _shots(shot: int) -> str:
    return f"{shot} shot{'s' if shot > 1 else ''}"


def _p(value: float) -> str:
    return "-" if math.isnan(value) else "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _percent(value: Interval) -> str:
    if math.isnan(value.low):
        return f"{100 * value.value:.1f} (n = {value.n})"
    return f"{100 * value.value:.1f} ({100 * value.low:.1f}-{100 * value.high:.1f}, n = {value.n})"


def _minus(value: Difference | None) -> str:
    if value is None:
        return NOT_COMPUTED
    mean = value.mean
    limits = "" if math.isnan(mean.low) else f" ({100 * mean.low:+.1f} to {100 * mean.high:+.1f})"
    return f"{100 * mean.value:+.1f}{limits} [{value.better} above, {value.worse} below, of {mean.n}]"


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"
