"""Computing one cell: a learner adapts to every episode of a stream, and what is done is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.benchmark.results import Cell, Decided, Key, Results
from workbench.data.episodes import EpisodeSampler
from workbench.data.examples import Features
from workbench.evaluation.episodic import query_scores, support_of
from workbench.learners.base import Learner, frozen

KEPT_EVERY = 30.0
"""Seconds between two writings; a killed run loses no more than these."""
_DIGITS = 6


@dataclass(slots=True)
class _Sheet:
    """Scores as they come in."""

    accuracy: list[float] = field(default_factory=list)
    balanced_accuracy: list[float] = field(default_factory=list)
    auroc: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)


def compute_cell(
    results: Results,
    key: Key,
    decided: Decided,
    learner: Learner,
    features: Callable[[], Features],
    sampler: EpisodeSampler,
    episodes: int,
) -> Cell:
    """The cell with at least `episodes` episodes; only those that are missing are computed.

    Args:
        results: where it is kept.
        key, decided: see there.
        learner: to adapt.
        features: of the condition's images; asked for only if an episode is missing.
        sampler: of one condition and one number of classes; every row sees the same episodes.
        episodes: how many.
    """
    known = results.read(key, decided)
    if known is not None and known.episodes >= episodes:
        return known
    sheet = (
        _Sheet(
            list(known.accuracy), list(known.balanced_accuracy), list(known.auroc), list(known.milliseconds)
        )
        if known is not None
        else _Sheet()
    )
    values, way = features(), sampler.episode(0).way

    def cell() -> Cell:
        return Cell(
            key,
            way,
            learner.inner_steps,
            decided,
            tuple(sheet.accuracy),
            tuple(sheet.balanced_accuracy),
            tuple(sheet.auroc),
            tuple(sheet.milliseconds),
        )

    written = time.monotonic()
    with frozen(learner):
        for number in range(len(sheet.accuracy), episodes):
            _take(sheet, learner, values, sampler, number)
            if time.monotonic() - written > KEPT_EVERY:
                results.write(cell())
                written = time.monotonic()
    results.write(cell())
    return cell()


def _take(sheet: _Sheet, learner: Learner, features: Features, sampler: EpisodeSampler, number: int) -> None:
    episode = sampler.episode(number)
    support = support_of(features, episode)
    started = time.process_time()
    classifier = learner.adapt(support)
    sheet.milliseconds.append(round(1000 * (time.process_time() - started), 3))
    accuracy, balanced, auroc = query_scores(classifier, features, episode)
    sheet.accuracy.append(round(accuracy, _DIGITS))
    sheet.balanced_accuracy.append(round(balanced, _DIGITS))
    sheet.auroc.append(round(auroc, _DIGITS))
