"""Is a cohort drifting from the support? A two-sample test on embeddings, by patient.

    E = sum over classes k of m_k n_k / (m_k + n_k) * (2 |X - Y| - |X - X'| - |Y - Y'|)

with mean Euclidean distances between the m_k labelled (X) and n_k new (Y) patients *read as* class k: the
energy distance (Szekely and Rizzo, "Energy statistics", Journal of Statistical Planning and Inference 143,
2013, equation 6.1), summed over strata. Labelled patients stand where they were read when left out, so
that a cohort with other shares of the classes does not count as drift by that alone. p is the share of
permutations within strata with at least this E, the observed one among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.learners.reading import Reading

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

PERMUTATIONS, LEVEL, MIN_PATIENTS = 999, 0.01, 8
"""Permutations; p at or below which drift is stated; patients on each side before anything is said."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What a two-sample test found.

    Attributes:
        p_value: of no drift; None where there are too few patients to say.
        labelled, new: patients compared; of those read as a class that both sides have.
        unlike: new patients with a scan unlike every labelled one.
    """

    p_value: float | None
    labelled: int
    new: int
    unlike: int

    @property
    def drifting(self) -> bool:
        """Whether the cohort is clearly not drawn like the labelled scans."""
        return self.p_value is not None and self.p_value <= LEVEL

    @property
    def statement(self) -> str:
        """In one sentence."""
        compared = f"{self.new} new and {self.labelled} labelled patients compared"
        if self.p_value is None:
            return f"Whether these cases drift from the labelled scans: too few to say ({compared})."
        if self.drifting:
            return (
                f"These cases are not like the labelled scans (p = {self.p_value:.3f}, {compared}): what was "
                "estimated on those need not hold here."
            )
        return f"No drift from the labelled scans is shown (p = {self.p_value:.2f}, {compared})."


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """One scan of each patient.

    Attributes:
        embeddings: L2-normalised, ``(n, d)``.
        read_as: int64 ``(n,)``, the class each was read as.
    """

    embeddings: Values
    read_as: Labels

    def __len__(self) -> int:
        return len(self.read_as)


def energy_test(
    first: Cohort, second: Cohort, permutations: int = PERMUTATIONS, seed: int = 0
) -> tuple[float, float]:
    """E of the module's description and its permutation p.

    Strata that either side lacks are left out; where none is left, E is 0 and p is 1.
    """
    rng = np.random.default_rng(seed)
    observed, permuted = 0.0, np.zeros(permutations)
    for k in np.intersect1d(first.read_as, second.read_as):
        x = first.embeddings[first.read_as == k]
        together = np.concatenate([x, second.embeddings[second.read_as == k]])
        m, n = len(x), len(together) - len(x)
        gram = together @ together.T
        squares = np.diag(gram)
        distance = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * gram, 0))
        sides = np.zeros((permutations + 1, m + n))
        sides[0, :m] = 1
        for row in range(1, permutations + 1):
            sides[row, rng.permutation(m + n)[:m]] = 1
        sums = sides @ distance
        inside = (sums * sides).sum(axis=1)
        across = (sums * (1 - sides)).sum(axis=1)
        outside = distance.sum() - inside - 2 * across
        values = m * n / (m + n) * (2 * across / (m * n) - inside / m**2 - outside / n**2)
        observed += float(values[0])
        permuted += values[1:]
    return observed, float((1 + (permuted >= observed - 1e-12).sum()) / (1 + permutations))


def compared(first: Cohort, second: Cohort) -> tuple[int, int]:
    """Patients on either side that were read as a class both sides have."""
    shared = np.intersect1d(first.read_as, second.read_as)
    return int(np.isin(first.read_as, shared).sum()), int(np.isin(second.read_as, shared).sum())


def drift_between(labelled: Cohort, new: Cohort, unlike: int = 0) -> Drift:
    """The test, where there are enough patients for it."""
    m, n = compared(labelled, new)
    enough = min(m, n) >= MIN_PATIENTS
    return Drift(energy_test(labelled, new)[1] if enough else None, m, n, unlike)


class DriftWatch:
    """Collects readings of a cohort, batch after batch; one scan of each patient is kept.

    Args:
        labelled: the support, see `Appraiser.labelled_cohort`.
    """

    def __init__(self, labelled: Cohort) -> None:
        self._labelled = labelled
        self._rows: dict[str, tuple[npt.NDArray[np.float32], int]] = {}
        self._unlike: set[str] = set()

    def see(self, reading: Reading, patients: Sequence[str]) -> None:
        """Take in readings.

        Args:
            reading: with an appraisal; others are passed over.
            patients: key of each scan's patient; a key of its own where it is not known.
        """
        around = reading.appraisal
        if around is None:
            return
        best = reading.probabilities.argmax(axis=1)
        for row, patient in enumerate(patients):
            self._rows.setdefault(patient, (around.embeddings[row].astype(np.float32), int(best[row])))
            if around.familiarity[row].unlike:
                self._unlike.add(patient)

    def drift(self) -> Drift:
        """What can be said about the patients seen so far."""
        rows = list(self._rows.values())
        if not rows:
            return Drift(None, 0, 0, 0)
        new = Cohort(
            np.stack([embedding for embedding, _ in rows]).astype(np.float64),
            np.array([label for _, label in rows], dtype=np.int64),
        )
        return drift_between(self._labelled, new, len(self._unlike))
