"""Variations of a condition, so that a policy meets more conditions than there are.

Classes are left out, merged, and made rare; embeddings are blurred. The encoder was trained on some of the
conditions a policy learns from, where classes lie further apart than on any new one: blur takes that away.
"""

from __future__ import annotations

import numpy as np
import torch

from workbench.data.examples import Features
from workbench.querying.simulation import Condition

_FEWEST = 12
"""Patients that a class keeps, if it has them."""


def varied(condition: Condition, rng: np.random.Generator) -> Condition:
    """A condition made of parts of another; rows and patients keep belonging together.

    - 2 to 8 of its classes
    - half the time, these merged into fewer, at least two
    - half the time, each class thinned to a share of its images drawn log-uniformly from 10 to 100 %
    - half the time, Gaussian noise of up to the embeddings' own root mean square deviation, the same for
      every walk
    """
    way = condition.way
    kept = rng.permutation(way)[: int(rng.integers(2, min(way, 8) + 1))]
    groups = np.arange(len(kept))
    if len(kept) > 2 and rng.random() < 0.5:
        few = int(rng.integers(2, len(kept)))
        groups = np.concatenate([np.arange(few), rng.integers(few, size=len(kept) - few)])
    group_of = np.full(way, -1)
    group_of[kept] = groups
    labels = group_of[condition.labels]
    rows = np.flatnonzero(labels >= 0)
    if rng.random() < 0.5:
        rows = _thinned(rows, labels, condition.patients, rng)
    values = condition.features.values[torch.from_numpy(rows)]
    if rng.random() < 0.5:
        scale = (values - values.mean(0)).square().mean().sqrt() * float(rng.random())
        noise = torch.from_numpy(rng.standard_normal(values.shape, dtype=np.float32))
        values = values + scale * noise
    return Condition(condition.name, Features(values), labels[rows], condition.patients[rows])


def _thinned(
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    labels: np.ndarray[tuple[int], np.dtype[np.int64]],
    patients: np.ndarray[tuple[int], np.dtype[np.int64]],
    rng: np.random.Generator,
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    out = []
    for label in np.unique(labels[rows]):
        mine = rows[labels[rows] == label]
        order = rng.permutation(np.unique(patients[mine]))
        most = max(_FEWEST, int(len(order) * 10 ** -rng.random()))
        out.append(mine[np.isin(patients[mine], order[:most])])
    found = np.concatenate(out)
    found.sort()
    return found
