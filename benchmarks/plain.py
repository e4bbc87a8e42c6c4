"""The plain way, as few-shot code is commonly written: what `benchmarks.throughput` compares with.

float32 in PyTorch's default memory layout; every image opened, decoded, resized and normalised on its own
by a ``Dataset.__getitem__``; episodes and tasks one after the other in Python. The mathematics is that of
`workbench.learners.prototypical` and `workbench.learners.maml`, written again from the papers without any
of their code; ``tests/benchmarks`` holds the two to the same loss and the same gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from workbench.data.cohort import Cohort
from workbench.data.episodes import Episode
from workbench.imaging.recipe import Recipe


def write_images(cohort: Cohort, folder: Path) -> tuple[Path, ...]:
    """Every image of a cohort as a PNG file, so that both sides see the same pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"{row:06d}.png" for row in range(len(cohort)))
    for path, image in zip(paths, cohort.images, strict=True):
        Image.fromarray(np.asarray(image).squeeze()).save(path)
    return paths


class ImageFiles(Dataset[Tensor]):
    """One image per item, opened and transformed on its own.

    Args:
        paths: image files.
        recipe: gives size, channels, mean and standard deviation.
    """

    def __init__(self, paths: Sequence[Path], recipe: Recipe) -> None:
        self.paths = paths
        self.recipe = recipe

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Tensor:
        """Normalised float32 ``(channels, size, size)``."""
        size = self.recipe.size
        with Image.open(self.paths[row]) as file:
            image = file.convert("RGB" if self.recipe.channels == 3 else "L")
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BILINEAR)
        array = np.asarray(image, dtype=np.float32).reshape(size, size, -1) / 255.0
        tensor = torch.from_numpy(array).permute(2, 0, 1).contiguous()
        return (tensor - self.recipe.mean) / self.recipe.std


@dataclass(frozen=True, slots=True, eq=False)
class PlainTask:
    """One episode's normalised images ``(n, channels, size, size)`` and labels ``(n,)``."""

    support: Tensor
    support_labels: Tensor
    query: Tensor
    query_labels: Tensor
    way: int


def load_task(images: ImageFiles, episode: Episode, start: int = 0) -> PlainTask:
    """Load an episode image by image; `start` is the row at which the episode's cohort begins."""
    return PlainTask(
        torch.stack([images[start + row] for row in episode.support.tolist()]),
        torch.from_numpy(episode.support_labels),
        torch.stack([images[start + row] for row in episode.query.tolist()]),
        torch.from_numpy(episode.query_labels),
        episode.way,
    )


class PlainConv4(nn.Module):
    """Conv-4 of the papers: convolution, BatchNorm, ReLU, pooling, four times."""

    def __init__(self, channels: int, width: int, size: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, width, 3, padding=1, bias=False) for i in (channels, width, width, width)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(4))
        self.grid = 1 if size < 48 else 2

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings of normalised images."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.max_pool2d(F.relu(norm(convolution(x))), 2)
        return self._flat(x)

    def with_weights(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Embeddings by other weights (convolution, scale and shift of each block), statistics frozen."""
        for block, norm in enumerate(self.norms):
            assert isinstance(norm, nn.BatchNorm2d)
            w, scale, shift = weights[3 * block : 3 * block + 3]
            x = F.conv2d(x, w, padding=1)
            x = F.batch_norm(x, norm.running_mean, norm.running_var, scale, shift, training=False)
            x = F.max_pool2d(F.relu(x), 2)
        return self._flat(x)

    def weights(self) -> list[Tensor]:
        """Convolution, scale and shift of each block, in order."""
        pairs = zip(self.convolutions, self.norms, strict=True)
        return [p for convolution, norm in pairs for p in (convolution.weight, norm.weight, norm.bias)]

    def _flat(self, x: Tensor) -> Tensor:
        return (F.adaptive_avg_pool2d(x, self.grid) if x.shape[-1] != self.grid else x).flatten(1)


def class_means(embeddings: Tensor, labels: Tensor, way: int) -> Tensor:
    """Prototypes, class by class (Snell et al. 2017, equation 1)."""
    return torch.stack([embeddings[labels == k].mean(0) for k in range(way)])


def prototypical_logits(network: nn.Module, task: PlainTask) -> Tensor:
    """Minus the squared distances of the queries to the prototypes (equation 2); one forward pass."""
    both = network(torch.cat([task.support, task.query]))
    support, query = both[: len(task.support)], both[len(task.support) :]
    centres = class_means(support, task.support_labels, task.way)
    return -(query[:, None] - centres[None]).square().sum(2)


def prototypical_step(network: nn.Module, tasks: Sequence[PlainTask]) -> float:
    """Gradients of the mean query loss, one episode after the other; the loss."""
    total = 0.0
    for task in tasks:
        loss = F.cross_entropy(prototypical_logits(network, task), task.query_labels) / len(tasks)
        loss.backward()
        total += loss.item()
    return total


class PlainMAML(nn.Module):
    """Conv-4 with one learned output row for every class (Finn et al. 2017; Ye and Chao 2022, section 5)."""

    def __init__(self, network: PlainConv4, dim: int) -> None:
        super().__init__()
        self.network = network
        self.row = nn.Parameter(torch.zeros(1, dim))

    def adapt(
        self, task: PlainTask, rate: float, steps: int, second_order: bool
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Weights, output rows and output bias after the inner loop (Finn et al. 2017, equation 1)."""
        rows = self.row.expand(task.way, -1).clone()
        weights = [*self.network.weights(), rows, rows.new_zeros(task.way).requires_grad_()]
        for _ in range(steps):
            logits = self.logits(task.support, weights)
            loss = F.cross_entropy(logits, task.support_labels)
            gradients = torch.autograd.grad(loss, weights, create_graph=second_order)
            weights = [w - rate * g for w, g in zip(weights, gradients, strict=True)]
        return weights[:-2], weights[-2], weights[-1]

    def logits(self, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """Scores of normalised images by the given weights, the output layer last."""
        return F.linear(self.network.with_weights(x, weights[:-2]), weights[-2], weights[-1])

    def step(self, tasks: Sequence[PlainTask], rate: float, steps: int, second_order: bool = True) -> float:
        """Gradients of the mean query loss after adaptation (equation 2), task by task; the loss."""
        with torch.no_grad():  # running statistics, once per outer step; frozen inside the episodes
            self.network.train()
            self.network(torch.cat([torch.cat([t.support, t.query]) for t in tasks]))
        total = 0.0
        for task in tasks:
            weights, rows, bias = self.adapt(task, rate, steps, second_order)
            logits = self.logits(task.query, [*weights, rows, bias])
            loss = F.cross_entropy(logits, task.query_labels) / len(tasks)
            loss.backward()
            total += loss.item()
        return total
