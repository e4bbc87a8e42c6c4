"""What a query strategy may look at: the classifier's reading of the unlabelled pool, and embeddings.

There is no label of a pool scan in here, and nothing of any held-out scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from workbench.data.examples import Features
from workbench.learners.base import Classifier, frozen

Floats = npt.NDArray[np.float64]
_CHUNK = 256
"""Rows compared with the whole pool at once; bounds memory to `_CHUNK` times the pool."""
_DIRECTIONS = 64


@dataclass(frozen=True, eq=False)
class QueryState:
    """A classifier and the pool it is unsure about.

    Attributes:
        probabilities: ``(m, way)`` of the pool's m scans.
        pool: embeddings ``(m, d)``, less the mean of pool and support, of unit length.
        support: of the labelled scans, likewise, ``(n, d)``.
        support_labels: int64 ``(n,)`` in ``[0, way)``; every class occurs.
        patients: key of each pool scan.
        labelled_patients: keys of patients with a labelled scan.
    """

    probabilities: Floats
    pool: Floats
    support: Floats
    support_labels: npt.NDArray[np.int64]
    patients: tuple[str, ...]
    labelled_patients: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.pool)

    @property
    def way(self) -> int:
        """Number of classes."""
        return int(self.probabilities.shape[1])

    @cached_property
    def support_cosines(self) -> Floats:
        """Of every pool scan with every labelled one, ``(m, n)``."""
        cosines: Floats = self.pool @ self.support.T
        return cosines

    @cached_property
    def entropy(self) -> Floats:
        """Of the probabilities, over its largest value: 0 (certain) to 1, ``(m,)``."""
        p = np.clip(self.probabilities, 1e-12, 1.0)
        values: Floats = -(p * np.log(p)).sum(1) / np.log(self.way)
        return values

    @cached_property
    def margin(self) -> Floats:
        """Between the two most probable classes, 0 (undecided) to 1, ``(m,)``."""
        top = np.sort(self.probabilities, axis=1)
        values: Floats = top[:, -1] - top[:, -2]
        return values

    @cached_property
    def principal(self) -> Floats:
        """Pool, then support, along the directions in which they vary most, ``(m + n, at most 64)``."""
        everything = np.vstack([self.pool, self.support])
        squares, directions = np.linalg.eigh(everything @ everything.T)  # ascending
        values: Floats = directions[:, -_DIRECTIONS:] * np.sqrt(np.clip(squares[-_DIRECTIONS:], 0, None))
        return values

    def pool_cosines(self, rows: Sequence[int]) -> Floats:
        """Of every pool scan with some of them, ``(m, len(rows))``."""
        cosines: Floats = self.pool @ self.pool[list(rows)].T
        return cosines

    def chunks(self) -> list[slice]:
        """Runs of rows, together the whole pool."""
        return [slice(start, start + _CHUNK) for start in range(0, len(self), _CHUNK)]


def query_state(
    classifier: Classifier,
    pool: Features,
    patients: Sequence[str],
    labelled_patients: frozenset[str] = frozenset(),
) -> QueryState:
    """The state of a classifier, whether just adapted or read from a file.

    Args:
        classifier: keeps the embeddings of its support.
        pool: features of the unlabelled scans by the classifier's learner.
        patients: key of each of them.
        labelled_patients: keys of patients with a labelled scan.
    """
    with frozen(classifier.learner), torch.no_grad():
        embedded = F.normalize(classifier.head.embed(pool.values).flatten(1), dim=1)
    support = classifier.support_embeddings
    together = torch.cat([embedded, support]).double()
    # All embeddings share a large common part, which would make every cosine nearly 1.
    apart = F.normalize(together - together.mean(0), dim=1).numpy()
    return QueryState(
        classifier.predict(pool).probabilities,
        apart[: len(embedded)],
        apart[len(embedded) :],
        classifier.support_labels.numpy(),
        tuple(patients),
        labelled_patients,
    )
