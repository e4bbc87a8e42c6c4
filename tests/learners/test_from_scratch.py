"""The network trained on the support alone: what it reads, how it moves images, that it is repeatable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.helpers import SIZE, small_batch, striped_cohort, tiny_learner
from workbench.backbones.conv4 import WeightStandardisedConv2d
from workbench.data.examples import Support
from workbench.errors import PlanError
from workbench.evaluation.contestants import Contestant
from workbench.evaluation.memory import cohort_digest, features_of, prepared
from workbench.imaging.recipe import Recipe
from workbench.learners.files import create
from workbench.learners.from_scratch import FromScratch, SmallNetwork, moved
from workbench.training.plan import parse_plan
from workbench.training.run import check_method


def _learner(**options: object) -> FromScratch:
    learner = tiny_learner("from-scratch", options=options).eval()
    assert isinstance(learner, FromScratch)
    return learner


def test_convolutions_equal_standardised_ones() -> None:
    """One layer against the module of Conv-4 that is tested by itself."""
    torch.manual_seed(0)
    network = SmallNetwork(3, 16, 8)
    reference = WeightStandardisedConv2d(3, 8)
    reference.stride = (2, 2)
    with torch.no_grad():
        network.gains[0].uniform_(0.5, 2)
        reference.weight.copy_(network.weights[0])
    images = torch.randn(2, 3, 16, 16)
    w = network.weights[0]
    fan_in = w[0].numel()
    standard = (w - w.mean((1, 2, 3), keepdim=True)) / w.std((1, 2, 3), keepdim=True, unbiased=False)
    maps = F.relu(F.conv2d(images, standard * network.gains[0] * 1.7139 / fan_in**0.5, stride=2, padding=1))
    for layer in (1, 2, 3):
        w = network.weights[layer]
        standard = (w - w.mean((1, 2, 3), keepdim=True)) / w.std((1, 2, 3), keepdim=True, unbiased=False)
        maps = F.relu(F.conv2d(maps, standard * 1.7139 / w[0].numel() ** 0.5, stride=2, padding=1))
    torch.testing.assert_close(network(images), maps.flatten(1), rtol=1e-3, atol=1e-3)


def test_images_are_averaged_down_and_small_ones_left_alone() -> None:
    learner = create("from-scratch", replace(_learner().spec, size=64), Recipe(size=64))
    images = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    expected = images.numpy().reshape(3, 32, 2, 32, 2, 3).mean((2, 4)).round()
    small = learner.features(images)
    np.testing.assert_array_equal(small.numpy(), expected)
    assert learner.features(small) is small
    assert _learner().features(images[:, :SIZE, :SIZE]).shape == (3, SIZE, SIZE, 3)


def test_moving_keeps_every_pixel_and_moves_each_image_on_its_own() -> None:
    image = torch.arange(3 * 16 * 16.0).view(3, 16, 16)
    views = moved(image.expand(24, -1, -1, -1), torch.Generator().manual_seed(0))
    possible = [
        sides.roll((down, right), (1, 2))
        for sides in (image, image.flip(2))
        for down in range(-2, 3)
        for right in range(-2, 3)
    ]
    found = [[k for k, other in enumerate(possible) if torch.equal(view, other)] for view in views]
    assert all(len(places) == 1 for places in found)
    assert len({places[0] for places in found}) > 10


def test_training_fits_the_support_and_repeats_itself() -> None:
    task = small_batch(way=3, shot=4, query=1).tasks()[0]
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(heads))  # the global state decides nothing
        learner = _learner(seed=seed)
        heads.append(learner.fit(learner.features(task.support), task.support_labels, 3))
    one, again, other = (head.logits(task.support) for head in heads)
    assert torch.equal(one, again)
    assert not torch.allclose(one, other, atol=1e-3)
    assert float(F.cross_entropy(one, task.support_labels)) < 0.05


def test_first_step_equals_one_of_adam_on_the_balanced_loss() -> None:
    """From zero rows only the output layer has a gradient; Adam's first step is the rate times its sign."""
    learner = _learner(test_steps=1, learning_rate=0.01)
    task = small_batch(way=2, shot=3, query=1).tasks()[0]
    images, labels = task.support[:4], task.support_labels[:4]
    z = learner.network(learner.recipe.normalise(images))
    weight = torch.zeros(2, z.shape[1], requires_grad=True)
    each = F.cross_entropy(z @ weight.T, labels, reduction="none")
    torch.stack([each[labels == k].mean() for k in labels.unique()]).mean().backward()
    assert weight.grad is not None
    found = learner.fit(images, labels, 2).tensors()
    sizable = weight.grad.abs() > 1e-4
    assert bool(sizable.any())
    torch.testing.assert_close(found["head.weight"][sizable], -0.01 * weight.grad.sign()[sizable])
    assert torch.equal(found["backbone.weights.0"], learner.network.weights[0])


def test_the_encoder_takes_no_part_with_or_without_a_neck(
    tmp_path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    cohort = striped_cohort()
    readings = []
    for neck in (0, 8):
        torch.manual_seed(neck)
        like = _learner()
        learner = create("from-scratch", replace(like.spec, neck=neck), like.recipe).eval()
        assert prepared(learner, cohort) is cohort
        features = features_of(Contestant("any", learner, "any"), cohort, cohort_digest(cohort))
        assert torch.equal(features.values, torch.from_numpy(cohort.images))
        rows = torch.arange(0, 36, 4)
        labels = torch.from_numpy(cohort.labels)[rows]
        support = Support(features[rows], labels, cohort.classes, tuple(map(str, rows.tolist())))
        readings.append(learner.adapt(support).predict(features).probabilities)
    np.testing.assert_array_equal(*readings)
    assert not list(tmp_path.iterdir())


def test_a_plan_that_would_meta_train_it_is_refused() -> None:
    plan = parse_plan(
        {
            "name": "p",
            "method": {"name": "from-scratch"},
            "data": {"procedural": {"images": 10}},
            "backbone": {"size": SIZE},
            "recipe": {"size": SIZE},
        },
        "p.yaml",
    )
    with pytest.raises(PlanError, match="nothing to meta-train"):
        check_method(plan)
