from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.querying.test_policy import lively
from workbench.querying.candidates import CONTEXT, NUMBERS, Candidates
from workbench.querying.network import ScoringNetwork
from workbench.querying.policy_gradient import Decision, leave_one_out, log_policy, returns, surrogate

REWARDS = (1.0, -0.5)


def _arms(m: int = 2) -> Candidates:
    torch.manual_seed(3)
    return Candidates(torch.randn(m, 2 * len(NUMBERS)).double(), torch.randn(len(CONTEXT)).double())


def _expected_reward(network: ScoringNetwork, arms: Candidates) -> float:
    with torch.no_grad():
        p = log_policy(network, arms, np.ones(2, dtype=bool)).exp()
    return float(p @ torch.tensor(REWARDS, dtype=torch.float64))


def _decision(network: ScoringNetwork, arms: Candidates, action: int, allowed: np.ndarray) -> Decision:
    with torch.no_grad():
        log_p = log_policy(network, arms, allowed)
    return Decision(arms, allowed, action, float(log_p[action]), REWARDS[action])


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_the_expected_gradient_on_two_arms_is_that_of_the_expected_reward(baseline: float) -> None:
    """By hand: with p the chance of arm 0 and s its lead in score, ``dE/ds = p (1 - p) (r_0 - r_1)``; for
    every parameter, against central differences. Any baseline leaves the expectation as it is."""
    network, arms, free = lively(), _arms(), np.ones(2, dtype=bool)
    p = log_policy(network, arms, free).exp().detach()
    loss = torch.zeros((), dtype=torch.float64)
    for action in (0, 1):
        one = surrogate(
            network, [_decision(network, arms, action, free)], np.array([REWARDS[action] - baseline]), 0.2
        )
        loss = loss + p[action] * one
    network.zero_grad()
    loss.backward()
    step = 1e-5
    for parameter in network.parameters():
        for i in range(0, parameter.numel(), max(1, parameter.numel() // 5)):
            flat = parameter.data.view(-1)
            kept = float(flat[i])
            flat[i] = kept + step
            up = _expected_reward(network, arms)
            flat[i] = kept - step
            down = _expected_reward(network, arms)
            flat[i] = kept
            gradient = 0.0 if parameter.grad is None else float(parameter.grad.view(-1)[i])
            assert -gradient == pytest.approx((up - down) / (2 * step), abs=1e-7)
    scores = network(arms).detach().requires_grad_()
    (scores.softmax(0) @ torch.tensor(REWARDS, dtype=torch.float64)).backward()
    assert float(scores.grad[0]) == pytest.approx(float(p[0] * p[1]) * (REWARDS[0] - REWARDS[1]))


def test_a_ratio_beyond_the_clip_has_no_gradient() -> None:
    network, arms, free = lively(), _arms(), np.ones(2, dtype=bool)
    far = Decision(
        arms, free, 0, float(log_policy(network, arms, free)[0].detach()) - 1.0, 1.0
    )  # ratio e > 1.2
    for advantage, moves in ((1.0, False), (-1.0, True)):
        network.zero_grad()
        surrogate(network, [far], np.array([advantage]), 0.2).backward()
        moved = sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None)
        assert (moved > 0) is moves


def test_what_is_not_allowed_is_never_picked_and_the_rest_sums_to_one() -> None:
    allowed = np.array([True, False, True])
    p = log_policy(lively(), _arms(3), allowed).exp().detach()
    assert float(p[1]) == 0.0
    assert float(p.sum()) == pytest.approx(1.0)


def test_returns_and_the_leave_one_out_baseline_equal_a_loop() -> None:
    rewards = np.array([[1.0, 0.0, 2.0], [0.5, 0.5, 0.5], [0.0, -1.0, 3.0]])
    found = returns(rewards, 0.9)
    assert found[0].tolist() == pytest.approx([1 + 0.81 * 2, 0.9 * 2, 2])
    advantages = leave_one_out(found)
    for walk in range(3):
        others = [found[k] for k in range(3) if k != walk]
        np.testing.assert_allclose(advantages[walk], found[walk] - np.mean(others, axis=0))
