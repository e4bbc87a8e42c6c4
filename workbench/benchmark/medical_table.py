"""What the tables of the medical benchmark say, computed from the cells that are there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from workbench.benchmark.medical_plan import MedicalPlan, RowPlan
from workbench.benchmark.ranking import Difference, Ranking, difference, mean_over_conditions, rank
from workbench.benchmark.results import Cell, Key, Results
from workbench.data.catalogue import same_origin
from workbench.evaluation.statistics import Interval, Values, mean_interval


@dataclass(frozen=True, slots=True)
class Table:
    """The measured part of a benchmark.

    Attributes:
        plan: of the benchmark.
        cells: complete ones.
        partial: cells with fewer episodes than the plan asks for.
    """

    plan: MedicalPlan
    cells: dict[Key, Cell]
    partial: dict[Key, Cell]

    def values(self, row: RowPlan, condition: str, shot: int, measure: str) -> Values | None:
        """Scores of every episode, or None if the cell is not complete."""
        cell = self.cells.get(Key(row.label, condition, shot))
        return None if cell is None else np.array(getattr(cell, measure), dtype=np.float64)

    def measured(self, shot: int) -> tuple[str, ...]:
        """Conditions that any row was measured on."""
        known = {key.condition for key in self.cells if key.shot == shot}
        return tuple(name for name in self.plan.conditions if name in known)

    def complete(self, row: RowPlan, shot: int) -> bool:
        """Whether a row has every cell that any row has, of at least one."""
        names = self.measured(shot)
        return bool(names) and all(Key(row.label, name, shot) in self.cells for name in names)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the overview at one number of shots.

    Attributes:
        row: label.
        shot: support patients per class.
        balanced_accuracy, auroc: mean over conditions, interval over conditions; None where not computed.
        mean_rank: by balanced accuracy; NaN where the row is not ranked.
        minus: the reference row minus this one; None for the reference and where not computed.
    """

    row: str
    shot: int
    balanced_accuracy: Interval | None
    auroc: Interval | None
    mean_rank: float
    minus: Difference | None


def read_table(plan: MedicalPlan, results: Results, episodes: int = 0) -> Table:
    """The cells that this plan asks for.

    Args:
        plan: whose digests the cells must carry.
        results: where they are.
        episodes: of a complete cell; 0 for what the plan says.
    """
    cells: dict[Key, Cell] = {}
    partial: dict[Key, Cell] = {}
    for row in plan.rows:
        need = episodes or plan.episodes_of(row)
        for condition in plan.conditions:
            for shot in plan.evaluation.shots:
                key = Key(row.label, condition, shot)
                cell = results.read(key)
                if cell is None or cell.decided.plan != plan.decides(row, condition, shot):
                    continue
                if cell.episodes >= need:
                    cells[key] = cell.first(need)
                else:
                    partial[key] = cell
    return Table(plan, cells, partial)


def overview(table: Table) -> tuple[tuple[Line, ...], dict[int, Ranking]]:
    """Means, ranks and differences for every row and number of shots."""
    plan, reference = table.plan, table.plan.row(table.plan.reference)
    lines: list[Line] = []
    rankings: dict[int, Ranking] = {}
    for shot in plan.evaluation.shots:
        names = table.measured(shot)
        groups = [_origin(name) for name in names]
        full = [row for row in plan.rows if table.complete(row, shot)]
        if full:
            means = np.array(
                [[_mean(table, row, n, shot, "balanced_accuracy") for n in names] for row in full]
            )
            # Fewer episodes than the others make a mean less certain, not comparable in rank.
            kept = [i for i, row in enumerate(full) if not row.episodes]
            if kept:
                rankings[shot] = rank([full[i].label for i in kept], means[kept])
        for row in plan.rows:
            if row not in full:
                lines.append(Line(row.label, shot, None, None, math.nan, None))
                continue
            balanced, auroc = (
                mean_over_conditions(np.array([_mean(table, row, n, shot, m) for n in names]), groups)
                for m in ("balanced_accuracy", "auroc")
            )
            ranks = rankings.get(shot)
            place = (
                ranks.mean_ranks[ranks.labels.index(row.label)]
                if ranks and row.label in ranks.labels
                else math.nan
            )
            minus = (
                difference([_pair(table, reference, row, n, shot) for n in names], groups)
                if reference in full and row is not reference
                else None
            )
            lines.append(Line(row.label, shot, balanced, auroc, place, minus))
    return tuple(lines), rankings


def _mean(table: Table, row: RowPlan, condition: str, shot: int, measure: str) -> float:
    values = table.values(row, condition, shot, measure)
    assert values is not None
    return float(np.nanmean(values))


def _pair(table: Table, first: RowPlan, second: RowPlan, condition: str, shot: int) -> tuple[Values, Values]:
    a, b = (table.values(row, condition, shot, "balanced_accuracy") for row in (first, second))
    assert a is not None
    assert b is not None
    n = min(len(a), len(b))
    return a[:n], b[:n]


def _origin(condition: str) -> str:
    return min(same_origin([condition]))


def interval_of(cell: Cell, measure: str) -> Interval:
    """Mean over episodes of one measure, with its interval."""
    return mean_interval(np.array(getattr(cell, measure), dtype=np.float64), bounds=(0.0, 1.0))
