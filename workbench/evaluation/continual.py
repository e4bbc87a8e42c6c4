"""Figures of continual learning from an accuracy matrix.

``R[i, j]`` is the accuracy on condition j after condition i was learned, conditions in the order in which
they came. Called by the continual benchmark.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def average_accuracy(matrix: Matrix) -> float:
    """Mean over conditions of the accuracy after the last was learned (ACC).

    Args:
        matrix: ``(t, t)``; entries above the diagonal (conditions not yet learned) are not read.
    """
    return float(matrix[-1].mean())


def backward_transfer(matrix: Matrix) -> float:
    """Mean over all but the last condition of ``R[t, j] - R[j, j]`` (Lopez-Paz and Ranzato, NeurIPS 2017).

    Negative where later conditions did harm; NaN for a single condition.
    """
    earlier = len(matrix) - 1
    if earlier == 0:
        return float("nan")
    return float((matrix[-1, :earlier] - np.diagonal(matrix)[:earlier]).mean())


def forgetting(matrix: Matrix) -> float:
    """Mean over all but the last condition of the best accuracy before the last step less that after it.

    Chaudhry et al., "Riemannian Walk for Incremental Learning", ECCV 2018, equation 3. NaN for one condition.
    """
    earlier = len(matrix) - 1
    if earlier == 0:
        return float("nan")
    lost = [matrix[j:earlier, j].max() - matrix[-1, j] for j in range(earlier)]
    return float(np.mean(lost))
