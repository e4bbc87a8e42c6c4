"""Labelled scans whose label is probably wrong.

Two witnesses are asked about each scan, neither of whom has seen another scan of its patient:

1. A model adapted to all other patients. Its normalised margin ``p(given label) - largest other p`` ranks
   scans, and by confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty
   in Dataset Labels", JAIR 70, 2021, section 3) a scan is counted as of class j where ``p_j`` reaches class
   j's own threshold, the mean of ``p_j`` over the scans labelled j.
2. The nearest labelled scans of other patients: the share of them with the given label, classes counting the
   same (Wilson, "Asymptotic Properties of Nearest Neighbor Rules Using Edited Data", IEEE Transactions on
   Systems, Man, and Cybernetics 2, 1972).

A scan is a suspect where both speak against its label. All judged scans are ranked, suspects or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NEIGHBOURS = 5
Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LabelDoubt:
    """How doubtful one label is.

    Attributes:
        row: of the scan in the support.
        given, likely: indices of its class and of the class it is probably of.
        score: 0 (both witnesses sure of the label) to 1 (both sure of another).
        is_suspect: whether both speak against the label.
    """

    row: int
    given: int
    likely: int
    score: float
    is_suspect: bool


def label_doubts(
    probabilities: Values,
    judged: npt.NDArray[np.bool_],
    embeddings: Values,
    labels: Labels,
    patients: Sequence[str],
) -> tuple[LabelDoubt, ...]:
    """Every judged scan, the most doubtful label first.

    Args:
        probabilities: leave-one-patient-out, ``(n, k)``; see `workbench.adaptation.estimate.Estimate`.
        judged: ``(n,)``; scans whose class has no other patient are left out.
        embeddings: of unit length, ``(n, d)``.
        labels: int64 ``(n,)`` from 0.
        patients: key of each scan.
    """
    margin, counted = confident_classes(probabilities, judged, labels)
    agreement = neighbour_agreement(embeddings, labels, patients)
    doubts = []
    for row in np.flatnonzero(judged).tolist():
        given = int(labels[row])
        others = np.where(np.arange(probabilities.shape[1]) == given, -1.0, probabilities[row])
        likely = int(others.argmax())
        score = 1 - ((margin[row] + 1) / 2 + agreement[row]) / 2
        is_suspect = bool(counted[row] not in (-1, given) and agreement[row] < 0.5)
        doubts.append(LabelDoubt(row, given, likely, float(score), is_suspect))
    return tuple(sorted(doubts, key=lambda doubt: -doubt.score))


def confident_classes(
    probabilities: Values, judged: npt.NDArray[np.bool_], labels: Labels
) -> tuple[Values, npt.NDArray[np.int64]]:
    """Normalised margin of each scan's label, and the class confident learning counts it as (-1 for none).

    Args:
        probabilities, judged, labels: see `label_doubts`.

    Returns:
        Margins ``(n,)`` in -1 to 1, NaN where not judged; classes ``(n,)``.
    """
    n, way = probabilities.shape
    margin = np.full(n, np.nan)
    counted = np.full(n, -1, dtype=np.int64)
    # A class of which no scan could be judged has no threshold, and nothing is counted as it.
    members = [judged & (labels == k) for k in range(way)]
    thresholds = np.array(
        [probabilities[mine, k].mean() if mine.any() else np.inf for k, mine in enumerate(members)]
    )
    for row in np.flatnonzero(judged).tolist():
        own = probabilities[row]
        margin[row] = own[labels[row]] - np.delete(own, labels[row]).max()
        reached = np.where(own >= thresholds, own, -1.0)
        if reached.max() >= 0:
            counted[row] = int(reached.argmax())
    return margin, counted


def neighbour_agreement(
    embeddings: Values, labels: Labels, patients: Sequence[str], count: int = NEIGHBOURS
) -> Values:
    """Share of the nearest scans of other patients that have the scan's own label, ``(n,)`` in 0 to 1.

    Each neighbour weighs one over the number of scans of its class among the candidates, so that a large
    class does not outvote a small one.
    """
    owner = np.asarray(patients, dtype=object)
    distance = -embeddings @ embeddings.T
    agreement = np.ones(len(labels))
    for row in range(len(labels)):
        others = np.flatnonzero(owner != owner[row])
        if len(others) == 0:
            continue
        near = others[np.argsort(distance[row, others], kind="stable")[:count]]
        sizes = np.bincount(labels[others], minlength=int(labels.max()) + 1)
        weights = 1.0 / sizes[labels[near]]
        agreement[row] = float(weights[labels[near] == labels[row]].sum() / weights.sum())
    return agreement
