"""Why a scan is suggested, in words for whoever labels it."""

from __future__ import annotations

import numpy as np

from workbench.querying.candidates import NUMBERS, candidates
from workbench.querying.state import QueryState

_HIGH, _LOW = 0.8, -0.8
"""Rank in the pool, -1 to 1, from which on a property is worth naming: the upper and the lower tenth."""


def reason(state: QueryState, classes: tuple[str, ...], row: int, of_strategy: str) -> str:
    """One sentence: what the strategy saw in the scan, then what stands out about it in the pool.

    Args:
        state: see there.
        classes: names of the classes.
        row: of the scan in the pool.
        of_strategy: `QueryStrategy.reason`.
    """
    p = state.probabilities[row]
    first, second = (int(k) for k in np.argsort(-p)[:2])
    described = candidates(state).numbers[row, len(NUMBERS) :].tolist()
    rank = dict(zip(NUMBERS, described, strict=True))
    found = []
    if rank["margin"] < _LOW:
        found.append(
            f"it lies between {classes[first]!r} ({p[first]:.2f}) and {classes[second]!r} ({p[second]:.2f})"
        )
    if rank["distance"] > _HIGH:
        found.append("it is unlike every labelled scan")
    if rank["coverage"] > _HIGH:
        found.append("many scans of the pool are like it and unlike those labelled")
    elif rank["density"] > _HIGH:
        found.append("it is typical of the pool")
    if rank["disagreement"] > _HIGH:
        found.append("the model and the nearest class mean disagree about it")
    if rank["relief"] > _HIGH:
        found.append("it may be of a class with few labels")
    text = of_strategy[0].upper() + of_strategy[1:]
    return f"{text}: {'; '.join(found)}." if found else f"{text}."
