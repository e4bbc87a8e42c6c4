"""Comparing methods and encoders on episodes of held-out conditions.

Everyone adapts to the same episodes, so that differences are paired. Called by `workbench evaluate`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from workbench.data.catalogue import get_card, same_origin
from workbench.data.cohort import Cohort, load_cohort, only_split
from workbench.data.episodes import EpisodeSampler, EpisodeSpec, span
from workbench.errors import CohortError
from workbench.evaluation.contestants import PIXELS, Contestant
from workbench.evaluation.episodic import score
from workbench.evaluation.memory import (
    Scores,
    cohort_digest,
    features_of,
    read_scores,
    scores_file,
    write_scores,
)
from workbench.evaluation.statistics import Interval, Values, mean_interval, paired_difference
from workbench.learners.files import LearnerRecord

KEPT_EVERY = 50
"""Episodes between two writings of the scores; a killed run loses no more than these."""
Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant on one condition.

    Attributes:
        condition: name of the dataset card.
        modality: DICOM code.
        seen: the condition, or one of its origin, was used in making the weights: the row is not held out.
        encoder, method: who.
        inner_steps: gradient steps of each adaptation.
        way, shot: classes per episode, support patients per class.
        episodes: how many; they are the n of the intervals unless an episode had no AUROC.
        accuracy, balanced_accuracy, auroc: means over episodes.
        gain: difference in accuracy to the better of the raw-pixel rows on the same episodes; None without
            raw pixels, and for those rows themselves.
    """

    condition: str
    modality: str
    seen: bool
    encoder: str
    method: str
    inner_steps: int
    way: int
    shot: int
    episodes: int
    accuracy: Interval
    balanced_accuracy: Interval
    auroc: Interval
    gain: Interval | None = None


def used_in_training(record: LearnerRecord) -> frozenset[str]:
    """Conditions that took part in making weights: trained on, or watched to choose the checkpoint."""
    data = (yaml.safe_load(record.plan) or {}).get("data", {}) if record.plan else {}
    return frozenset(record.conditions) | frozenset(data.get("meta_validation") or ())


def planned_conditions(record: LearnerRecord) -> tuple[str, ...]:
    """The held-out conditions named by the plan the weights were made with.

    Raises:
        CohortError: if the plan names none.
    """
    data = (yaml.safe_load(record.plan) or {}).get("data", {}) if record.plan else {}
    names = tuple(data.get("meta_test") or ())
    if not names:
        raise CohortError(
            "The weights' plan names no held-out conditions. Name some with --conditions; "
            "`workbench data list` shows which there are."
        )
    return names


def why_seen(record: LearnerRecord, condition: str) -> str | None:
    """Why a condition is not held out from weights, or None where it is.

    Raises:
        CardError: if there is no such dataset card.
    """
    card = get_card(condition)
    used = used_in_training(record)
    related = sorted(same_origin([condition]) & used)
    if condition in used:
        return f"{condition!r} was used in making the weights"
    if related or set(card.origin) & set(record.origins):
        origin = related[0] if related else ", ".join(sorted(set(card.origin) & set(record.origins)))
        return f"{condition!r} is of the same origin as {origin!r}, which was used in making the weights"
    return None


def compare(
    entrants: Sequence[Contestant],
    conditions: Sequence[str],
    spec: EpisodeSpec,
    episodes: int,
    data: Path | None = None,
    allow_seen: bool = False,
    fresh: bool = False,
    progress: Progress | None = None,
    split: str = "",
) -> tuple[Row, ...]:
    """Evaluate every contestant on the same episodes of every condition.

    Args:
        entrants: see `contestants`.
        conditions: names of dataset cards.
        spec: how episodes are drawn; `ways` is the most classes per episode.
        episodes: per condition.
        data: data folder; see `workbench.data.catalogue.find_data`.
        allow_seen: take conditions that the weights have seen, marked so, instead of refusing them.
        fresh: compute again what the cache holds.
        progress: see `Progress`.
        split: of the dataset that episodes are drawn from; all of it where empty.

    Raises:
        CohortError: a condition is not held out, too small for such episodes, or without that split.
        FetchError: a dataset is not on this machine.
    """
    seen = {name: _seen(entrants, name) for name in conditions}
    refused = [reason for reason in seen.values() if reason is not None]
    if refused and not allow_seen:
        raise CohortError(
            f"Not held out: {'; '.join(refused)}. Leave them out, or pass --allow-seen to have them marked."
        )
    rows: list[Row] = []
    for name in conditions:
        cohort = load_cohort(get_card(name), entrants[0].learner.recipe, data, progress=sys.stderr.isatty())
        cohort = only_split(cohort, split) if split else cohort
        rows += on_cohort(entrants, cohort, spec, episodes, seen[name] is not None, fresh, progress)
    return tuple(rows)


