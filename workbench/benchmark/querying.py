"""The querying benchmark: every query strategy walks the same tasks of held-out conditions.

A task is a start, a pool and a held-out set, apart by patient (`workbench.querying.simulation`); strategies
are paired by it. Called by `workbench benchmark querying`.
"""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import yaml
from sklearn import config_context

from workbench.benchmark.querying_curves import CurveKey, Curves, CurveStore
from workbench.benchmark.querying_outlook import decided_by, foretell
from workbench.benchmark.querying_plan import QueryingPlan
from workbench.benchmark.results import Decided, backbone_source, digest, method_source, program
from workbench.errors import CohortError
from workbench.evaluation.compare import why_seen
from workbench.evaluation.contestants import Contestant
from workbench.learners.base import Learner
from workbench.learners.files import sha256_of
from workbench.querying.conditions import encoder, read_condition, refuse_shared_origin
from workbench.querying.policy_file import SHIPPED, load_policy
from workbench.querying.simulation import Condition, Labelling, draw_task
from workbench.querying.strategies import query_strategy, strategies
from workbench.querying.strategies.policy import LearnedPolicy
from workbench.querying.strategy import QueryStrategy

KEPT_EVERY = 30.0
"""Seconds between two writings; a killed run loses no more than these."""
Said = Callable[[str], None]
_SHARED = ("state", "strategy", "simulation")
_OF_POLICY = ("candidates", "network")


@dataclass(frozen=True, slots=True)
class QueryingRun:
    """The benchmark on this machine.

    Attributes:
        plan: what to do.
        folder: where curves are kept.
        data: data folder; see `workbench.data.catalogue.find_data`.
        episodes: of each condition; 0 for what the plan says.
    """

    plan: QueryingPlan
    folder: Path
    data: Path | None = None
    episodes: int = 0

    @property
    def store(self) -> CurveStore:
        """The curves measured so far."""
        return CurveStore(self.folder / "curves")

    @property
    def outlooks(self) -> Path:
        """Folder of what was foretold; see `workbench.benchmark.querying_outlook`."""
        return self.folder / "outlook"

    @property
    def wanted(self) -> int:
        """Episodes of each condition."""
        return self.episodes or self.plan.episodes


def run_all(run: QueryingRun, names: Sequence[str], batches: Sequence[int], jobs: int, said: Said) -> None:
    """Measure what is not yet measured.

    Args:
        run: see there.
        names: strategies; all of the plan if empty.
        batches: numbers of labels at a time; all of the plan if empty.
        jobs: processes.
        said: told about each file of curves that is complete.

    Raises:
        CohortError: a condition is not held out, or too small.
    """
    plan = run.plan
    refuse_seen(plan)
    keys = [
        CurveKey(strategy, condition, batch)
        for batch in batches or plan.batches
        for condition in plan.conditions
        for strategy in names or plan.strategies
    ]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for number, line in enumerate(pool.map(_measure, [run] * len(keys), keys), start=1):
            said(f"[{number}/{len(keys)}] {line}")
        for line in pool.map(_foretell, [run] * len(plan.conditions), plan.conditions):
            said(line)


def refuse_seen(plan: QueryingPlan) -> None:
    """Refuse conditions that the encoder or the policy has seen.

    Raises:
        CohortError: naming condition and reason.
    """
    record = encoder(plan.weights, plan.method).record
    for name in plan.conditions:
        if record is not None and (reason := why_seen(record, name)) is not None:
            raise CohortError(f"Not held out: {reason}. Leave it out.")
    if LearnedPolicy.name in plan.strategies:
        made = yaml.safe_load(load_policy()[1])
        refuse_shared_origin(plan.conditions, (*made["meta_train"], *made["meta_validation"]))


