"""Continual learning over conditions that the shipped encoder has not seen: who forgets what.

A sequence of conditions is learned one after another from a few labelled patients each; after each, all
conditions learned so far are read. Two settings are scored from the same readings:

- *task-incremental*: it is known which condition a scan is of, and only its classes are compared;
- *class-incremental*: it is not, and all classes learned so far are compared.

Called by `workbench benchmark continual`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.benchmark.continual_methods import (
    Continual,
    FineTuned,
    Online,
    Prototypes,
    Separate,
    Taught,
    meta_trained_oml,
    necked,
)
from workbench.data.catalogue import get_card
from workbench.data.cohort import Cohort, load_cohort
from workbench.evaluation.contestants import Contestant, contestants
from workbench.evaluation.memory import cohort_digest, features_of
from workbench.learners.fine_tune import FineTune
from workbench.learners.oml import OML
from workbench.learners.prototypical import Prototypical

Say = Callable[[str], None]
HELD_OUT = (
    "ham10000", "lc25000_lung", "iq_othnccd", "chest_ct_cancer", "knee_osteoporosis", "mias_mammo_density",
    "dental_root_xray", "crc100k_mini", "wce_bleeding",
)  # fmt: skip
META_TRAINING = (
    "pneumoniamnist", "breastmnist", "adrenalmnist3d", "pbc", "bccd", "chula_rbc12", "lbc_cervical",
    "oscc_histology", "gallbladder_us", "mednist", "alzheimer_mri",
)  # fmt: skip
META_VALIDATION = ("knee_oa_kl", "odir_fundus", "eye3_fundus", "darkfield_bacteria", "mhsma_head")
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "ewc": (100.0, 1000.0, 10_000.0),
    "lwf": (1.0, 3.0, 10.0),
    "replay": (0.1, 0.3, 1.0),
    "oml": (0.01, 0.03, 0.1, 0.3),
}
"""Tried on sequences of meta-validation conditions; the best mean of both settings' accuracies wins."""
TITLES = {
    "naive": "fine-tuning, naive",
    "ewc": "EWC",
    "lwf": "LwF",
    "replay": "replay of stored embeddings",
    "separate": "fine-tuning, a network for each condition",
    "prototypes": "prototypes (frozen encoder)",
    "oml": "OML",
}


@dataclass(frozen=True, slots=True)
class ContinualPlan:
    """What is run.

    Attributes:
        weights: shipped weights whose embeddings are used.
        conditions: learned one after another, in an order drawn for each run.
        runs: orders, each with its own support, queries, neck and OML meta-training.
        shots: labelled patients per class.
        queries: scans per class to read, at most, of other patients.
        steps: of fine-tuning on each condition.
        meta_steps: outer steps of OML's meta-training.
    """

    weights: str = "general"
    conditions: tuple[str, ...] = HELD_OUT
    runs: int = 5
    shots: int = 5
    queries: int = 20
    steps: int = 50
    meta_steps: int = 200


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One condition of a run: its support and its query."""

    name: str
    taught: Taught
    query: Tensor
    query_labels: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One method in one run.

    Attributes:
        method: key of `TITLES`.
        run: its number.
        order: conditions as they came.
        task, whole: accuracy matrices ``(t, t)``, task- and class-incremental; NaN above the diagonal.
        unchanged: whether all readings of all but the last condition were bit-identical before and after the
            last was learned (task-incremental: the classes compared are the same).
    """

    method: str
    run: int
    order: tuple[str, ...]
    task: npt.NDArray[np.float64]
    whole: npt.NDArray[np.float64]
    unchanged: bool


@dataclass(frozen=True, slots=True, eq=False)
class ContinualResult:
    """All outcomes, and the strengths that were chosen on meta-validation conditions."""

    plan: ContinualPlan
    strengths: Mapping[str, float]
    outcomes: tuple[Outcome, ...]


def run_continual(
    plan: ContinualPlan, data: Path | None = None, say: Say = lambda line: None
) -> ContinualResult:
    """Run the benchmark.

    Args:
        plan: see there.
        data: folder searched for datasets.
        say: told what is going on.
    """
    (contestant,) = contestants(plan.weights, ("prototypical",))
    names = (*plan.conditions, *META_TRAINING, *META_VALIDATION)
    embedded = {name: _embedded(contestant, name, data, say) for name in names}
    teachers = tuple(embedded[name] for name in META_TRAINING)
    strengths = _chosen(contestant, plan, embedded, teachers, say)
    outcomes: list[Outcome] = []
    for number in range(plan.runs):
        drawn = draw(plan, embedded, plan.conditions, number)
        oml = meta_trained_oml(contestant.learner, teachers, plan.meta_steps, strengths["oml"], number)
        for method in TITLES:
            start = _start(contestant, plan, method, strengths, number, oml)
            outcomes.append(follow(method, start, drawn, number))
        say(f"run {number + 1} of {plan.runs}: {', '.join(map(_said, outcomes[-len(TITLES) :]))}")
    return ContinualResult(plan, strengths, tuple(outcomes))


