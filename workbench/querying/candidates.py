"""What the learned policy knows of each candidate: numbers that mean the same on every condition.

Independent of the number and the order of classes, of the encoder's dimension and of the pool's order. Each
number comes as it is and as its rank in the pool, since 0.3 may be much on one condition and little on
another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torch import Tensor

from workbench.querying.state import Floats, QueryState

_NEIGHBOURS = 10
_SHARPNESS = 10.0
"""Of the nearest-mean committee member: ``softmax(10 cos)``."""
NUMBERS = (
    "entropy",
    "margin",
    "gradient",
    "disagreement",
    "distance",
    "contrast",
    "density",
    "coverage",
    "doubt around",
    "relief",
)
"""Names of the numbers, in order; see `candidates`."""
CONTEXT = ("labels per class", "classes", "doubt", "far off", "imbalance", "disagreement")
"""Names of what is the same for all candidates, in order."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """A pool as the policy sees it.

    Attributes:
        numbers: float32 ``(m, 2 * len(NUMBERS))``: each number, then its rank in the pool, -1 to 1.
        context: float32 ``(len(CONTEXT),)``.
    """

    numbers: Tensor
    context: Tensor


def candidates(state: QueryState, picked: Sequence[int] = ()) -> Candidates:
    """Describe a pool.

    Scans picked for the same batch count as covered; their labels are not known. The numbers of a scan x with
    probabilities p, z being embeddings and s(z, z') cosines:

    - entropy, margin: see `QueryState`
    - gradient: ``|p - e|^2``, which BADGE measures
    - disagreement: Jensen-Shannon divergence of p and the nearest-mean reading of the same support
    - distance: to the nearest scan labelled or picked
    - contrast: between its nearest labelled scan and the nearest of another class
    - density: mean s with its 10 nearest scans of the pool
    - coverage: mean over the pool of how much nearer a scan's nearest label would be with x labelled (the
      gain of facility location; Nemhauser, Wolsey and Fisher 1978)
    - doubt around: mean entropy of its 10 nearest scans of the pool
    - relief: ``sum_k p_k / n_k`` over the mean of ``1 / n_k``, with n_k labels of class k: above 1 where a
      rare class is likely
    """
    p = state.probabilities
    counts = np.bincount(state.support_labels, minlength=state.way)
    near = np.hstack([state.support_cosines, state.pool_cosines(picked)]).max(1)
    means = _nearest_mean(state, counts)
    density, doubt, coverage = _surroundings(state, near)
    disagreement = _divergence(p, means)
    numbers = np.stack(
        [
            state.entropy,
            state.margin,
            np.square(p - np.eye(state.way)[p.argmax(1)]).sum(1),
            disagreement,
            np.sqrt(np.clip(2 - 2 * near, 0, None)),
            _contrast(state),
            density,
            coverage / max(coverage.max(), 1e-9),
            doubt,
            (p / counts).sum(1) / np.mean(1 / counts),
        ],
        axis=1,
    )
    # Rounded, so that what differs by the order of a sum only shares a rank.
    ranks = 2 * (rankdata(np.round(numbers, 9), axis=0) - 0.5) / len(numbers) - 1
    share = counts / counts.sum()
    context = [
        np.log(counts.sum() / state.way),
        2 / state.way,
        state.entropy.mean(),
        float(np.sqrt(np.clip(2 - 2 * near, 0, None)).mean()),
        1 + float((share * np.log(np.maximum(share, 1e-12))).sum()) / np.log(state.way),
        disagreement.mean(),
    ]
    return Candidates(
        torch.from_numpy(np.hstack([numbers, ranks])).float(), torch.tensor(context, dtype=torch.float32)
    )


def _nearest_mean(state: QueryState, counts: npt.NDArray[np.int64]) -> Floats:
    member = np.eye(state.way)[state.support_labels]
    logits = _SHARPNESS * (state.support_cosines @ member) / counts
    unnormalised = np.exp(logits - logits.max(1, keepdims=True))
    values: Floats = unnormalised / unnormalised.sum(1, keepdims=True)
    return values


def _divergence(p: Floats, q: Floats) -> Floats:
    """Jensen-Shannon divergence over log 2: 0 (the same) to 1, row by row."""
    middle = (p + q) / 2

    def from_middle(x: Floats) -> Floats:
        values: Floats = (x * (np.log(np.maximum(x, 1e-12)) - np.log(np.maximum(middle, 1e-12)))).sum(1)
        return values

    return (from_middle(p) + from_middle(q)) / float(2 * np.log(2))


def _contrast(state: QueryState) -> Floats:
    """Cosine with the nearest labelled scan less that with the nearest of another class."""
    best = np.stack(
        [state.support_cosines[:, state.support_labels == k].max(1) for k in range(state.way)], axis=1
    )
    best.sort(axis=1)
    values: Floats = best[:, -1] - best[:, -2]
    return values


def _surroundings(state: QueryState, near: Floats) -> tuple[Floats, Floats, Floats]:
    """Density, doubt around and coverage, in chunks: a large pool is not compared with itself at once."""
    count = min(_NEIGHBOURS, len(state))
    density, doubt, coverage = (np.empty(len(state)) for _ in range(3))
    for rows in state.chunks():
        cosines = state.pool[rows] @ state.pool.T
        coverage[rows] = np.clip(cosines - near, 0, None).mean(1)
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        density[rows] = np.take_along_axis(cosines, nearest, 1).mean(1)
        doubt[rows] = state.entropy[nearest].mean(1)
    return density, doubt, coverage
