"""Meta-training of the query policy: reinforcement learning over many conditions.

Each update draws tasks of meta-training conditions and variations of them, walks each several times with
picks drawn from the policy, and takes policy-gradient steps (`workbench.querying.policy_gradient`). The
reward of a pick is the gain in balanced accuracy on the task's held-out patients. The network kept is the one
that did best on the meta-validation conditions. A killed run goes on from its last checkpoint to the same
result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn import config_context
from torch import Tensor

from workbench.errors import CohortError, ModelFileError
from workbench.learners.base import Learner
from workbench.learners.files import read_tensors, write_tensors
from workbench.querying.candidates import candidates
from workbench.querying.network import ScoringNetwork
from workbench.querying.outlook import SHIPPED_LINE, fit_line, write_line
from workbench.querying.policy_file import save_policy
from workbench.querying.policy_gradient import Decision, leave_one_out, log_policy, returns, surrogate
from workbench.querying.policy_plan import PolicyPlan, write_policy_plan
from workbench.querying.simulation import Condition, Labelling, QueryTask, TaskSpec, draw_task, walk
from workbench.querying.strategies import query_strategy
from workbench.querying.strategies.policy import LearnedPolicy
from workbench.querying.strategy import QueryStrategy, eligible
from workbench.querying.variation import varied

Said = Callable[[str], None]
"""Called with one line about what was done."""
_TRIES = 20


@dataclass(slots=True)
class _Training:
    """Everything that changes."""

    network: ScoringNetwork
    optimizer: torch.optim.Adam
    best: dict[str, Tensor]
    best_score: float = -1.0
    done: int = 0


def meta_train(
    plan: PolicyPlan,
    learner: Learner,
    train: Sequence[Condition],
    validation: Sequence[Condition],
    folder: Path,
    said: Said,
) -> Path:
    """Train a policy; the path of its file. The line of `workbench.querying.outlook` is written beside it.

    Args:
        plan: see there.
        learner: adapts after each label; with the plan's weights and method.
        train, validation: the plan's conditions.
        folder: of the checkpoint and the policy.
        said: told how each validation went.
    """
    training = _begun(plan)
    checkpoint = folder / "checkpoint.safetensors"
    _resume(training, checkpoint, plan)
    spec = TaskSpec(pool=plan.pool, held_out=plan.held_out, seed=plan.seed)
    fixed = [
        draw_task(condition, replace(spec, seed=plan.seed + 1), number)
        for condition in validation
        for number in range(plan.validation_tasks)
    ]
    for name in ("random", "margin", "badge"):
        if training.done == 0:
            said(f"{name}: {100 * area(learner, fixed, query_strategy(name), plan.labels):.2f} %")
    while training.done < plan.updates:
        with config_context(assume_finite=True, skip_parameter_validation=True):  # checked over and over
            gained = update(training.network, training.optimizer, learner, train, plan, training.done)
        training.done += 1
        if training.done % plan.every == 0 or training.done == plan.updates:
            score = area(learner, fixed, LearnedPolicy(training.network), plan.labels)
            said(
                f"[{training.done}/{plan.updates}] walks gained {100 * gained:.2f} points, "
                f"policy on meta-validation: {100 * score:.2f} %"
            )
            if score > training.best_score:
                training.best_score = score
                training.best = {n: v.clone() for n, v in training.network.state_dict().items()}
            _keep(training, checkpoint, plan)
    chosen = ScoringNetwork(plan.width)
    chosen.load_state_dict(training.best)
    path = folder / "policy.safetensors"
    save_policy(chosen, write_policy_plan(plan), path)
    line = fit_line(
        learner, [*train, *validation], replace(spec, seed=plan.seed + 2), plan.outlook_tasks, plan.varied
    )
    write_line(line, folder / SHIPPED_LINE.name)
    return path


def area(learner: Learner, tasks: Sequence[QueryTask], strategy: QueryStrategy, labels: int) -> float:
    """Mean balanced accuracy over tasks and numbers of labels: the area under the label-efficiency curve."""
    curves = [
        np.mean(list(walk(Labelling(learner, task), strategy, labels, 1, np.random.default_rng(number)))[1:])
        for number, task in enumerate(tasks)
    ]
    return float(np.mean(curves))


def update(
    network: ScoringNetwork,
    optimizer: torch.optim.Optimizer,
    learner: Learner,
    train: Sequence[Condition],
    plan: PolicyPlan,
    number: int,
) -> float:
    """One update of the policy, decided by the plan's seed and its number; the mean gain of its walks."""
    rng = np.random.default_rng([plan.seed, number])
    decisions: list[Decision] = []
    advantages: list[float] = []
    gains: list[float] = []
    for _ in range(plan.tasks):
        task = _task(train, plan, rng)
        walks = [explore(network, Labelling(learner, task), plan.labels, rng) for _ in range(plan.walks)]
        rewards = np.array([[decision.reward for decision in one] for one in walks])
        advantages += leave_one_out(returns(rewards, plan.discount)).flatten().tolist()
        decisions += [decision for one in walks for decision in one]
        gains.append(float(rewards.sum(1).mean()))
    scaled = np.array(advantages) / (np.std(advantages) + 1e-8)
    for _ in range(plan.passes):
        order = rng.permutation(len(decisions))
        for part in np.array_split(order, max(1, len(order) // 160)):
            loss = surrogate(
                network, [decisions[i] for i in part], scaled[part], plan.clip, plan.entropy_bonus
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    return float(np.mean(gains))


def explore(
    network: ScoringNetwork, labelling: Labelling, labels: int, rng: np.random.Generator
) -> list[Decision]:
    """One walk with picks drawn from the policy."""
    decisions = []
    before = labelling.balanced_accuracy()
    for _ in range(min(labels, labelling.remaining)):
        state = labelling.state
        given, allowed = candidates(state), eligible(state, ())
        with torch.no_grad():
            log_p = log_policy(network, given, allowed).double().numpy()
        action = int(np.argmax(log_p + rng.gumbel(size=len(log_p))))  # a draw from the softmax
        labelling.label([action])
        after = labelling.balanced_accuracy()
        decisions.append(Decision(given, allowed, action, float(log_p[action]), after - before))
        before = after
    return decisions


def _task(train: Sequence[Condition], plan: PolicyPlan, rng: np.random.Generator) -> QueryTask:
    spec = TaskSpec(pool=plan.pool, held_out=plan.held_out, seed=int(rng.integers(2**31)))
    for _ in range(_TRIES):
        condition = train[int(rng.integers(len(train)))]
        if rng.random() < plan.varied:
            condition = varied(condition, rng)
        try:
            task = draw_task(condition, spec, 0)
        except CohortError:
            continue  # this variation has too few patients
        if len(task.pool) > plan.labels:
            return task
    raise CohortError(f"No task with {plan.labels} scans to label could be drawn. Lower `labels`.")


def _begun(plan: PolicyPlan) -> _Training:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        network = ScoringNetwork(plan.width)
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    return _Training(network, optimizer, {n: v.clone() for n, v in network.state_dict().items()})


def _keep(training: _Training, path: Path, plan: PolicyPlan) -> None:
    tensors = {f"network.{name}": value for name, value in training.network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in training.best.items()}
    for number, moments in training.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    meta = {
        "kind": "query-policy-checkpoint",
        "format": 1,
        "plan": write_policy_plan(plan),
        "done": training.done,
        "best_score": training.best_score,
    }
    write_tensors(path, tensors, meta)


def _resume(training: _Training, path: Path, plan: PolicyPlan) -> None:
    """Go on from a checkpoint of the same plan, if there is one."""
    if not path.is_file():
        return
    tensors, meta = read_tensors(path, "query-policy-checkpoint")
    if meta["plan"] != write_policy_plan(plan):
        raise ModelFileError(f"{path.name}: was made by another plan. Choose another folder.")
    training.done, training.best_score = int(meta["done"]), float(meta["best_score"])
    training.best = {n.removeprefix("best."): t for n, t in tensors.items() if n.startswith("best.")}
    training.network.load_state_dict(
        {n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")}
    )
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, number, moment = name.split(".")
            state.setdefault(int(number), {})[moment] = value
    training.optimizer.load_state_dict(
        {"state": state, "param_groups": training.optimizer.state_dict()["param_groups"]}
    )
