"""The contract of a query strategy.

A strategy scores the pool; how a batch of patients is made of scores is the same for all (`choose`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from workbench.querying.state import Floats, QueryState


class QueryStrategy(ABC):
    """Says which scan of a pool to label next.

    Attributes:
        name: as used on the command line and in plans.
        citation: paper.
        reason: why a suggestion is made, in words for whoever labels.
    """

    name: ClassVar[str]
    citation: ClassVar[str]
    reason: ClassVar[str]

    @abstractmethod
    def scores(self, state: QueryState, picked: Sequence[int], rng: np.random.Generator) -> Floats:
        """How much each pool scan is wanted next, ``(m,)``; the largest is taken.

        Args:
            state: see there.
            picked: rows of the pool already chosen for this batch, whose labels are not known yet.
            rng: the only source of chance.
        """

    def choose(self, state: QueryState, n: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Rows of the pool to label, most wanted first; fewer than n if the pool is smaller.

        Each is taken from `eligible`: a shot is a patient.
        """
        picked: list[int] = []
        while len(picked) < min(n, len(state)):
            scores = np.where(eligible(state, picked), self.scores(state, picked, rng), -np.inf)
            picked.append(int(np.argmax(scores)))
        return tuple(picked)


def eligible(state: QueryState, picked: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Which scans may be picked next, ``(m,)``.

    Those of patients who have neither a labelled scan nor one in this batch; if there are none, of
    patients with none in this batch; if there are none either, all that are not picked.
    """
    free = np.ones(len(state), dtype=bool)
    free[list(picked)] = False
    queried = {state.patients[row] for row in picked}
    for avoided in (queried | state.labelled_patients, queried):
        fresh = np.array([patient not in avoided for patient in state.patients], dtype=bool)
        usable: npt.NDArray[np.bool_] = free & fresh
        if usable.any():
            return usable
    return free
