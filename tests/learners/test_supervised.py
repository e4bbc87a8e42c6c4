"""Supervised meta-training against loops over images."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from tests.helpers import labelled_batch, tiny_learner
from workbench.data.pool import LabelledBatch
from workbench.learners.supervised import SupervisedLearner, TrainingHead, instance_discrimination


def test_loss_equals_a_loop_over_images_among_the_classes_of_their_own_condition() -> None:
    torch.manual_seed(0)
    learner = tiny_learner("linear-probe", options={"classes": 5, "contrast": 0.0}).eval()
    assert isinstance(learner, SupervisedLearner)
    assert isinstance(learner.training_head, TrainingHead)
    batch = labelled_batch()
    layer = learner.training_head.softmax[0]
    losses = []
    for image, label, first, last in zip(batch.images, batch.labels, batch.first, batch.last, strict=True):
        own = layer(learner.embed(image[None]))[0, int(first) : int(last)]
        loss = own.logsumexp(0) - own[int(label - first)]
        losses.append(2 * float(loss.detach()) / math.log(int(last - first)))
    assert learner.training_loss(batch).value.item() == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_instance_discrimination_equals_a_loop_over_images_of_the_same_condition() -> None:
    """NT-Xent by its definition; images of other conditions are no negatives."""
    torch.manual_seed(0)
    n, temperature = 4, 0.3
    vectors = torch.randn(2 * n, 5)
    first = torch.tensor([0, 0, 3, 3]).repeat(2)
    batch = LabelledBatch(torch.empty(2 * n), first, first, first + 3, views=2)
    z = F.normalize(vectors, dim=1)
    losses = []
    for i in range(2 * n):
        others = [j for j in range(2 * n) if j != i and first[j] == first[i]]
        scores = torch.stack([z[i] @ z[j] / temperature for j in others])
        partner = z[i] @ z[(i + n) % (2 * n)] / temperature
        losses.append(scores.logsumexp(0) - partner)
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(instance_discrimination(vectors, batch, temperature), expected)
