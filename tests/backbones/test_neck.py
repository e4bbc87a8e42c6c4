"""A neck on a frozen network: what is frozen stays so, and what stands for the images stands for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers import small_batch, striped_cohort, tiny_learner, train_briefly
from workbench.backbones import build
from workbench.backbones.neck import Necked
from workbench.data.pool import Pool
from workbench.evaluation.memory import frozen_digest, prepared
from workbench.learners.files import create

METHODS = ("prototypical", "maml")


def _necked(method: str, seed: int = 0):  # type: ignore[no-untyped-def]
    torch.manual_seed(seed)
    like = tiny_learner(method)
    return create(method, replace(like.spec, neck=8), like.recipe)


def test_a_fresh_neck_changes_nothing() -> None:
    torch.manual_seed(0)
    necked = build(replace(tiny_learner("prototypical").spec, neck=8)).eval()
    assert isinstance(necked, Necked)
    images = torch.randn(5, 3, 16, 16)
    torch.testing.assert_close(necked(necked.prepare(images)), necked.trunk(images))


@pytest.mark.parametrize("method", METHODS)
def test_training_changes_the_neck_and_never_the_network_below(method: str) -> None:
    learner = _necked(method)
    before = {n: v.clone() for n, v in learner.backbone.state_dict().items()}
    train_briefly(learner.train(), small_batch(episodes=2), steps=3)
    after = learner.backbone.state_dict()
    assert all(torch.equal(before[n], after[n]) for n in before if n.startswith("trunk."))
    assert any(not torch.equal(before[n], after[n]) for n in before if not n.startswith("trunk."))


@pytest.mark.parametrize("method", METHODS)
def test_prepared_inputs_give_the_loss_and_the_features_of_the_images(method: str) -> None:
    learner, batch = _necked(method), small_batch(episodes=2)
    other = batch.with_images(learner.prepare(batch.images))
    torch.testing.assert_close(learner.training_loss(batch).value, learner.training_loss(other).value)
    torch.testing.assert_close(learner.features(batch.images), learner.features(other.images))


def test_prepared_cohort_is_kept_for_all_methods_on_one_network(
    tmp_path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    cohort = striped_cohort()
    first, second, third = _necked("prototypical"), _necked("maml"), _necked("maml", seed=1)
    second.backbone.load_state_dict(first.backbone.state_dict())
    assert frozen_digest(first) == frozen_digest(second) != frozen_digest(third)
    made = prepared(first, cohort)
    np.testing.assert_array_equal(made.images, first.prepare(Pool([cohort]).images).numpy())
    monkeypatch.setattr(second, "prepare", lambda images: pytest.fail("computed again"))
    np.testing.assert_array_equal(prepared(second, cohort).images, made.images)
    assert prepared(first, made) is made