def on_cohort(
    entrants: Sequence[Contestant],
    cohort: Cohort,
    spec: EpisodeSpec,
    episodes: int,
    seen: bool = False,
    fresh: bool = False,
    progress: Progress | None = None,
) -> list[Row]:
    """One condition of `compare`."""
    way = _ways(cohort, spec)
    exact = replace(spec, ways=way, conditions=())
    sampler = EpisodeSampler([cohort], exact)
    digest = cohort_digest(cohort)
    tables = [episode_scores(c, cohort, sampler, digest, episodes, fresh, progress) for c in entrants]
    pixels = [table[:, 1] for c, table in zip(entrants, tables, strict=True) if c.encoder == PIXELS]
    best = max(pixels, key=lambda values: float(values.mean())) if pixels else None
    return [
        Row(
            condition=cohort.name,
            modality=cohort.modality,
            seen=seen and c.record is not None,
            encoder=c.encoder,
            method=c.learner.name,
            inner_steps=c.learner.inner_steps,
            way=way,
            shot=span(spec.shots)[1],
            episodes=episodes,
            accuracy=mean_interval(table[:, 1], bounds=(0.0, 1.0)),
            balanced_accuracy=mean_interval(table[:, 2], bounds=(0.0, 1.0)),
            auroc=mean_interval(table[:, 3], bounds=(0.0, 1.0)),
            gain=paired_difference(table[:, 1], best) if best is not None and c.encoder != PIXELS else None,
        )
        for c, table in zip(entrants, tables, strict=True)
    ]


def episode_scores(
    contestant: Contestant,
    cohort: Cohort,
    sampler: EpisodeSampler,
    digest: str,
    episodes: int,
    fresh: bool,
    progress: Progress | None,
) -> Values:
    """Way, accuracy, balanced accuracy and AUROC of each episode, ``(episodes, 4)``; kept in the cache.

    Args:
        contestant, cohort, episodes, fresh, progress: see `compare`.
        sampler: of the episodes, on that cohort alone.
        digest: `cohort_digest` of it.
    """
    title = f"{cohort.name}: {contestant.encoder}, {contestant.learner.name}"
    path = scores_file(contestant, digest, json.dumps(asdict(sampler.spec), sort_keys=True))
    known: Scores = [] if fresh else read_scores(path)
    if len(known) < episodes:

        def embedding(done: int, total: int) -> None:
            if progress is not None:
                progress(f"{title}: features", done, total)

        features = features_of(contestant, cohort, digest, embedding)
        for number in range(len(known), episodes):
            known.append(score(contestant.learner, features, sampler.episode(number)))
            if progress is not None:
                progress(title, number + 1, episodes)
            if len(known) % KEPT_EVERY == 0:
                write_scores(path, known)
        write_scores(path, known)
    return np.array(known[:episodes], dtype=np.float64)


def _ways(cohort: Cohort, spec: EpisodeSpec) -> int:
    """As many classes as asked for, or as have enough patients; the sampler says what is wrong below two."""
    need = span(spec.shots)[1] + 1
    enough = [len(np.unique(cohort.patients[cohort.labels == k])) >= need for k in range(len(cohort.classes))]
    return max(2, min(span(spec.ways)[1], sum(enough)))


def _seen(entrants: Sequence[Contestant], condition: str) -> str | None:
    records = [c.record for c in entrants if c.record is not None]
    reasons = [reason for record in records if (reason := why_seen(record, condition)) is not None]
    return reasons[0] if reasons else None
