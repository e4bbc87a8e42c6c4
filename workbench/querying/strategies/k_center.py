"""Core-set: Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach",
ICLR 2018.

Greedy k-center (algorithm 1): the scan farthest from everything labelled or picked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from workbench.querying.state import Floats, QueryState
from workbench.querying.strategy import QueryStrategy


class KCenter(QueryStrategy):
    """See the module's description."""

    name: ClassVar[str] = "k-center"
    citation: ClassVar[str] = "Sener and Savarese 2018"
    reason: ClassVar[str] = "it is the least like any scan labelled so far"

    def scores(self, state: QueryState, picked: Sequence[int], rng: np.random.Generator) -> Floats:
        """Distance ``sqrt(2 - 2 cos)`` to the nearest scan labelled or picked."""
        nearest = np.hstack([state.support_cosines, state.pool_cosines(picked)]).max(1)
        distance: Floats = np.sqrt(np.clip(2 - 2 * nearest, 0, None))
        return distance
