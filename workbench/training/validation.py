"""Meta-validation: how well the learner adapts to conditions it is not trained on.

Runs after every stretch, before the checkpoint is written, on the same fixed episodes each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from workbench.data.cohort import Cohort
from workbench.data.episodes import EpisodeSpec
from workbench.evaluation.episodic import evaluate_episodes
from workbench.learners.base import Learner
from workbench.training.plan import ValidationPlan

MONITOR = "meta_validation"
"""Mean balanced accuracy over the meta-validation conditions, 0 to 1."""


class MetaValidation(Callback):
    """Logs balanced accuracy on each held-out condition, and their mean as `MONITOR`."""

    def __init__(self, cohorts: Sequence[Cohort], plan: ValidationPlan, seed: int) -> None:
        self.cohorts = [reduced(c, plan.limit, seed) for c in cohorts]
        self.plan = plan
        self.spec = EpisodeSpec(ways=(2, 64), shots=plan.shots, queries=plan.queries, seed=seed + 1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate and log."""
        assert isinstance(pl_module, Learner)
        means = []
        for cohort in self.cohorts:
            scores = evaluate_episodes(pl_module, cohort, self.spec, self.plan.episodes)
            means.append(float(scores.balanced_accuracy.mean()))
            pl_module.log(f"{MONITOR}/{cohort.name}", means[-1], batch_size=1)
        pl_module.log(MONITOR, float(np.mean(means)), prog_bar=True, batch_size=1)


def reduced(cohort: Cohort, limit: int, seed: int) -> Cohort:
    """The cohort with at most `limit` images per class (0: all), drawn once for a seed."""
    if not limit:
        return cohort
    rng = np.random.default_rng(seed)
    rows = np.sort(
        np.concatenate(
            [rng.permutation(np.flatnonzero(cohort.labels == k))[:limit] for k in range(len(cohort.classes))]
        )
    )
    return replace(
        cohort,
        images=cohort.images[rows],
        labels=cohort.labels[rows],
        patients=cohort.patients[rows],
        names=tuple(cohort.names[i] for i in rows),
        splits=tuple(cohort.splits[i] for i in rows),
    )
