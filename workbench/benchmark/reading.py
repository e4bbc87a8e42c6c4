"""The reading benchmark: can a clinician believe what surrounds a reading?

Conditions the shipped encoder was not trained on: those held out, and those that chose its checkpoint.
What other conditions teach (`workbench.adaptation.experience`) is learned on the latter, so that the
held-out ones are read with the shipped experience, and each of the latter with an experience learned
without its origin. Called by `workbench benchmark reading`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
import yaml

from workbench.benchmark.reading_episodes import Record, Stream, records
from workbench.data.catalogue import get_card, same_origin
from workbench.data.cohort import Cohort, load_cohort
from workbench.data.examples import Features
from workbench.evaluation.contestants import Contestant
from workbench.evaluation.memory import cohort_digest, features_of
from workbench.learners.files import load_learner
from workbench.training.validation import reduced
from workbench.weights import find_weights

Said = Callable[[str], None]
WEIGHTS, METHOD = "general", "auto"
SHOTS = (5, 10)
_NOT_IMAGING = frozenset({"omniglot"})


@dataclass(frozen=True, slots=True)
class Settings:
    """A run of the benchmark.

    Attributes:
        folder: where records are kept.
        data: data folder; see `workbench.data.catalogue.find_data`.
        episodes: of each condition at five shots; at ten, which cost four times as much, a third of them.
        method: that adapts.
    """

    folder: Path
    data: Path | None = None
    episodes: int = 32
    method: str = METHOD

    def episodes_at(self, shots: int) -> int:
        """Episodes of each condition at so many shots."""
        return self.episodes if shots == SHOTS[0] else max(2, self.episodes // 3)


class Bench:
    """Conditions, features and records of a run, each made when first asked for.

    Args:
        settings: of the run.
        said: told about progress.
    """

    def __init__(self, settings: Settings, said: Said) -> None:
        self.settings = settings
        self.said = said
        self._cohorts: dict[str, Cohort] = {}
        self._features: dict[str, Features] = {}
        self._records: dict[tuple[str, int], tuple[Record, ...]] = {}

    @cached_property
    def contestant(self) -> Contestant:
        """The method on the shipped weights."""
        loaded = load_learner(find_weights(WEIGHTS, self.settings.method), self.settings.method)
        return Contestant(loaded.record.title, loaded.learner, loaded.sha256, loaded.record)

    @cached_property
    def known(self) -> tuple[str, ...]:
        """Conditions that the encoder was trained on."""
        return tuple(n for n in self._planned("meta_train") if n not in _NOT_IMAGING)

    @cached_property
    def validation(self) -> tuple[str, ...]:
        """Conditions that chose its checkpoint; experience is learned on them."""
        return self._planned("meta_validation")

    @cached_property
    def held_out(self) -> tuple[str, ...]:
        """Conditions that had no part in anything."""
        return self._planned("meta_test")

    @property
    def conditions(self) -> tuple[str, ...]:
        """All that are measured."""
        return (*self.held_out, *self.validation)

    def cohort(self, name: str) -> Cohort:
        """The images of a condition, at most `Stream.limit` of each class."""
        if name not in self._cohorts:
            recipe = self.contestant.learner.recipe
            stream = Stream(1, 1)
            whole = load_cohort(get_card(name), recipe, self.settings.data, progress=False)
            self._cohorts[name] = reduced(whole, stream.limit, stream.seed)
        return self._cohorts[name]

    def features(self, name: str) -> Features:
        """Embeddings of a condition's images."""
        if name not in self._features:
            cohort = self.cohort(name)
            # The method's own name plays no part: all that are measured here read the same embeddings.
            self._features[name] = features_of(self.contestant, cohort, cohort_digest(cohort))
            self.said(f"  {name}: {len(cohort.labels)} images embedded")
        return self._features[name]

    def records(self, name: str, shots: int) -> tuple[Record, ...]:
        """Episodes of a condition; none where it has too few patients."""
        key = (name, shots)
        if key not in self._records:
            cohort = self.cohort(name)
            identity = self.contestant.identity + cohort_digest(cohort)
            self._records[key] = records(
                self.settings.folder / "records",
                self.contestant.learner,
                identity,
                cohort,
                lambda: self.features(name),
                Stream(shots, self.settings.episodes_at(shots)),
                self.said,
            )
        return self._records[key]

    def with_method(self, method: str) -> Bench:
        """The same conditions for another method on the same encoder."""
        other = Bench(replace(self.settings, method=method), self.said)
        other._cohorts, other._features = self._cohorts, self._features
        return other

    def _planned(self, part: str) -> tuple[str, ...]:
        record = self.contestant.record
        assert record is not None
        return tuple(yaml.safe_load(record.plan)["data"][part])


def origin_of(name: str) -> str:
    """What conditions made from the same images, or people, have in common."""
    return min(same_origin([name]))


def measure(bench: Bench) -> None:
    """Compute every record that is missing."""
    torch.set_num_threads(1)
    for shots in reversed(SHOTS):
        for name in (*bench.validation, *bench.held_out):
            found = bench.records(name, shots)
            bench.said(f"{bench.settings.method}: {name}, {shots} shots: {len(found)} episodes")
