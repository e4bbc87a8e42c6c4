"""The two sides of the throughput benchmark, each in a process of its own.

Both draw the same episodes, start from the same weights and step the same optimiser; a request names one
piece of work and is answered with its wall-clock time, its processor time and what came out.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.plain import (
    ImageFiles,
    PlainConv4,
    PlainMAML,
    PlainTask,
    load_task,
    prototypical_logits,
    prototypical_step,
)
from workbench.backbones import BackboneSpec
from workbench.data.cohort import Cohort
from workbench.data.datamodule import BatchStream, Stream
from workbench.data.episodes import EpisodeSampler, EpisodeSpec
from workbench.data.pool import MetaBatch, Pool
from workbench.evaluation.episodic import embed_cohort, evaluate_episodes
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Learner
from workbench.learners.maml import MAML, MAMLOptions
from workbench.learners.prototypical import Prototypical
from workbench.training.checkpoints import native_bfloat16
from workbench.training.memory import keep_freed_memory

METHODS = ("prototypical", "maml")
STAGES = ("files", "gathered", "batched", "channels_last", "bfloat16", "workbench")
"""Of the ablation, each with all before it; ``workbench`` is the learner itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """What both sides are given.

    Attributes:
        recipe: size and channels.
        training: cohorts of the training episodes.
        files: one PNG file per training image, in the order of the pooled cohorts.
        held_out: cohort of the evaluation episodes.
        held_out_files: its PNG files.
        spec: how episodes are drawn.
        episodes: per outer step, by method.
        inner_steps, inner_rate: of MAML.
        threads: of torch.
        seed: of weights.
    """

    recipe: Recipe
    training: tuple[Cohort, ...]
    files: tuple[Path, ...]
    held_out: Cohort
    held_out_files: tuple[Path, ...]
    spec: EpisodeSpec
    episodes: tuple[int, int] = (4, 2)
    inner_steps: int = 5
    inner_rate: float = 0.05
    threads: int = 1
    seed: int = 0

    def learner(self, method: str) -> Learner:
        """The workbench's learner, freshly initialised; the same weights at every call."""
        torch.manual_seed(self.seed)
        spec = BackboneSpec(size=self.recipe.size, channels=self.recipe.channels)
        if method == "prototypical":
            return Prototypical(spec, self.recipe)
        options = MAMLOptions(
            learning_rate=self.inner_rate, steps=self.inner_steps, test_steps=2 * self.inner_steps
        )
        return MAML(spec, self.recipe, options=options)

    def batch(self, method: str) -> int:
        """Episodes per outer step."""
        return self.episodes[METHODS.index(method)]


@dataclass(frozen=True, slots=True)
class Request:
    """One piece of work: outer steps ``first`` to ``last - 1``, or (``evaluate``) that many episodes."""

    method: str
    first: int
    last: int
    evaluate: bool = False
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Seconds of wall clock and of the processor, and the losses (or accuracies)."""

    wall: float
    processor: float
    values: tuple[float, ...]


def plain_weights(learner: Learner) -> PlainConv4:
    """The plain network with a learner's weights."""
    spec = learner.spec
    network = PlainConv4(spec.channels, spec.width or 64, spec.size)
    with torch.no_grad():
        for ours, theirs in zip(learner.backbone.parameters(), network.weights(), strict=True):
            theirs.copy_(ours)
    return network


def _optimiser(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-3)


