"""Every method reads volumes: by a 3-D encoder, and slice by slice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import striped_volumes, train_briefly, volume_learner
from workbench.backbones import BackboneSpec
from workbench.data.episodes import EpisodeSampler, EpisodeSpec
from workbench.data.examples import Features, Support
from workbench.data.pool import LabelledBatch, MetaBatch, Pool
from workbench.errors import PlanError
from workbench.imaging.recipe import Recipe
from workbench.learners import learners
from workbench.learners.base import Diet, Learner
from workbench.learners.files import (
    ClassifierRecord,
    create,
    describe,
    load_classifier,
    load_learner,
    save_classifier,
    save_learner,
)
from workbench.training.plan import parse_plan
from workbench.training.run import train

METHODS = sorted(learners())


def _trained(method: str, slices: bool) -> Learner:
    torch.manual_seed(0)
    kind = learners()[method]
    options = {"classes": 2} if kind.diet is Diet.LABELLED else {}
    if "test_steps" in kind.options_type.__dataclass_fields__:  # type: ignore[attr-defined]
        options["test_steps"] = 2
    learner = volume_learner(method, slices, options)
    cohort = striped_volumes(way=2)
    pool = Pool([cohort])
    batch: MetaBatch | LabelledBatch
    if kind.diet is Diet.EPISODES:
        sampler = EpisodeSampler([cohort], EpisodeSpec(ways=2, shots=2, queries=2))
        batch = pool.gather([sampler.episode(0)])
    else:
        batch = pool.labelled(0, 16, 0, learner.views)
    if kind.diet is not Diet.NONE:
        train_briefly(learner.train(), batch, 1, 1e-3)
    return learner


@pytest.mark.parametrize("slices", [False, True], ids=["3-D", "slices"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_adapts_and_reads_volumes(method: str, slices: bool, tmp_path: Path) -> None:
    """One step of meta-training; batch of one equals batch of many; files restore the reading."""
    learner = _trained(method, slices)
    weights, model = tmp_path / "w.safetensors", tmp_path / "m.safetensors"
    save_learner(learner, weights, describe(learner, "volumes"))
    loaded = load_learner(weights)
    cohort = striped_volumes(way=2, patients=3, seed=3)
    rows = torch.arange(6)
    support = Support(
        torch.from_numpy(cohort.images),
        torch.from_numpy(cohort.labels),
        cohort.classes,
        tuple(map(str, rows)),
    )
    queries = torch.from_numpy(striped_volumes(way=2, patients=2, seed=9).images)
    classifier = loaded.learner.adapt(support)
    together = classifier.predict(queries, neighbours=1)
    assert together.probabilities.shape == (4, 2)
    alone = classifier.predict(queries[:1]).probabilities
    np.testing.assert_allclose(alone[0], together.probabilities[0], atol=1e-4)
    cached = classifier.predict(Features(loaded.learner.features(queries)))
    np.testing.assert_allclose(cached.probabilities, together.probabilities, atol=1e-4)
    record = ClassifierRecord(
        method, loaded.record.options, "v", loaded.sha256, support.classes, (3, 3), support.digest
    )
    save_classifier(classifier, model, record)
    restored = load_classifier(model, loaded).predict(queries).probabilities
    np.testing.assert_allclose(restored, together.probabilities, atol=1e-5)


def test_an_encoder_and_a_recipe_that_do_not_fit_say_what_to_change() -> None:
    images, volumes = Recipe(size=28, channels=1), Recipe(size=28, channels=1, volume="cube")
    flat = BackboneSpec("conv4", channels=1, size=28, width=8)
    with pytest.raises(PlanError, match=r"reads images.*backbone\.slices"):
        create("prototypical", flat, volumes)
    solid = BackboneSpec("resnet10-3d", channels=1, size=28, width=8)
    with pytest.raises(PlanError, match=r"reads volumes.*slices or cube"):
        create("prototypical", solid, images)


def test_training_attention_starts_from_an_encoder_of_images(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    flat = BackboneSpec("conv4", channels=1, size=28, width=8)
    torch.manual_seed(0)
    save_learner(first := create("prototypical", flat, Recipe(28, 1)), path, describe(first))
    values = {
        "name": "attention",
        "method": {"name": "prototypical"},
        "backbone": {"name": "conv4", "channels": 1, "size": 28, "width": 8, "slices": "attention"},
        "recipe": {"size": 28, "channels": 1, "volume": "slices", "slices": 3},
        "start": "images",
        "data": {"meta_train": ["adrenalmnist3d"]},
        "episodes": {"ways": 2, "shots": 1, "queries": 1},
        "batch": 1,
        "steps": 1,
        "optimisation": {"learning_rate": 1e-12, "weight_decay": 0.0},
        "augmentation": None,
    }
    cohort = striped_volumes(way=2)
    cohort = replace(cohort, images=cohort.images[:, ::10])
    weights = train(
        parse_plan(values, "test"), tmp_path / "run", progress=False, start=path, conditions=[cohort]
    )
    learner = load_learner(weights).learner
    assert learner.recipe.shape == (3, 28, 28, 1)
    expected = first.backbone.state_dict()["blocks.0.0.weight"]
    torch.testing.assert_close(
        learner.backbone.state_dict()["network.blocks.0.0.weight"], expected, atol=1e-3, rtol=1e-2
    )


def test_weights_made_for_images_read_volumes_by_pooled_slices(tmp_path: Path) -> None:
    """The embedding of a volume is the mean of what the same weights make of its slices as images."""
    path = tmp_path / "w.safetensors"
    torch.manual_seed(0)
    learner = create("prototypical", BackboneSpec("conv4", channels=1, size=28, width=8), Recipe(28, 1))
    save_learner(learner, path, describe(learner))
    pooled = load_learner(path, pooled_slices=4)
    assert pooled.learner.recipe == Recipe(28, 1, volume="slices", slices=4)
    volumes = torch.randint(0, 255, (2, 4, 28, 28, 1), dtype=torch.uint8)
    expected = torch.stack([load_learner(path).learner.features(volumes[:, k]) for k in range(4)]).mean(0)
    torch.testing.assert_close(pooled.learner.features(volumes), expected)
    save_learner(pooled.learner, path, pooled.record)
    with pytest.raises(PlanError, match="read volumes already"):
        load_learner(path, pooled_slices=4)
