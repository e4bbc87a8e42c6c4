from __future__ import annotations

import numpy as np
import pytest

from workbench.evaluation.continual import average_accuracy, backward_transfer, forgetting

MATRIX = np.array([[0.9, np.nan, np.nan], [0.95, 0.8, np.nan], [0.7, 0.6, 0.5]])


def test_figures_by_hand() -> None:
    assert average_accuracy(MATRIX) == pytest.approx(0.6)
    assert backward_transfer(MATRIX) == pytest.approx(((0.7 - 0.9) + (0.6 - 0.8)) / 2)
    assert forgetting(MATRIX) == pytest.approx(((0.95 - 0.7) + (0.8 - 0.6)) / 2)


def test_a_method_that_keeps_everything_forgets_nothing() -> None:
    kept = np.tril(np.full((4, 4), 0.8))
    assert backward_transfer(kept) == 0
    assert forgetting(kept) == 0


def test_one_condition_says_nothing_of_forgetting() -> None:
    assert np.isnan(backward_transfer(np.array([[0.5]])))
    assert np.isnan(forgetting(np.array([[0.5]])))
