from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.querying.worlds import blobs, crosses, learner
from workbench.errors import ModelFileError, PlanError
from workbench.querying.meta_training import area, meta_train, update
from workbench.querying.network import ScoringNetwork
from workbench.querying.policy_plan import PolicyPlan, read_policy_plan
from workbench.querying.simulation import TaskSpec, draw_task
from workbench.querying.strategies import query_strategy
from workbench.querying.strategies.policy import LearnedPolicy

TINY = PolicyPlan(
    name="tiny",
    meta_train=("a",),
    meta_validation=("b",),
    pool=30,
    labels=3,
    walks=2,
    tasks=1,
    updates=4,
    passes=2,
    every=2,
    width=4,
    validation_tasks=1,
    held_out=5,
)


def _run(plan: PolicyPlan, folder: Path) -> dict[str, torch.Tensor]:
    from workbench.querying.policy_file import load_policy

    path = meta_train(plan, learner(), [blobs()], [blobs(seed=1)], folder, lambda _: None)
    return dict(load_policy(path)[0].state_dict())


def test_a_killed_run_goes_on_to_the_same_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _run(TINY, tmp_path / "whole")
    done = []

    def dies(*given: object) -> float:
        done.append(given[-1])
        if len(done) == 3:
            raise KeyboardInterrupt
        return update(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("workbench.querying.meta_training.update", dies)
        with pytest.raises(KeyboardInterrupt):
            _run(TINY, tmp_path / "killed")
    again = _run(TINY, tmp_path / "killed")
    assert done == [0, 1, 2]
    for name, value in whole.items():
        torch.testing.assert_close(again[name], value, rtol=0, atol=0)
    with pytest.raises(ModelFileError, match="another plan"):
        _run(TINY.model_copy(update={"seed": 1}), tmp_path / "killed")


def test_a_plan_names_its_wrong_field(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("name: x\nmeta_train: [a]\nmeta_validation: [b]\nlabel: 3\n")
    with pytest.raises(PlanError, match=r"plan\.yaml: label"):
        read_policy_plan(path)
    path.write_text("name: x\nmeta_train: [a]\nmeta_validation: [a]\n")
    with pytest.raises(PlanError, match="two sides"):
        read_policy_plan(path)


def test_a_trained_policy_beats_random_where_the_best_query_is_known() -> None:
    """Rare groups lie where the model is wrong; a policy must find that they are worth asking about."""
    plan = TINY.model_copy(
        update={
            "labels": 4,
            "walks": 6,
            "tasks": 2,
            "passes": 4,
            "pool": 60,
            "varied": 0.0,
            "learning_rate": 0.02,
            "width": 8,
            "held_out": 20,
            "entropy_bonus": 0.0,
        }
    )
    conditions = [crosses(seed) for seed in range(4)]
    torch.manual_seed(0)
    network = ScoringNetwork(plan.width)
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    with torch.random.fork_rng(devices=[]):
        for number in range(12):
            update(network, optimizer, learner(), conditions, plan, number)
    fresh = [draw_task(crosses(100 + i), TaskSpec(pool=60, held_out=20, seed=9), i) for i in range(20)]
    trained = area(learner(), fresh, LearnedPolicy(network), plan.labels)
    chance = np.mean([area(learner(), fresh, query_strategy("random"), plan.labels)])
    assert trained > chance + 0.03
