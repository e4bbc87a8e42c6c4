"""Prototypes against a NumPy loop, and equation 2 against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers import small_batch, tiny_learner
from workbench.learners.prototypical import Prototypical, prototypes, squared_distances


@pytest.mark.parametrize("shots", [(1, 1), (5, 5, 5), (1, 4, 2, 7)])
def test_prototypes_equal_a_numpy_loop(shots: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(len(shots)), shots))
    z = rng.normal(size=(len(labels), 6))
    expected = np.zeros((len(shots), 6))
    for k in range(len(shots)):
        members = [z[i] for i in range(len(z)) if labels[i] == k]
        for value in members:
            expected[k] += value / len(members)
    found = prototypes(torch.from_numpy(z), torch.from_numpy(labels), len(shots))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_probabilities_are_a_softmax_of_negative_squared_distances() -> None:
    rng = np.random.default_rng(1)
    q, c = rng.normal(size=(4, 3)), rng.normal(size=(2, 3))
    distance = np.array(
        [[sum((q[i, d] - c[k, d]) ** 2 for d in range(3)) for k in range(2)] for i in range(4)]
    )
    np.testing.assert_allclose(
        squared_distances(torch.from_numpy(q), torch.from_numpy(c)).numpy(), distance, atol=1e-12
    )


def test_episode_loss_equals_one_computed_episode_by_episode() -> None:
    """Embedding a meta-batch at once must not mix its episodes (evaluation mode: BatchNorm is frozen)."""
    torch.manual_seed(0)
    learner = tiny_learner("prototypical", options={"scale": 0.3})
    assert isinstance(learner, Prototypical)
    learner.eval()
    batch = small_batch(way=3, shot=2, query=4, episodes=3)
    losses = []
    for task in batch.tasks():
        z, q = learner.embed(task.support).detach().numpy(), learner.embed(task.query).detach().numpy()
        y, t = task.support_labels.numpy(), task.query_labels.numpy()
        centre = np.stack([z[y == k].mean(0) for k in range(3)])
        logits = -0.3 * ((q[:, None] - centre[None]) ** 2).sum(-1)
        shifted = logits - logits.max(1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        losses.append(-log_p[np.arange(len(t)), t].mean())
    assert learner.training_loss(batch).value.item() == pytest.approx(np.mean(losses), rel=1e-4)
