"""Small learners, cohorts and batches for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from workbench.backbones import BackboneSpec
from workbench.data.cohort import Cohort
from workbench.data.episodes import EpisodeSampler, EpisodeSpec
from workbench.data.pool import LabelledBatch, MetaBatch, Pool
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Learner
from workbench.learners.files import create

SIZE = 28


def striped_cohort(
    name: str = "stripes", way: int = 3, patients: int = 12, scans: int = 1, channels: int = 3, seed: int = 0
) -> Cohort:
    """Noise with one bright stripe whose height tells the class; `scans` images of each patient."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(way), patients * scans)
    images = rng.integers(0, 140, (len(labels), SIZE, SIZE, channels))
    for row, label in enumerate(labels):
        images[row, 4 + 7 * label : 8 + 7 * label] += 100
    return Cohort(
        name=name,
        classes=tuple(f"class {k}" for k in range(way)),
        images=images.astype(np.uint8),
        labels=labels,
        patients=np.repeat(np.arange(way * patients), scans),
        names=tuple(f"{name}-{row}.png" for row in range(len(labels))),
        splits=("",) * len(labels),
        origin=(name,),
        modality="OT",
    )


def striped_volumes(way: int = 3, patients: int = 8, seed: int = 0) -> Cohort:
    """Noise with one bright plate whose height tells the class, as cubes of `SIZE`."""
    flat = striped_cohort("plates", way, patients, channels=1, seed=seed)
    rng = np.random.default_rng(seed + 1)
    images = np.repeat(flat.images[:, None], SIZE, axis=1)
    images = images // 2 + rng.integers(0, 60, images.shape).astype(np.uint8)
    return replace(flat, images=images)


def volume_learner(method: str, slices: bool, options: Mapping[str, Any] | None = None) -> Learner:
    """A freshly initialised learner for cubes of `SIZE`: a small 3-D encoder, or Conv-4 over the slices."""
    spec = BackboneSpec("conv4" if slices else "resnet10-3d", channels=1, size=SIZE, width=8)
    if slices:
        spec = replace(spec, slices="attention")
    return create(method, spec, Recipe(size=SIZE, channels=1, volume="cube"), None, options)


def tiny_learner(
    method: str,
    normaliser: str = "batch",
    width: int = 8,
    channels: int = 3,
    options: Mapping[str, Any] | None = None,
    backbone: str = "conv4",
) -> Learner:
    """A freshly initialised learner on a small Conv-4 for 28 px images."""
    spec = BackboneSpec(backbone, channels=channels, size=SIZE, width=width, normaliser=normaliser)
    return create(method, spec, Recipe(size=SIZE, channels=channels), None, options)


def small_batch(way: int = 3, shot: int = 2, query: int = 3, episodes: int = 1, seed: int = 0) -> MetaBatch:
    """Episodes of a striped cohort."""
    cohort = striped_cohort(way=way)
    sampler = EpisodeSampler([cohort], EpisodeSpec(ways=way, shots=shot, queries=query, seed=seed))
    return Pool([cohort]).gather([sampler.episode(i) for i in range(episodes)])


def labelled_batch(size: int = 32, views: int = 1) -> LabelledBatch:
    """Labelled images of two striped cohorts."""
    pool = Pool([striped_cohort("a", 3), striped_cohort("b", 2, seed=1)])
    return pool.labelled(0, size, 0, views)


def train_briefly(
    learner: Learner, batch: MetaBatch | LabelledBatch, steps: int = 30, rate: float = 1e-2
) -> float:
    """A few outer steps on one batch; the last loss."""
    optimizer = torch.optim.Adam([p for p in learner.parameters() if p.requires_grad], rate)
    loss = torch.tensor(0.0)
    for _ in range(steps):
        loss = learner.training_loss(batch).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())