def _said(one: Outcome) -> str:
    return f"{one.method} {100 * one.task[-1].mean():.1f} / {100 * one.whole[-1].mean():.1f}"


def follow(method: str, start: Continual, drawn: tuple[Drawn, ...], run: int) -> Outcome:
    """Learn one condition after another and read all so far after each.

    Args:
        method: its name.
        start: before anything was learned.
        drawn: conditions in order.
        run: number.
    """
    total = len(drawn)
    task, whole = np.full((total, total), np.nan), np.full((total, total), np.nan)
    state = start
    before: dict[int, Tensor] = {}
    unchanged = True
    for i, new in enumerate(drawn):
        state = state.learn(new.taught)
        first = 0
        for j in range(i + 1):
            one = drawn[j]
            logits = state.logits(one.query)
            own = logits[:, first : first + one.taught.way]
            task[i, j] = float((own.argmax(1).numpy() == one.query_labels).mean())
            whole[i, j] = float((logits.argmax(1).numpy() == one.query_labels + first).mean())
            if i == total - 1 and j < i:
                unchanged = unchanged and torch.equal(own, before[j])
            before[j] = own
            first += one.taught.way
    return Outcome(method, run, tuple(d.name for d in drawn), task, whole, unchanged)


def draw(
    plan: ContinualPlan, embedded: Mapping[str, Cohort], names: tuple[str, ...], seed: int
) -> tuple[Drawn, ...]:
    """Order, supports and queries of one run; no patient is in both.

    Args:
        plan: shots and queries.
        embedded: cohorts whose images are embeddings.
        names: of the conditions.
        seed: of the run.
    """
    rng = np.random.default_rng([seed, 19])
    return tuple(_one(embedded[names[i]], plan, rng) for i in rng.permutation(len(names)).tolist())


def _one(cohort: Cohort, plan: ContinualPlan, rng: np.random.Generator) -> Drawn:
    support: list[int] = []
    taken: set[int] = set()
    orders = [rng.permutation(np.flatnonzero(cohort.labels == k)) for k in range(len(cohort.classes))]
    for rows in orders:
        mine: list[int] = []
        for row in rows.tolist():
            if len(mine) < plan.shots and int(cohort.patients[row]) not in taken:
                taken.add(int(cohort.patients[row]))
                mine.append(row)
        support += mine
    free = [[row for row in rows.tolist() if int(cohort.patients[row]) not in taken] for rows in orders]
    query = [row for rows in free for row in rows[: plan.queries]]
    images = torch.from_numpy(np.asarray(cohort.images))
    labels = torch.from_numpy(cohort.labels)
    taught = Taught(images[support], labels[support], len(cohort.classes))
    return Drawn(cohort.name, taught, images[query], cohort.labels[query])


def _start(
    contestant: Contestant,
    plan: ContinualPlan,
    method: str,
    strengths: Mapping[str, float],
    seed: int,
    oml: OML | None,
) -> Continual:
    if method == "prototypes":
        assert isinstance(contestant.learner, Prototypical)
        return Prototypes(contestant.learner)
    if method == "oml":
        assert oml is not None
        return Online(oml)
    holding = {method: strengths[method]} if method in STRENGTHS else {}
    learner = necked(contestant.learner, "fine-tune", {"test_steps": plan.steps, **holding}, seed)
    assert isinstance(learner, FineTune)
    return Separate(learner) if method == "separate" else FineTuned(learner)


def _chosen(
    contestant: Contestant,
    plan: ContinualPlan,
    embedded: Mapping[str, Cohort],
    teachers: tuple[Cohort, ...],
    say: Say,
) -> dict[str, float]:
    chosen: dict[str, float] = {}
    for method, tried in STRENGTHS.items():
        found = []
        for strength in tried:
            scores = []
            for seed in (100, 101):
                oml = None
                if method == "oml":
                    oml = meta_trained_oml(contestant.learner, teachers, plan.meta_steps, strength, seed)
                start = _start(contestant, plan, method, {method: strength}, seed, oml)
                outcome = follow(method, start, draw(plan, embedded, META_VALIDATION, seed), seed)
                scores.append(outcome.whole[-1].mean() + outcome.task[-1].mean())
            found.append(float(np.mean(scores)) / 2)
        chosen[method] = tried[int(np.argmax(found))]
        say(f"{method}: " + ", ".join(f"{s:g}: {100 * f:.1f}" for s, f in zip(tried, found, strict=True)))
    return chosen


def _embedded(contestant: Contestant, name: str, data: Path | None, say: Say) -> Cohort:
    cohort = load_cohort(get_card(name), contestant.learner.recipe, data, progress=False)
    say(f"{name}: {len(cohort)} images")
    values = features_of(contestant, cohort, cohort_digest(cohort)).values
    return replace(cohort, images=values.numpy())
