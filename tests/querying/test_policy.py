from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.querying.worlds import permuted, random_state
from workbench.benchmark.querying_plan import read_querying
from workbench.errors import CohortError, ModelFileError
from workbench.querying import candidates as module
from workbench.querying.candidates import NUMBERS, candidates
from workbench.querying.conditions import refuse_shared_origin
from workbench.querying.network import ScoringNetwork
from workbench.querying.policy_file import SHIPPED, load_policy, save_policy
from workbench.querying.policy_plan import write_policy_plan
from workbench.querying.state import QueryState


def lively(seed: int = 0) -> ScoringNetwork:
    """A network whose scores differ; a fresh one gives all candidates the same."""
    torch.manual_seed(seed)
    network = ScoringNetwork(8)
    torch.nn.init.normal_(network.out.weight)
    return network.double()


def _doubled(state: QueryState, picked: tuple[int, ...] = ()) -> module.Candidates:
    given = candidates(state, picked)
    return module.Candidates(given.numbers.double(), given.context.double())


def test_permuting_candidates_permutes_scores() -> None:
    state, network = random_state(), lively()
    order = np.random.default_rng(4).permutation(len(state))
    scores = network(_doubled(state)).detach().numpy()
    assert scores.std() > 0.01
    np.testing.assert_allclose(
        network(_doubled(permuted(state, order))).detach().numpy(), scores[order], atol=1e-6
    )


def test_the_order_of_classes_changes_nothing() -> None:
    state = random_state()
    swap = np.array([2, 0, 1])
    other = replace(
        state,
        probabilities=state.probabilities[:, swap],
        support_labels=np.argsort(swap)[state.support_labels],
    )
    torch.testing.assert_close(candidates(other).numbers, candidates(state).numbers)
    torch.testing.assert_close(candidates(other).context, candidates(state).context)


def test_turning_the_embedding_space_changes_nothing() -> None:
    state = random_state()
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))
    other = replace(state, pool=state.pool @ turn, support=state.support @ turn)
    torch.testing.assert_close(candidates(other).numbers, candidates(state).numbers)


def test_numbers_equal_a_loop() -> None:
    state, picked = random_state(m=12), (3,)
    found = candidates(state, picked).numbers[:, : len(NUMBERS)].double().numpy()
    column = {name: found[:, i] for i, name in enumerate(NUMBERS)}
    taken = [*state.support, state.pool[3]]
    near = np.array([max(float(x @ other) for other in taken) for x in state.pool])
    counts = np.bincount(state.support_labels)
    cover = np.zeros(12)
    for i, x in enumerate(state.pool):
        cover[i] = np.mean([max(0.0, float(x @ u) - near[j]) for j, u in enumerate(state.pool)])
        cosines = np.sort([float(x @ u) for u in state.pool])[::-1]
        assert column["density"][i] == pytest.approx(cosines[:10].mean(), abs=1e-6)
        assert column["distance"][i] == pytest.approx(np.sqrt(2 - 2 * near[i]), abs=1e-6)
        relief = sum(state.probabilities[i] / counts) / np.mean(1 / counts)
        assert column["relief"][i] == pytest.approx(relief, abs=1e-6)
    np.testing.assert_allclose(column["coverage"], cover / cover.max(), atol=1e-6)


def test_a_large_pool_is_described_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    state = random_state()
    whole = candidates(state).numbers
    monkeypatch.setattr("workbench.querying.state._CHUNK", 4)
    torch.testing.assert_close(candidates(state).numbers, whole)


def test_the_shipped_policy_is_small_and_held_out_from_the_benchmark() -> None:
    assert SHIPPED.stat().st_size < 100_000
    _, text = load_policy()
    plan = yaml.safe_load(text)
    refuse_shared_origin(read_querying().conditions, (*plan["meta_train"], *plan["meta_validation"]))
    repository = Path(__file__).parents[2] / "benchmarks" / "plans" / "query-policy.yaml"
    if repository.is_file():
        from workbench.querying.policy_plan import read_policy_plan

        assert text == write_policy_plan(read_policy_plan(repository))


def test_a_condition_of_the_same_origin_is_refused() -> None:
    with pytest.raises(CohortError, match="'busi' is not held out"):
        refuse_shared_origin(["busi"], ["breastmnist"])


def test_a_policy_survives_its_file_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    network = lively().float()
    save_policy(network, "name: x\n", tmp_path / "policy.safetensors")
    again, plan = load_policy(tmp_path / "policy.safetensors")
    given = candidates(random_state())
    torch.testing.assert_close(again(given), network(given))
    assert plan == "name: x\n"
    (tmp_path / "policy.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelFileError, match=r"policy\.safetensors"):
        load_policy(tmp_path / "policy.safetensors")
