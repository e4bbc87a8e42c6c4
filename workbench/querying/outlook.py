"""What more labels are likely to bring: a hint when to stop.

A straight line, fitted over simulated labelling of the policy's meta-training conditions, from what is the
same for all candidates (`workbench.querying.candidates.CONTEXT`: labels per class, doubt, coverage, ...) to
the gain in balanced accuracy that the next labels brought. The spread of what the line misses comes with it,
and is wide: one condition's gain says little about another's. docs/benchmarks/querying.md says how well it
does on held-out ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from workbench.errors import CohortError, ModelFileError
from workbench.learners.base import Learner
from workbench.querying.candidates import CONTEXT, candidates
from workbench.querying.simulation import Condition, Labelling, TaskSpec, draw_task
from workbench.querying.state import QueryState
from workbench.querying.strategies.random_choice import RandomChoice
from workbench.querying.variation import varied

SHIPPED_LINE = Path(__file__).parent / "outlook.json"
LABELS = 10
"""Whose gain is foretold."""
SMALL = 0.01
"""Gain in balanced accuracy below which labels are called of little use."""
_BATCH, _BUDGET = 5, 30


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the next `LABELS` labels are likely to bring.

    Attributes:
        gain: expected, in balanced accuracy, -1 to 1.
        spread: standard deviation of what came minus what was expected, over states of other conditions.
    """

    gain: float
    spread: float

    @property
    def settled(self) -> bool:
        """Whether little is to be expected of more labels of this kind."""
        return self.gain < SMALL

    def __str__(self) -> str:
        said = f"On other conditions in this state, {LABELS} more labels changed balanced accuracy by"
        numbers = f"{100 * self.gain:+.1f} points (standard deviation {100 * self.spread:.1f})"
        verdict = " More labels of this kind will hardly help." if self.settled else ""
        return f"{said} {numbers}.{verdict}"


@dataclass(frozen=True, slots=True)
class Line:
    """A fitted line.

    Attributes:
        intercept: of the gain.
        slopes: one for each number of `CONTEXT`.
        spread: see `Outlook`.
        states: that it was fitted to.
        conditions: they came from.
    """

    intercept: float
    slopes: tuple[float, ...]
    spread: float
    states: int
    conditions: tuple[str, ...]

    def outlook(self, state: QueryState) -> Outlook:
        """What to expect in a state."""
        context = candidates(state).context.double().numpy()
        return Outlook(float(self.intercept + np.dot(self.slopes, context)), self.spread)


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A state on a simulated walk, and what then happened.

    Attributes:
        state: see there.
        gain: in held-out balanced accuracy over the next `LABELS` labels.
    """

    state: QueryState
    gain: float


def moments(learner: Learner, condition: Condition, spec: TaskSpec, number: int) -> Iterator[Moment]:
    """States before and after every fifth label, drawn at random, that `LABELS` more labels followed."""
    rng = np.random.default_rng([spec.seed, number, 2])
    labelling = Labelling(learner, draw_task(condition, spec, number))
    states: list[QueryState] = []
    curve = [labelling.balanced_accuracy()]
    while _BATCH * len(states) < _BUDGET and labelling.remaining >= _BATCH:
        states.append(labelling.state)
        labelling.label(RandomChoice().choose(states[-1], _BATCH, rng))
        curve.append(labelling.balanced_accuracy())
    ahead = LABELS // _BATCH
    for i in range(len(curve) - ahead):
        yield Moment(states[i], curve[i + ahead] - curve[i])


def fit_line(
    learner: Learner, conditions: Sequence[Condition], spec: TaskSpec, tasks: int, share_varied: float
) -> Line:
    """Fit by least squares to `tasks` walks of each condition, some of them through variations of it."""
    rows, gains = [], []
    for condition in conditions:
        for number in range(tasks):
            rng = np.random.default_rng([spec.seed, number, 3])
            given = varied(condition, rng) if rng.random() < share_varied else condition
            try:
                found = list(moments(learner, given, spec, number))
            except CohortError:
                continue  # this variation has too few patients
            rows += [candidates(one.state).context.double().numpy() for one in found]
            gains += [one.gain for one in found]
    design = np.column_stack([np.ones(len(rows)), np.array(rows)])
    solution, *_ = np.linalg.lstsq(design, np.array(gains), rcond=None)
    spread = float(np.std(np.array(gains) - design @ solution, ddof=design.shape[1]))
    return Line(
        float(solution[0]),
        tuple(float(x) for x in solution[1:]),
        spread,
        len(rows),
        tuple(condition.name for condition in conditions),
    )


def write_line(line: Line, path: Path) -> None:
    """Keep a line as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(line), indent=1) + "\n", encoding="utf-8")


@cache
def read_line(path: Path = SHIPPED_LINE) -> Line:
    """A line written by `write_line`; the shipped one unless another is named.

    Raises:
        ModelFileError: if it is missing or damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        line = Line(
            float(values["intercept"]),
            tuple(float(x) for x in values["slopes"]),
            float(values["spread"]),
            int(values["states"]),
            tuple(values["conditions"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path.name}: is missing or damaged. Install the workbench again.") from error
    if len(line.slopes) != len(CONTEXT):
        raise ModelFileError(f"{path.name}: does not fit this version. Make it again.")
    return line
