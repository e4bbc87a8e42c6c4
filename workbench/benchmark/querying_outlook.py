"""How well the outlook foretells what more labels bring, on the held-out conditions of the benchmark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from sklearn import config_context

from workbench.benchmark.querying_plan import QueryingPlan
from workbench.benchmark.results import digest
from workbench.evaluation.statistics import mean_interval
from workbench.learners.base import Learner
from workbench.learners.files import sha256_of
from workbench.querying.outlook import LABELS, SHIPPED_LINE, SMALL, moments, read_line
from workbench.querying.simulation import Condition


@dataclass(frozen=True, slots=True)
class Foretold:
    """States of one condition.

    Attributes:
        condition: its name.
        decided: digest of plan, line and weights.
        expected: gain in balanced accuracy that the line foretold, one for each state.
        came: what the next labels, drawn at random, then brought.
    """

    condition: str
    decided: str
    expected: tuple[float, ...]
    came: tuple[float, ...]


def decided_by(plan: QueryingPlan, weights_sha256: str) -> str:
    """Digest of everything that decides what is foretold, but the program."""
    settings = plan.model_dump(mode="json", exclude={"conditions", "strategies", "baseline", "batches"})
    return digest([settings, sha256_of(SHIPPED_LINE), weights_sha256])


def foretell(
    plan: QueryingPlan, learner: Learner, condition: Condition, decided: str, folder: Path
) -> Foretold:
    """Walk the first tasks of a condition with random labels, unless that is kept already."""
    known = read_foretold(folder, condition.name)
    if known is not None and known.decided == decided:
        return known
    line = read_line()
    with config_context(assume_finite=True, skip_parameter_validation=True):
        pairs = [
            (line.outlook(moment.state).gain, moment.gain)
            for number in range(plan.outlook_tasks)
            for moment in moments(learner, condition, plan.spec, number)
        ]
    found = Foretold(condition.name, decided, tuple(a for a, _ in pairs), tuple(b for _, b in pairs))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{condition.name}.json").write_text(json.dumps(asdict(found)), encoding="utf-8")
    return found


def read_foretold(folder: Path, condition: str) -> Foretold | None:
    """What is kept of a condition; None where there is nothing, or it is damaged."""
    try:
        values = json.loads((folder / f"{condition}.json").read_text(encoding="utf-8"))
        return Foretold(
            str(values["condition"]),
            str(values["decided"]),
            tuple(float(x) for x in values["expected"]),
            tuple(float(x) for x in values["came"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def as_markdown(found: Sequence[Foretold]) -> str:
    """A section of the page."""
    lines = [
        "## Does the outlook come true?\n",
        f"What `workbench suggest` foretells for {LABELS} more labels, and what {LABELS} drawn at random "
        "then brought: points of balanced accuracy, means over states (after 0, 5, ... labels) of the first "
        "tasks.\n",
        "| condition | states | foretold | came (95 % interval) | correlation |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        expected, came = np.array(one.expected), np.array(one.came)
        interval = mean_interval(came)
        lines.append(
            f"| {one.condition} | {len(came)} | {100 * expected.mean():+.1f} | {100 * interval.value:+.1f} "
            f"({100 * interval.low:+.1f} to {100 * interval.high:+.1f}) "
            f"| {np.corrcoef(expected, came)[0, 1]:.2f} |"
        )
    expected = np.concatenate([one.expected for one in found])
    came = np.concatenate([one.came for one in found])
    inside = np.abs(came - expected) <= 2 * read_line().spread
    lines.append(
        f"\nOver all {len(came)} states the correlation is {np.corrcoef(expected, came)[0, 1]:.2f}, and "
        f"{100 * inside.mean():.0f} % came within two standard deviations of what was foretold. "
        + _settled(came[expected < SMALL])
    )
    lines.append("\nStates of one task are not independent, so these intervals are somewhat too narrow.\n")
    return "\n".join(lines)


def _settled(came: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    if len(came) < 2:
        return "It never said that more labels would hardly help."
    found = mean_interval(came)
    return (
        f"Where it said that more labels would hardly help ({len(came)} states), they brought "
        f"{100 * found.value:+.1f} points ({100 * found.low:+.1f} to {100 * found.high:+.1f})."
    )
