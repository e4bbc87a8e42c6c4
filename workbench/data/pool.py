"""All images of several cohorts in one array, and the batches drawn from it.

A meta-batch, whatever its conditions, is gathered with one index operation; there is no per-image
Python. Built by the data module and by the evaluators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.data.cohort import Cohort
from workbench.data.episodes import Episode
from workbench.errors import CohortError


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One episode with its inputs.

    Attributes:
        support, query: inputs of the learner; uint8 images ``(n, *Recipe.shape)``, or what `Learner.prepare`
            made of them.
        support_labels, query_labels: int64 in ``[0, way)``.
        way: number of classes.
    """

    support: Tensor
    support_labels: Tensor
    query: Tensor
    query_labels: Tensor
    way: int


@dataclass(frozen=True, slots=True, eq=False)
class MetaBatch:
    """Several episodes in one tensor.

    Attributes:
        images: uint8 ``(n, *Recipe.shape)``, or what `Learner.prepare` made of them.
        labels: int64 ``(n,)``, class within the episode.
        episode: int64 ``(n,)``, which episode an image belongs to.
        is_support: bool ``(n,)``.
        ways: number of classes of each episode.
    """

    images: Tensor
    labels: Tensor
    episode: Tensor
    is_support: Tensor
    ways: tuple[int, ...]

    def to(self, device: torch.device) -> MetaBatch:
        """The same batch on another device."""
        return MetaBatch(
            self.images.to(device),
            self.labels.to(device),
            self.episode.to(device),
            self.is_support.to(device),
            self.ways,
        )

    def with_images(self, images: Tensor) -> MetaBatch:
        """The same episodes with other (augmented) images."""
        return replace(self, images=images)

    def tasks(self) -> tuple[Task, ...]:
        """One `Task` per episode."""
        out = []
        for number, way in enumerate(self.ways):
            support = (self.episode == number) & self.is_support
            query = (self.episode == number) & ~self.is_support
            out.append(
                Task(self.images[support], self.labels[support], self.images[query], self.labels[query], way)
            )
        return tuple(out)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBatch:
    """Images of many conditions at once, for supervised multi-condition training.

    Attributes:
        images: uint8 ``(views * n, *Recipe.shape)``; view v of image i is row ``v * n + i``.
        labels: int64 ``(views * n,)``, class within all classes of all conditions.
        first, last: int64 ``(views * n,)``, the range of classes of the image's own condition.
        views: how often each image occurs.
    """

    images: Tensor
    labels: Tensor
    first: Tensor
    last: Tensor
    views: int = 1

    def to(self, device: torch.device) -> LabelledBatch:
        """The same batch on another device."""
        return LabelledBatch(
            self.images.to(device),
            self.labels.to(device),
            self.first.to(device),
            self.last.to(device),
            self.views,
        )

    def with_images(self, images: Tensor) -> LabelledBatch:
        """The same labels with other (augmented) images."""
        return replace(self, images=images)


class Pool:
    """The images of several cohorts, contiguous, with the row where each cohort starts.

    Args:
        cohorts: all made by one recipe. One cohort stays memory-mapped; several are copied into one
            array (1.2 MB for 100 colour images of 64 px).

        weights: how often each cohort is drawn in supervised batches; equally often where not given.

    Raises:
        CohortError: if the cohorts' images differ in shape.
    """

    def __init__(self, cohorts: Sequence[Cohort], weights: Sequence[float] | None = None) -> None:
        if not cohorts:
            raise CohortError("There is no cohort to pool.")
        shapes = {c.images.shape[1:] for c in cohorts}
        if len(shapes) > 1:
            raise CohortError(f"Cohorts made by different recipes cannot be pooled: {sorted(shapes)}.")
        self.cohorts = tuple(cohorts)
        counts = [len(c.labels) for c in cohorts]
        self.starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.images = _as_tensor(cohorts)
        ways = [len(c.classes) for c in cohorts]
        self.class_starts = np.concatenate([[0], np.cumsum(ways)]).astype(np.int64)
        self.labels = np.concatenate(
            [c.labels + start for c, start in zip(cohorts, self.class_starts[:-1], strict=True)]
        )

        share = np.ones(len(cohorts)) if weights is None else np.asarray(weights, dtype=np.float64)
        self.weights = share / share.sum()
        self._members = [
            [rows for k in range(len(c.classes)) if len(rows := np.flatnonzero(c.labels == k))]
            for c in cohorts
        ]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def classes(self) -> tuple[str, ...]:
        """``condition/class`` for every class of every cohort, in the order of `labels`."""
        return tuple(f"{c.name}/{name}" for c in self.cohorts for name in c.classes)

    def gather(self, episodes: Sequence[Episode]) -> MetaBatch:
        """The images of several episodes with one index operation."""
        rows, labels, owner, support = [], [], [], []
        for number, e in enumerate(episodes):
            start = self.starts[e.cohort]
            rows += [e.support + start, e.query + start]
            labels += [e.support_labels, e.query_labels]
            size = len(e.support) + len(e.query)
            owner.append(np.full(size, number))
            support.append(np.arange(size) < len(e.support))
        return MetaBatch(
            images=self.images[torch.from_numpy(np.concatenate(rows))],
            labels=torch.from_numpy(np.concatenate(labels)),
            episode=torch.from_numpy(np.concatenate(owner)),
            is_support=torch.from_numpy(np.concatenate(support)),
            ways=tuple(e.way for e in episodes),
        )

    def labelled(self, step: int, size: int, seed: int, views: int = 1, group: int = 16) -> LabelledBatch:
        """Batch number `step` for supervised training.

        The batch is made of groups of one condition each, so that every image meets others of its own
        kind; within a group the classes count the same.

        Args:
            step: number of the batch.
            size: images, a multiple of `group`.
            seed: of the stream.
            views: how often each image is repeated (to be augmented differently).
            group: images of one condition.
        """
        rng = np.random.default_rng([seed, step])
        chosen = rng.choice(len(self.cohorts), size=max(1, size // group), p=self.weights)
        rows = np.concatenate([self._group(int(c), group, rng) for c in chosen])
        owner = np.repeat(chosen, group)
        tile = np.tile(rows, views)
        return LabelledBatch(
            images=self.images[torch.from_numpy(tile)],
            labels=torch.from_numpy(self.labels[tile]),
            first=torch.from_numpy(np.tile(self.class_starts[owner], views)),
            last=torch.from_numpy(np.tile(self.class_starts[owner + 1], views)),
            views=views,
        )

    def _group(self, cohort: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Rows of one condition: classes in turn, at most half as many classes as images."""
        members = self._members[cohort]
        classes = rng.permutation(len(members))[: max(2, size // 2)]
        picks = [members[classes[i % len(classes)]] for i in range(size)]
        chosen = np.array([m[rng.integers(len(m))] for m in picks], dtype=np.int64)
        shifted: npt.NDArray[np.int64] = chosen + self.starts[cohort]
        return shifted


def _as_tensor(cohorts: Sequence[Cohort]) -> Tensor:
    if len(cohorts) == 1:
        # A read-only memory map cannot back a tensor without a warning; it is never written to.
        images = cohorts[0].images
        if images.flags.writeable:
            return torch.from_numpy(images)
    total = sum(len(c.labels) for c in cohorts)
    first = cohorts[0].images
    out = torch.from_numpy(np.empty((total, *first.shape[1:]), dtype=first.dtype))
    start = 0
    for c in cohorts:
        out.numpy()[start : start + len(c.labels)] = c.images
        start += len(c.labels)
    return out
