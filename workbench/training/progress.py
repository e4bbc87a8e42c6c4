"""Episodes (or images) per second beside the progress bar and in the logs."""

from __future__ import annotations

import time

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from workbench.learners.base import Diet
from workbench.training.plan import Plan


class Throughput(Callback):
    """Logs ``episodes_per_second``, or ``images_per_second`` for learners trained on labelled images."""

    def __init__(self, plan: Plan, diet: Diet) -> None:
        self.per_step = plan.batch
        self.name = "episodes_per_second" if diet is Diet.EPISODES else "images_per_second"
        self._since = 0.0
        self._steps = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock: validation and checkpoints are not counted."""
        self._since, self._steps = time.perf_counter(), 0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Log the mean since the epoch began."""
        self._steps += 1
        rate = self._steps * self.per_step / (time.perf_counter() - self._since)
        pl_module.log(self.name, rate, prog_bar=True, batch_size=1)
