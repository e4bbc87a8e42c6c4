"""Random: what every strategy must beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from workbench.querying.state import Floats, QueryState
from workbench.querying.strategy import QueryStrategy


class RandomChoice(QueryStrategy):
    """Every scan is as likely as any other."""

    name: ClassVar[str] = "random"
    citation: ClassVar[str] = "no choice at all"
    reason: ClassVar[str] = "drawn at random"

    def scores(self, state: QueryState, picked: Sequence[int], rng: np.random.Generator) -> Floats:
        """See `QueryStrategy.scores`."""
        return rng.random(len(state))
