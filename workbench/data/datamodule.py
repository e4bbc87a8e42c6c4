"""Feeds meta-training: the same stream of batches for the same plan, whatever is killed and resumed.

A Lightning epoch is the stretch between two checkpoints. Batch number i of the run is a pure function of
(seed, i), so a resumed run starts at the epoch after its checkpoint and draws what it would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from workbench.data.augment import Augmentation, augment
from workbench.data.cohort import Cohort
from workbench.data.episodes import EpisodeSampler, EpisodeSpec
from workbench.data.pool import LabelledBatch, MetaBatch, Pool


@dataclass(frozen=True, slots=True)
class Stream:
    """What a batch consists of.

    Attributes:
        episodes: how episodes are drawn; None for labelled images.
        batch: episodes, or labelled images, per step.
        views: augmented views of each labelled image.
        seed: of the stream.
        augmentation: of the images; None for none.
    """

    episodes: EpisodeSpec | None
    batch: int
    views: int = 1
    seed: int = 0
    augmentation: Augmentation | None = None


class BatchStream(Dataset[MetaBatch | LabelledBatch]):
    """Batch number i; each item is a whole batch."""

    def __init__(self, pool: Pool, stream: Stream, steps: int) -> None:
        self.pool = pool
        self.stream = stream
        self.steps = steps
        self._sampler = EpisodeSampler(pool.cohorts, stream.episodes) if stream.episodes else None

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> MetaBatch | LabelledBatch:
        s = self.stream
        batch: MetaBatch | LabelledBatch
        if self._sampler is not None:
            first = step * s.batch
            batch = self.pool.gather([self._sampler.episode(first + i) for i in range(s.batch)])
        else:
            batch = self.pool.labelled(step, s.batch, s.seed, s.views)
        if s.augmentation is None:
            return batch
        # A seed of its own for each step: augmentation resumes with the stream.
        generator = torch.Generator().manual_seed((s.seed << 32) + step)
        return batch.with_images(augment(batch.images, s.augmentation, generator))


class _Stretch(Sampler[int]):
    """Steps ``first`` to ``last - 1`` in order."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last))


class EpisodeDataModule(pl.LightningDataModule):
    """Batches of a pool of cohorts, one stretch between checkpoints per epoch.

    Args:
        cohorts: of the meta-training conditions.
        stream: what a batch consists of.
        steps: length of the run.
        stretch: steps between checkpoints.
        workers: processes that prepare batches; 0 prepares them in the training process. Has no influence
            on what the batches hold.
    """

    def __init__(
        self, cohorts: Sequence[Cohort], stream: Stream, steps: int, stretch: int, workers: int = 0
    ) -> None:
        super().__init__()
        self.pool = Pool(cohorts)
        self.stream = stream
        self.steps = steps
        self.stretch = stretch
        self.workers = workers

    def train_dataloader(self) -> DataLoader[MetaBatch | LabelledBatch]:
        """The current epoch's stretch; Lightning asks again at every epoch."""
        epoch = self.trainer.current_epoch if self.trainer is not None else 0
        first = epoch * self.stretch
        return DataLoader(
            BatchStream(self.pool, self.stream, self.steps),
            batch_size=None,
            sampler=_Stretch(first, min(first + self.stretch, self.steps)),
            num_workers=self.workers,
        )

    def transfer_batch_to_device(
        self, batch: MetaBatch | LabelledBatch, device: torch.device, dataloader_idx: int
    ) -> MetaBatch | LabelledBatch:
        """Move the tensors of a batch (Lightning only knows how to move its own kinds)."""
        return batch.to(device)