def decided(run: QueryingRun, key: CurveKey, entrant: Contestant) -> Decided:
    """Digests of everything that decides curves but the number of episodes."""
    plan = run.plan
    settings = plan.model_dump(
        mode="json", include={"budget", "start", "pool", "held_out", "share", "seed", "method"}
    )
    own = strategies()[key.strategy].__module__
    modules = [own, *(f"workbench.querying.{name}" for name in _SHARED)]
    inputs = [entrant.identity]
    if key.strategy == LearnedPolicy.name:
        modules += [f"workbench.querying.{name}" for name in _OF_POLICY]
        inputs.append(sha256_of(SHIPPED))
    code = [method_source(plan.method), backbone_source(entrant.learner.spec.name), *map(_source, modules)]
    return Decided(digest([settings, key.condition, key.batch]), digest(code), digest(inputs))


def measure(
    run: QueryingRun,
    key: CurveKey,
    entrant: Contestant,
    condition: Condition,
    strategy: QueryStrategy,
    decision: Decided,
) -> Curves:
    """Curves of at least the tasks asked for; only those that are missing are computed."""
    known = run.store.read(key, decision)
    curves = list(known.balanced_accuracy) if known else []
    milliseconds = list(known.milliseconds) if known else []

    def now() -> Curves:
        return Curves(key, condition.way, decision, tuple(curves), tuple(milliseconds))

    written = time.monotonic()
    for number in range(len(curves), run.wanted):
        curve, spent = _walk(run, entrant.learner, condition, strategy, key.batch, number)
        curves.append(curve)
        milliseconds.append(spent)
        if time.monotonic() - written > KEPT_EVERY:
            run.store.write(now())
            written = time.monotonic()
    if known is None or len(curves) > len(known.balanced_accuracy):
        run.store.write(now())
    return now()


def _walk(
    run: QueryingRun, learner: Learner, condition: Condition, strategy: QueryStrategy, batch: int, number: int
) -> tuple[tuple[float, ...], float]:
    """A curve, and the milliseconds of processor time that a suggestion took."""
    rng = np.random.default_rng([run.plan.seed, number, 1])
    labelling = Labelling(learner, draw_task(condition, run.plan.spec, number))
    curve, asked, spent = [labelling.balanced_accuracy()], 0, 0.0
    while asked < run.plan.budget and labelling.remaining:
        started = time.process_time()
        picked = strategy.choose(labelling.state, min(batch, run.plan.budget - asked), rng)
        spent += time.process_time() - started
        labelling.label(picked)
        asked += len(picked)
        curve.append(labelling.balanced_accuracy())
    return tuple(round(value, 6) for value in curve), round(1000 * spent / max(1, asked), 3)


def _measure(run: QueryingRun, key: CurveKey) -> str:
    torch.set_num_threads(1)
    entrant = encoder(run.plan.weights, run.plan.method)
    decision = decided(run, key, entrant)
    known = run.store.read(key, decision)
    if known is None or len(known.balanced_accuracy) < run.wanted:
        condition = _condition(run.plan.weights, run.plan.method, key.condition, run.data)
        # scikit-learn would check the same shapes tens of thousands of times.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            known = measure(run, key, entrant, condition, query_strategy(key.strategy), decision)
    means = np.mean([curve[1:] for curve in known.balanced_accuracy[: run.wanted]])
    return f"{key.strategy}, {key.condition}, {key.batch} at a time: {100 * means:.2f} %"


def _foretell(run: QueryingRun, name: str) -> str:
    torch.set_num_threads(1)
    entrant = encoder(run.plan.weights, run.plan.method)
    condition = _condition(run.plan.weights, run.plan.method, name, run.data)
    decision = decided_by(run.plan, entrant.identity)
    found = foretell(run.plan, entrant.learner, condition, decision, run.outlooks)
    return f"outlook, {name}: {len(found.came)} states"


@lru_cache(maxsize=2)
def _condition(weights: str, method: str, name: str, data: Path | None) -> Condition:
    return read_condition(encoder(weights, method), name, 0, 0, data)


@lru_cache(maxsize=64)
def _source(module: str) -> str:
    return program(ast.parse(Path(str(import_module(module).__file__)).read_text(encoding="utf-8")))
