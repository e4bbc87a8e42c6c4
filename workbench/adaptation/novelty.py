"""Is this scan like the labelled ones? Distances from a new scan to a support, larger for stranger.

`Mahalanobis` is the default: on the meta-validation conditions it told scans of another modality, body
part or site from those of the condition best (docs/benchmarks/reading.md has all of them on held-out ones).

    mahalanobis  min over classes k of (z - m_k)' S^-1 (z - m_k), S the within-class covariance shrunk
    towards a
                 multiple of the identity (Lee et al., "A Simple Unified Framework for Detecting
                 Out-of-Distribution Samples", NeurIPS 2018, equation 2; Ledoit and Wolf, "A well-conditioned
                 estimator for large-dimensional covariance matrices", JMVA 88, 2004)
    nearest      distance to the k-th nearest labelled scan (Sun et al., "Out-of-Distribution Detection
    with Deep
                 Nearest Neighbors", ICML 2022)
    energy       - log sum over classes of exp(logit) (Liu et al., "Energy-based Out-of-distribution
    Detection",
                 NeurIPS 2020, equation 4)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from workbench.learners.appraisal import Familiarity

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
MEASURE = "Mahalanobis"


@dataclass(frozen=True, slots=True, eq=False)
class Mahalanobis:
    """Class means and one shrunk within-class covariance of a support, held in the span of its scans.

    With residuals A (n, d) = U diag(s) V' the covariance is V diag(own) V' + floor I.

    Attributes:
        means: ``(k, d)``.
        directions: V', ``(r, d)``, orthonormal rows.
        variances: of the shrunk covariance along them, ``(r,)``.
        floor: its variance in every other direction.
        dim: d.
    """

    means: Values
    directions: Values
    variances: Values
    floor: float
    dim: int

    @classmethod
    def of(cls, embeddings: Values, labels: Labels, dim: int = 0) -> Mahalanobis:
        """Fit to a support ``(n, d)``.

        Args:
            embeddings: of the scans, or their coordinates in an orthonormal basis of their span.
            labels: of the scans.
            dim: number of the embeddings' directions, where only coordinates are given.
        """
        present = np.unique(labels)
        means = np.stack([embeddings[labels == k].mean(axis=0) for k in present])
        away = embeddings - means[np.searchsorted(present, labels)]
        n, d = len(away), dim or away.shape[1]
        # One degree of freedom is spent on the mean of each class.
        away = away * np.sqrt(n / max(1, n - len(present)))
        gram = away @ away.T
        mean_variance = max(float(np.trace(gram)) / (n * d), 1e-12)
        share = max(shrinkage(gram, d), 1e-3)
        squares, vectors = np.linalg.eigh(gram)
        kept = squares > 1e-10 * max(float(squares[-1]), 1e-12)
        directions = (vectors[:, kept] / np.sqrt(squares[kept])).T @ away
        floor = share * mean_variance
        return cls(means, directions, (1 - share) * squares[kept] / n + floor, floor, d)

    def distances(self, embeddings: Values) -> Values:
        """Squared distance to the nearest class mean, divided by d, ``(n,)``."""
        found = np.full(len(embeddings), np.inf)
        for mean in self.means:
            away = embeddings - mean
            along = away @ self.directions.T
            inside = (along**2 / self.variances).sum(axis=1)
            rest = np.maximum((away**2).sum(axis=1) - (along**2).sum(axis=1), 0) / self.floor
            found = np.minimum(found, (inside + rest) / self.dim)
        return found


def shrinkage(gram: Values, dim: int) -> float:
    """Ledoit and Wolf's share of the identity, from inner products alone.

    Lemmas 3.2 to 3.4, with centred data; the same number as scikit-learn's ``ledoit_wolf_shrinkage``, which
    forms ``(d, d)`` matrices.

    Args:
        gram: inner products of n centred rows, ``(n, n)``.
        dim: d.

    Returns:
        0 to 1; 1 where there is no variance to estimate.
    """
    n = len(gram)
    trace = float(np.trace(gram)) / n
    squared = float((gram**2).sum()) / n**2
    distance = squared - trace**2 / dim
    if distance <= 0:
        return 1.0
    error = float((np.diag(gram) ** 2).sum()) / n**2 - squared / n
    return min(1.0, max(0.0, error / distance))


def nearest(support: Values, embeddings: Values, k: int = 1) -> Values:
    """Euclidean distance between unit vectors to the k-th nearest of a support, ``(n,)``, 0 to 2."""
    squared = np.maximum(2 - 2 * embeddings @ support.T, 0)
    found: Values = np.sqrt(np.sort(squared, axis=1)[:, min(k, len(support)) - 1])
    return found


def energy(logits: Values) -> Values:
    """Energy of each row of logits ``(n, way)``."""
    found: Values = -logsumexp(logits, axis=1)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Novelty:
    """The default distance with what is usual for it.

    Attributes:
        model: of the whole support.
        usual: distances of support scans from the support without their patient, ``(m,)``, largest of each
            patient.
        margin: factor on the median of `usual` beyond which a scan is unlike the support; learned over
            meta-training episodes for one false alarm in twenty.
    """

    model: Mahalanobis
    usual: Values
    margin: float

    def limit(self) -> float:
        """Distance beyond which a scan counts as unlike; NaN where there are too few to say."""
        return self.margin * float(np.median(self.usual)) if len(self.usual) >= MIN_LEFT_OUT else float("nan")

    def familiarity(self, embeddings: Values) -> tuple[Familiarity, ...]:
        """Of each scan on its own."""
        limit = self.limit()
        found = []
        for distance in self.model.distances(embeddings).tolist():
            p = (1 + int((self.usual >= distance).sum())) / (1 + len(self.usual))
            found.append(Familiarity(distance, limit, p, MEASURE))
        return tuple(found)


MIN_LEFT_OUT = 4
"""Patients left out before anything is called usual."""


def usual_distances(embeddings: Values, labels: Labels, patients: npt.NDArray[np.int64]) -> Values:
    """Largest distance among each patient's scans from the support without that patient.

    Args:
        embeddings: of the support, ``(n, d)``.
        labels: of its scans.
        patients: code of each scan's patient.
    """
    # All of them lie in one span: coordinates in it are as good, and shorter.
    dim = embeddings.shape[1]
    embeddings = np.linalg.qr(embeddings.T)[1].T
    found = []
    for patient in np.unique(patients):
        mine = patients == patient
        if not mine.all() and set(labels[mine]) <= set(labels[~mine]):
            rest = Mahalanobis.of(embeddings[~mine], labels[~mine], dim)
            found.append(float(rest.distances(embeddings[mine]).max()))
    return np.array(found)
