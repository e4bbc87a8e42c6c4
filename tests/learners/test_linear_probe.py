"""The linear probe against scikit-learn's logistic regression in the full space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from workbench.learners.linear_probe import logistic_regression


@pytest.mark.parametrize("way", [2, 4])
@pytest.mark.parametrize("dim", [3, 40])
def test_regression_in_the_span_equals_regression_in_the_full_space(way: int, dim: int) -> None:
    rng = np.random.default_rng(way + dim)
    labels = np.repeat(np.arange(way), (5, 3, 4, 6)[:way])
    z = rng.normal(size=(len(labels), dim)) + labels[:, None] * 0.5
    model = LogisticRegression(C=0.7, class_weight="balanced", max_iter=5000, tol=1e-8).fit(z, labels)
    weight, bias = logistic_regression(
        torch.from_numpy(z).float(), torch.from_numpy(labels), way, strength=0.7
    )
    new = rng.normal(size=(9, dim))
    logits = torch.from_numpy(new).float() @ weight.T + bias
    np.testing.assert_allclose(logits.softmax(1).numpy(), model.predict_proba(new), atol=2e-3)
