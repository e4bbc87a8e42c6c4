from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.querying.worlds import random_state
from workbench.errors import PlanError
from workbench.querying import DEFAULT
from workbench.querying.strategies import query_strategy, strategies
from workbench.querying.strategies.badge import Badge
from workbench.querying.strategies.k_means import KMeansCentres

NAMES = ("badge", "entropy", "k-center", "k-means", "margin", "policy", "random")


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_every_strategy_is_found_and_the_default_is_one_of_them() -> None:
    assert tuple(strategies()) == NAMES
    assert DEFAULT in strategies()
    with pytest.raises(PlanError, match="Known: badge, entropy"):
        query_strategy("oracle")


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_the_choice(name: str) -> None:
    state = random_state()
    first = query_strategy(name).choose(state, 5, _rng())
    assert first == query_strategy(name).choose(state, 5, _rng())
    assert len(set(first)) == 5


@pytest.mark.parametrize("name", NAMES)
def test_no_patient_is_queried_twice_while_others_are_left(name: str) -> None:
    state = random_state(m=14)  # seven patients with two scans each
    chosen = query_strategy(name).choose(state, 9, _rng())
    assert len({state.patients[row] for row in chosen[:7]}) == 7
    assert len(set(chosen)) == 9
    assert sorted(query_strategy(name).choose(state, 99, _rng())) == list(range(14))


@pytest.mark.parametrize("name", NAMES)
def test_patients_with_a_label_come_last(name: str) -> None:
    state = replace(random_state(m=14), labelled_patients=frozenset({"p0", "p1", "p2"}))
    chosen = query_strategy(name).choose(state, 7, _rng())
    assert {state.patients[row] for row in chosen[:4]} == {"p3", "p4", "p5", "p6"}
    assert {state.patients[row] for row in chosen[4:]} == {"p0", "p1", "p2"}


def test_margin_and_entropy_equal_a_loop() -> None:
    state = random_state()
    for row, p in enumerate(state.probabilities):
        low, high = sorted(p)[-2:]
        assert query_strategy("margin").scores(state, (), _rng())[row] == pytest.approx(low - high)
        expected = -sum(x * np.log(x) for x in p) / np.log(3)
        assert query_strategy("entropy").scores(state, (), _rng())[row] == pytest.approx(expected)


def test_k_center_is_the_distance_to_the_nearest_scan_labelled_or_picked() -> None:
    state = random_state()
    scores = query_strategy("k-center").scores(state, (2, 5), _rng())
    taken = [*state.support, state.pool[2], state.pool[5]]
    expected = [min(np.linalg.norm(x - other) for other in taken) for x in state.pool]
    np.testing.assert_allclose(scores, expected, atol=1e-7)


def test_k_means_takes_the_most_typical_scan_of_the_largest_group_without_a_label() -> None:
    rng = _rng(3)
    centres = np.eye(5)[[0, 1, 2]]
    group = np.repeat([0, 1, 2], [4, 6, 9])
    pool = centres[group] + rng.normal(0, 0.02, (19, 5))
    support = centres[[2, 2]] + rng.normal(0, 0.02, (2, 5))
    state = replace(
        random_state(m=19, n=2, way=2),
        pool=pool,
        support=support,
        patients=tuple(map(str, range(19))),
    )
    # Two labels make three clusters; the largest group has both, so the next largest is asked about.
    chosen = KMeansCentres().choose(state, 2, _rng())
    assert group[chosen[0]] == 1
    inside = np.flatnonzero(group == 1)
    away = np.linalg.norm(pool[inside] - pool[inside].mean(0), axis=1)
    assert chosen[0] == inside[away.argmin()]
    assert group[chosen[1]] == 0


def test_badge_measures_the_gradient_of_a_linear_head() -> None:
    state = random_state()
    h = torch.from_numpy(state.pool)
    gradients = []
    for row in range(len(h)):
        weight = torch.zeros(3, h.shape[1], dtype=torch.float64, requires_grad=True)
        shift = torch.from_numpy(np.log(state.probabilities[row]))
        logits = weight @ h[row] + shift  # at weight 0 the probabilities are the state's
        F.cross_entropy(logits[None], logits.argmax()[None]).backward()
        assert weight.grad is not None
        gradients.append(weight.grad.flatten().numpy())
    found = np.array(gradients)
    np.testing.assert_allclose(Badge().scores(state, (), _rng()), np.square(found).sum(1), atol=1e-12)
    distance = np.square(found[:, None] - found[None, [1, 4]]).sum(2).min(1)
    noise = _rng(7).gumbel(size=len(found))
    expected = np.log(distance + 1e-30) + noise
    np.testing.assert_allclose(
        Badge().scores(state, (1, 4), _rng(7))[[0, 2, 3]], expected[[0, 2, 3]], atol=1e-9
    )


def test_badge_draws_in_proportion_to_the_squared_distance() -> None:
    state = random_state(m=4)
    rng = _rng(1)
    draws = [int(np.argmax(Badge().scores(state, (0,), rng))) for _ in range(4000)]
    residual = state.probabilities - np.eye(3)[state.probabilities.argmax(1)]
    g = (residual[:, :, None] * state.pool[:, None, :]).reshape(4, -1)
    weight = np.square(g - g[0]).sum(1)
    expected = weight / weight.sum()
    sigma = np.sqrt(expected * (1 - expected) / 4000)
    assert np.all(np.abs(np.bincount(draws, minlength=4) / 4000 - expected) <= 4 * sigma + 1e-12)
