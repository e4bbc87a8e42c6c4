"""Margin sampling.

Scheffer, Decomain and Wrobel, "Active Hidden Markov Models for Information Extraction", 2001.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from workbench.querying.state import Floats, QueryState
from workbench.querying.strategy import QueryStrategy


class Margin(QueryStrategy):
    """The scan whose two most probable classes lie closest together."""

    name: ClassVar[str] = "margin"
    citation: ClassVar[str] = "Scheffer et al. 2001"
    reason: ClassVar[str] = "the model can hardly decide between its two most probable classes"

    def scores(self, state: QueryState, picked: Sequence[int], rng: np.random.Generator) -> Floats:
        """Minus the margin ``p_1 - p_2``."""
        return -state.margin
