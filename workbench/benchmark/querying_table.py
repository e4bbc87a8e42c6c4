"""What the tables of the querying benchmark say, computed from the curves that are there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.benchmark.querying_curves import CurveKey, Curves, CurveStore
from workbench.benchmark.querying_plan import QueryingPlan
from workbench.benchmark.ranking import Difference, difference, mean_over_conditions
from workbench.data.catalogue import same_origin
from workbench.evaluation.statistics import Interval, Values, mean_interval, paired_difference
from workbench.querying.strategies.policy import LearnedPolicy

LEARNED = LearnedPolicy.name
Table = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class QueryingTable:
    """Complete measurements at one batch size.

    Attributes:
        plan: of the benchmark.
        batch: labels asked for at a time.
        curves: by strategy and condition; ``(episodes, points)`` balanced accuracies, the start first.
        ways: classes of each condition measured.
        milliseconds: by strategy and condition, median per suggestion.
        episodes: of each.
    """

    plan: QueryingPlan
    batch: int
    curves: dict[tuple[str, str], Table]
    ways: dict[str, int]
    milliseconds: dict[tuple[str, str], float]
    episodes: int

    @property
    def conditions(self) -> tuple[str, ...]:
        """Measured with every strategy that is measured at all, in the plan's order."""
        return tuple(
            name
            for name in self.plan.conditions
            if self.strategies and all((strategy, name) in self.curves for strategy in self.strategies)
        )

    @property
    def strategies(self) -> tuple[str, ...]:
        """Measured on any condition, in the plan's order."""
        known = {strategy for strategy, _ in self.curves}
        return tuple(name for name in self.plan.strategies if name in known)

    def areas(self, strategy: str, condition: str) -> Values:
        """Mean of each episode's curve after the start: the area under it."""
        values: Values = self.curves[strategy, condition][:, 1:].mean(axis=1)
        return values

    @property
    def best_heuristic(self) -> str:
        """The strategy with the largest mean area that is not learned; random choice counts as one."""
        heuristics = [name for name in self.strategies if name != LEARNED]
        return max(heuristics, key=lambda name: self.mean_area(name))

    def mean_area(self, strategy: str) -> float:
        """Over the conditions."""
        return float(np.mean([self.areas(strategy, name).mean() for name in self.conditions]))

    def area(self, strategy: str, condition: str) -> Interval:
        """Over episodes."""
        return mean_interval(self.areas(strategy, condition), bounds=(0.0, 1.0))

    def gain(self, first: str, second: str, condition: str) -> Interval:
        """Area of the first less that of the second on the same episodes."""
        return paired_difference(self.areas(first, condition), self.areas(second, condition))

    def overall(self, strategy: str) -> Interval:
        """Mean area over conditions, with an interval over their origins."""
        means = np.array([self.areas(strategy, name).mean() for name in self.conditions])
        return mean_over_conditions(means, self._groups)

    def at_end(self, strategy: str) -> Interval:
        """Balanced accuracy with all labels, mean over conditions, with an interval over their origins."""
        means = np.array([self.curves[strategy, name][:, -1].mean() for name in self.conditions])
        return mean_over_conditions(means, self._groups)

    def minus(self, first: str, second: str) -> Difference:
        """Area of the first less that of the second, over conditions."""
        pairs = [(self.areas(first, name), self.areas(second, name)) for name in self.conditions]
        return difference(pairs, self._groups)

    @property
    def learned_wins(self) -> bool:
        """Whether the interval of the learned policy's lead over the best heuristic excludes zero."""
        return LEARNED in self.strategies and self.minus(LEARNED, self.best_heuristic).mean.low > 0

    @property
    def _groups(self) -> list[str]:
        return [min(same_origin([name])) for name in self.conditions]


def read_table(plan: QueryingPlan, store: CurveStore, batch: int, episodes: int = 0) -> QueryingTable:
    """The complete measurements at one batch size.

    Args:
        plan: of the benchmark.
        store: where curves are.
        batch: labels asked for at a time.
        episodes: of a complete measurement; 0 for what the plan says.
    """
    need, points = episodes or plan.episodes, len(plan.labels(batch))
    curves: dict[tuple[str, str], Table] = {}
    ways: dict[str, int] = {}
    spent: dict[tuple[str, str], float] = {}
    for strategy in plan.strategies:
        for condition in plan.conditions:
            found = store.read(CurveKey(strategy, condition, batch))
            if found is None or len(found.balanced_accuracy) < need:
                continue
            curves[strategy, condition] = _rectangle(found, need, points)
            ways[condition] = found.way
            spent[strategy, condition] = float(np.median(found.milliseconds[:need]))
    return QueryingTable(plan, batch, curves, ways, spent, need)


def _rectangle(found: Curves, episodes: int, points: int) -> Table:
    """Curves of one length; where a pool ran out, the last value stays."""
    return np.array([[*c, *[c[-1]] * (points - len(c))] for c in found.balanced_accuracy[:episodes]])
