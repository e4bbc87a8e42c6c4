"""Uncertainty sampling: Lewis and Gale 1994; Settles, "Active Learning Literature Survey", 2009, 3.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from workbench.querying.state import Floats, QueryState
from workbench.querying.strategy import QueryStrategy


class Entropy(QueryStrategy):
    """The scan whose class the model is least sure of."""

    name: ClassVar[str] = "entropy"
    citation: ClassVar[str] = "Lewis and Gale 1994; Settles 2009"
    reason: ClassVar[str] = "the model is least sure of its class"

    def scores(self, state: QueryState, picked: Sequence[int], rng: np.random.Generator) -> Floats:
        """``-sum_k p_k log p_k``, over its largest value."""
        return state.entropy
