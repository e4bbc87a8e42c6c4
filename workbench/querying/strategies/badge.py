"""BADGE: Ash, Zhang, Krishnamurthy, Langford and Agarwal, "Deep Batch Active Learning by Diverse, Uncertain
Gradient Lower Bounds", ICLR 2020.

The gradient of the last layer's loss at the predicted label is ``(p - e) h^T`` (their equation 1), where h is
the embedding, p the probabilities and e the predicted class's unit vector. Inner products of two such are
``((p - e) . (p' - e')) (h . h')``, so that they are never written out. A batch is drawn by k-means++
(Arthur and Vassilvitskii 2007), the longest gradient first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from workbench.querying.state import Floats, QueryState
from workbench.querying.strategy import QueryStrategy


class Badge(QueryStrategy):
    """See the module's description."""

    name: ClassVar[str] = "badge"
    citation: ClassVar[str] = "Ash et al. 2020"
    reason: ClassVar[str] = "its label would change the model most, and differently from the others suggested"

    def scores(self, state: QueryState, picked: Sequence[int], rng: np.random.Generator) -> Floats:
        """Squared length for the first; then log D^2 plus Gumbel noise, whose maximum is a draw from D^2."""
        residual = state.probabilities - np.eye(state.way)[state.probabilities.argmax(1)]
        length: Floats = np.square(residual).sum(1) * np.square(state.pool).sum(1)
        if not picked:
            return length
        chosen = list(picked)
        products = (residual @ residual[chosen].T) * state.pool_cosines(chosen)
        apart = np.clip(length[:, None] + length[None, chosen] - 2 * products, 0, None).min(1)
        drawn: Floats = np.log(apart + 1e-30) + rng.gumbel(size=len(state))
        return drawn