class PlainSide:
    """See `benchmarks.plain`."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.images = ImageFiles(setup.files, setup.recipe)
        self.held_out = ImageFiles(setup.held_out_files, setup.recipe)
        self.sampler = EpisodeSampler(setup.training, setup.spec)
        self.test = EpisodeSampler([setup.held_out], setup.spec)
        self.starts = np.concatenate([[0], np.cumsum([len(c) for c in setup.training])])
        learner = setup.learner("maml")
        self.networks = {
            "prototypical": plain_weights(setup.learner("prototypical")),
            "maml": PlainMAML(plain_weights(learner), learner.backbone.dim),
        }
        self.optimisers = {name: _optimiser(network) for name, network in self.networks.items()}

    def step(self, method: str, number: int) -> float:
        """One outer step; the loss."""
        size = self.setup.batch(method)
        episodes = [self.sampler.episode(number * size + i) for i in range(size)]
        tasks = [load_task(self.images, e, int(self.starts[e.cohort])) for e in episodes]
        self.optimisers[method].zero_grad()
        loss = self.gradient(method, tasks)
        self.optimisers[method].step()
        return loss

    def gradient(self, method: str, tasks: Sequence[PlainTask]) -> float:
        """Gradients of the outer loss, added up in the parameters; the loss."""
        network = self.networks[method]
        if isinstance(network, PlainMAML):
            return network.step(tasks, self.setup.inner_rate, self.setup.inner_steps)
        network.train()
        return prototypical_step(network, tasks)

    def evaluate(self, method: str, number: int) -> list[float]:
        """Accuracies of the first episodes of the held-out condition, images loaded and embedded anew."""
        network = self.networks[method].eval()
        hits = []
        for i in range(number):
            task = load_task(self.held_out, self.test.episode(i))
            if isinstance(network, PlainMAML):
                steps = 2 * self.setup.inner_steps  # as in `Setup.learner`
                weights, rows, bias = network.adapt(task, self.setup.inner_rate, steps, second_order=False)
                with torch.no_grad():
                    logits = network.logits(task.query, [*weights, rows, bias])
            else:
                with torch.no_grad():
                    logits = prototypical_logits(network, task)
            hits.append(float((logits.argmax(1) == task.query_labels).float().mean()))
        return hits


class WorkbenchSide:
    """The library's own path: pooled images, `Learner.training_loss`, `evaluate_episodes`."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.pool = Pool(setup.training)
        self.learners = {method: setup.learner(method) for method in METHODS}
        self.optimisers = {name: _optimiser(learner) for name, learner in self.learners.items()}
        self.bfloat16 = native_bfloat16()

    def batch(self, method: str, number: int) -> MetaBatch:
        """Batch of one outer step."""
        stream = Stream(self.setup.spec, self.setup.batch(method))
        drawn = BatchStream(self.pool, stream, number + 1)[number]
        assert isinstance(drawn, MetaBatch)
        return drawn

    def step(self, method: str, number: int) -> float:
        """One outer step; the loss."""
        self.optimisers[method].zero_grad()
        loss = self.gradient(method, self.batch(method, number))
        self.optimisers[method].step()
        return loss

    def gradient(self, method: str, batch: MetaBatch) -> float:
        """Gradients of the outer loss, added up in the parameters; the loss."""
        learner = self.learners[method].train()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bfloat16):
            loss = learner.training_loss(batch).value
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def evaluate(self, method: str, number: int) -> list[float]:
        """Accuracies of the first episodes of the held-out condition, embedded once."""
        learner = self.learners[method].eval()
        features = embed_cohort(learner, self.setup.held_out)
        scores = evaluate_episodes(learner, self.setup.held_out, self.setup.spec, number, features)
        return [float(a) for a in scores.accuracy]


class StagedSide:
    """The plain way with one change after another (see `STAGES`)."""

    def __init__(self, setup: Setup) -> None:
        self.plain, self.ours = PlainSide(setup), WorkbenchSide(setup)
        self.recipe = setup.recipe
        self.setup = setup

    def step(self, method: str, number: int, stage: str) -> float:
        """Gradients of one outer step."""
        if stage == "workbench":
            return self.ours.step(method, number)
        level = STAGES.index(stage)
        network = self.plain.networks[method]
        layout = torch.channels_last if level >= STAGES.index("channels_last") else torch.contiguous_format
        # Every stage shares one network: the layout of the stage before must not leak into this one.
        network.to(memory_format=layout)  # type: ignore[call-overload]
        if stage == "files":
            return self.plain.step(method, number)
        batch = self.ours.batch(method, number)

        def ready(images: Tensor) -> Tensor:
            return self.recipe.normalise(images).contiguous(memory_format=layout)

        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=stage == "bfloat16"):
            if method == "prototypical" and level >= STAGES.index("batched"):
                return _batched(network, ready(batch.images), batch)
            tasks = [
                PlainTask(ready(t.support), t.support_labels, ready(t.query), t.query_labels, t.way)
                for t in batch.tasks()
            ]
            return self.plain.gradient(method, tasks)


def _batched(network: nn.Module, images: Tensor, batch: MetaBatch) -> float:
    embeddings = network.train()(images).float()
    losses = []
    for number, way in enumerate(batch.ways):
        mine = batch.episode == number
        support, query = mine & batch.is_support, mine & ~batch.is_support
        labels = batch.labels[support]
        centres = torch.stack([embeddings[support][labels == k].mean(0) for k in range(way)])
        logits = -(embeddings[query][:, None] - centres[None]).square().sum(2)
        losses.append(F.cross_entropy(logits, batch.labels[query]))
    loss = torch.stack(losses).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())


def serve(connection: Connection, setup: Setup, kind: str) -> None:
    """Answer requests until None comes. The workbench's process alone keeps freed memory, as it does."""
    torch.set_num_threads(setup.threads)
    if kind in ("workbench", "staged-kept"):
        keep_freed_memory()
    side = {"plain": PlainSide, "workbench": WorkbenchSide}.get(kind, StagedSide)(setup)
    while (request := connection.recv()) is not None:
        wall, processor = time.perf_counter(), _processor()
        if isinstance(side, StagedSide):
            values = [side.step(request.method, i, request.stage) for i in range(request.first, request.last)]
        elif request.evaluate:
            values = side.evaluate(request.method, request.last)
        else:
            values = [side.step(request.method, i) for i in range(request.first, request.last)]
        connection.send(Answer(time.perf_counter() - wall, _processor() - processor, tuple(values)))


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
