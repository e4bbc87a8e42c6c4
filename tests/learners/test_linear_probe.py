"""The linear probe against scikit-learn's logistic regression in the full space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from workbench.data.pool import LabelledBatch
from workbench.learners.linear_probe import instance_discrimination, logistic_regression


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


def test_instance_discrimination_equals_a_loop_over_images_of_the_same_condition() -> None:
    """NT-Xent by its definition; images of other conditions are no negatives."""
    torch.manual_seed(0)
    n, temperature = 4, 0.3
    vectors = torch.randn(2 * n, 5)
    first = torch.tensor([0, 0, 3, 3]).repeat(2)
    batch = LabelledBatch(torch.empty(2 * n), first, first, first + 3, views=2)
    z = torch.nn.functional.normalize(vectors, dim=1)
    losses = []
    for i in range(2 * n):
        others = [j for j in range(2 * n) if j != i and first[j] == first[i]]
        scores = torch.stack([z[i] @ z[j] / temperature for j in others])
        partner = z[i] @ z[(i + n) % (2 * n)] / temperature
        losses.append(scores.logsumexp(0) - partner)
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(instance_discrimination(vectors, batch, temperature), expected)
