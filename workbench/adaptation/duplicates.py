"""Pairs of labelled scans that are one image: of different classes, or given as different patients.

Exact copies are refused when scans are read. Here it is about what a copy becomes when it is saved again,
scaled, cropped or brightened: thumbnails and their difference hashes agree (see `workbench.data.near`), or
the embeddings lie far closer together than scans of different patients do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.data.near import near_pairs, thumbnail

NEAR = 0.25
"""An embedding distance below this share of the median distance to the nearest other patient is a copy's."""
FEW = 8
"""Scans below which that median says nothing, and pictures alone are compared."""


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two scans that look like one.

    Attributes:
        first, second: rows in the support.
        by_picture, by_embedding: what found the pair.
        across_classes: whether their labels differ.
    """

    first: int
    second: int
    by_picture: bool
    by_embedding: bool
    across_classes: bool


def find_duplicates(
    images: npt.NDArray[np.uint8] | None,
    embeddings: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    patients: Sequence[str],
) -> tuple[DuplicatePair, ...]:
    """Pairs across classes or patients, contradicting labels first.

    Two scans of one patient and class may look alike; such pairs are left out.

    Args:
        images: uint8 ``(n, size, size, channels)`` made by the recipe; of volumes
            ``(n, depth, size, size, channels)``, whose middle slices are compared; None where only
            embeddings are known.
        embeddings: of unit length, ``(n, d)``.
        labels: int64 ``(n,)``.
        patients: key of each scan.
    """
    by_picture: set[tuple[int, int]] = set()
    if images is not None:
        planes = images if images.ndim == 4 else images[:, images.shape[1] // 2]
        pictures = np.stack([thumbnail(plane.mean(axis=2).round().astype(np.uint8)) for plane in planes])
        by_picture = {(int(a), int(b)) for a, b in near_pairs(pictures)}
    by_embedding = _near_in_embedding(embeddings, patients)
    found = [
        DuplicatePair(a, b, (a, b) in by_picture, (a, b) in by_embedding, bool(labels[a] != labels[b]))
        for a, b in sorted(by_picture | by_embedding)
        if labels[a] != labels[b] or patients[a] != patients[b]
    ]
    return tuple(sorted(found, key=lambda pair: (not pair.across_classes, pair.first, pair.second)))


def _near_in_embedding(embeddings: npt.NDArray[np.float64], patients: Sequence[str]) -> set[tuple[int, int]]:
    if len(embeddings) < FEW:
        return set()
    # |u - v|^2 = 2 - 2 u.v for unit vectors.
    distance = np.sqrt(np.clip(2 - 2 * embeddings @ embeddings.T, 0, None))
    owner = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)[1]
    apart = np.where(owner[:, None] != owner[None], distance, np.inf)
    nearest = apart.min(axis=1)
    if not np.isfinite(nearest).any():
        return set()
    limit = NEAR * float(np.median(nearest[np.isfinite(nearest)]))
    rows, others = np.nonzero(np.triu(distance < limit, k=1))
    return {(int(a), int(b)) for a, b in zip(rows, others, strict=True)}
