"""K-means: typical scans of parts of the pool where nothing is labelled.

Zhdanov, "Diverse mini-batch Active Learning", 2019, clusters the pool into as many parts as there are
queries; with a few labels there is one query at a time, so that labelled scans count as centres that are
taken, as in Hacohen, Dekel and Weinshall, "Active Learning on a Budget", ICML 2022: pool and support together
are cut into one cluster more than there are scans labelled or picked, along their principal directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from sklearn.cluster import KMeans

from workbench.querying.state import Floats, QueryState
from workbench.querying.strategy import QueryStrategy

_MOST = 64
"""Clusters; with more labels than these, clusters with fewest labels come first."""


class KMeansCentres(QueryStrategy):
    """See the module's description."""

    name: ClassVar[str] = "k-means"
    citation: ClassVar[str] = "Zhdanov 2019; Hacohen et al. 2022"
    reason: ClassVar[str] = "it is typical of a large group of scans of which none is labelled"

    def scores(self, state: QueryState, picked: Sequence[int], rng: np.random.Generator) -> Floats:
        """Rank: fewest labels in the cluster first, then the largest cluster, then nearest to its centre."""
        m, n = len(state), len(state.support)
        clusters = min(n + len(picked) + 1, m + n, _MOST)
        found = KMeans(clusters, n_init=1, max_iter=20, random_state=int(rng.integers(2**31)))
        found.fit(state.principal)
        mine = found.labels_[:m]
        done = np.concatenate([found.labels_[m:], mine[list(picked)]])
        labels = np.bincount(done, minlength=clusters)[mine]
        size = np.bincount(mine, minlength=clusters)[mine]
        away = np.linalg.norm(state.principal[:m] - found.cluster_centers_[mine], axis=1)
        scores = np.empty(m)
        scores[np.lexsort((away, -size, labels))] = np.arange(m, 0, -1)
        return scores
