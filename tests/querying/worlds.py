"""Small conditions and states whose best query is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from tests.userfiles import pixel_learner
from workbench.data.examples import Features
from workbench.learners.base import Learner
from workbench.querying.simulation import Condition
from workbench.querying.state import QueryState


def learner() -> Learner:
    """A linear probe that is given features."""
    return pixel_learner("linear-probe")


def random_state(m: int = 14, n: int = 6, way: int = 3, seed: int = 0) -> QueryState:
    """A state of noise; two scans of each patient."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((m + n, 5))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    p = rng.dirichlet(np.ones(way), size=m)
    labels = np.concatenate([np.arange(way), rng.integers(way, size=n - way)])
    return QueryState(p, values[:m], values[m:], labels, tuple(f"p{i // 2}" for i in range(m)))


def permuted(state: QueryState, order: np.ndarray) -> QueryState:
    """The same pool in another order."""
    return replace(
        state,
        probabilities=state.probabilities[order],
        pool=state.pool[order],
        patients=tuple(state.patients[i] for i in order),
    )


def crosses(seed: int = 0, name: str = "crosses", common: int = 60, rare: int = 8) -> Condition:
    """Two classes, each of a common group and a rare one on the other side of the rival's common group.

    A classifier that has seen common scans only reads the rare groups wrongly, so labels of rare scans are
    worth more than any others; held-out patients are drawn from a condition where groups weigh as here.
    """
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0], [4.0, 4.0], [4.0, 0.0], [0.0, 4.0]])
    labels = np.repeat([0, 0, 1, 1], [common, rare, common, rare])
    group = np.repeat([0, 1, 2, 3], [common, rare, common, rare])
    values = np.zeros((len(labels), 6), dtype=np.float32)
    values[:, :2] = centres[group]
    values[:, 2] = (group % 2) * 6.0
    values += rng.normal(0, 0.4, values.shape)
    return Condition(name, Features(torch.from_numpy(values)), labels, np.arange(len(labels)))


def blobs(way: int = 3, each: int = 12, scans: int = 1, apart: float = 3.0, seed: int = 0) -> Condition:
    """Gaussian classes; `scans` of each patient."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(way), each * scans)
    values = rng.standard_normal((len(labels), 6)).astype(np.float32)
    values[np.arange(len(labels)), labels] += apart
    patients = np.repeat(np.arange(way * each), scans)
    return Condition("blobs", Features(torch.from_numpy(values)), labels, patients)
