"""Labelled scans that the encoder finds out of place: unlike all others, or as good as the same.

What headers and pixels do not say (a knee among chests, a cropped copy under another patient) shows in the
embedding. Called by the command line and the web UI after adapting; `workbench.data.quality` judges what
needs no encoder, and ``python -m benchmarks.quality`` prints how much of what is found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workbench.data.examples import Support
from workbench.imaging.scan import Finding, Severity
from workbench.learners.base import Classifier

ENOUGH = 6
"""Scans below which nothing is said."""
NEAREST = 3
UNLIKE = 1.9
"""Mean distance to the three nearest others, in medians of the same over the rest, above which a scan is
unlike."""
COPY = 0.35
"""Distance, in medians of the distance to the nearest other, below which two scans are as good as the
same."""


def embedding_findings(classifier: Classifier, support: Support) -> tuple[tuple[Finding, ...], ...]:
    """Findings of each labelled scan: `unlike-others`, `near-copy`.

    Copies are scans of different patients, or of one patient under different labels. Scans of one patient do
    not speak for each other: a patient of the wrong body part is found even if two scans of it were given.

    Args:
        classifier: adapted to the support.
        support: its labelled scans, in the same order.

    Returns:
        a tuple of findings for each scan of the support.
    """
    n = len(support)
    if n < ENOUGH:
        return ((),) * n
    patients = np.unique(np.array(support.patients), return_inverse=True)[1]
    labels = support.labels.numpy()
    distances = pairwise(classifier.support_embeddings.double().numpy())
    other = patients[:, None] != patients[None]
    apart = np.where(other, distances, np.inf)
    copies = _copies(distances, other | ((labels[:, None] != labels[None]) & ~np.eye(n, dtype=bool)), apart)
    found: list[tuple[Finding, ...]] = []
    for row, is_unlike in enumerate(unlike(apart)):
        mine = [_UNLIKE] if is_unlike else []
        if copies[row].any():
            mine.append(_TWICE if (labels[copies[row]] == labels[row]).all() else _CONTRADICTION)
        found.append(tuple(mine))
    return tuple(found)


def pairwise(embeddings: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Euclidean distances ``(n, n)`` between rows of unit length."""
    return np.asarray(np.sqrt(np.clip(2.0 - 2.0 * embeddings @ embeddings.T, 0.0, None)))


def unlike(apart: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which scans lie far from all others, bool ``(n,)``.

    Args:
        apart: distances ``(n, n)``, infinite where two scans must not be compared.
    """
    near = np.sort(apart, axis=1)[:, :NEAREST]
    own = np.where(np.isfinite(near).all(axis=1), near.mean(axis=1), np.nan)
    far = np.zeros(len(apart), dtype=bool)
    for row in np.flatnonzero(np.isfinite(own)):
        rest = np.delete(own, row)
        rest = rest[np.isfinite(rest)]
        far[row] = len(rest) >= ENOUGH - 1 and own[row] > UNLIKE * max(float(np.median(rest)), 1e-9)
    return far


def _copies(
    distances: npt.NDArray[np.float64], compared: npt.NDArray[np.bool_], apart: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    nearest = apart.min(axis=1)
    usual = float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else 0.0
    return (distances < COPY * usual) & compared


_UNLIKE = Finding(
    "unlike-others",
    Severity.WARNING,
    "The encoder finds it unlike all other labelled scans.",
    "Check that it shows the same body part with the same modality.",
)
_TWICE = Finding(
    "near-copy",
    Severity.WARNING,
    "The encoder finds it as good as the same as a scan given as another patient's.",
    "Give both to one patient, or remove one; otherwise estimates come out too good.",
)
_CONTRADICTION = Finding(
    "near-copy",
    Severity.WARNING,
    "The encoder finds it as good as the same as a scan with another label.",
    "Keep it under the right label only.",
)
