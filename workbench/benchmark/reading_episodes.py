"""Episodes of the reading benchmark: what a method reads, and what it read of patients left out.

Calibration, sets, forecasts and shift are all computed from these records, so that the costly part
(adapting to every support without each of its patients) is done once. A record file holds the episodes of
one condition at one number of shots and is kept in the run folder; a killed run goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from workbench.adaptation.estimate import leave_one_patient_out
from workbench.adaptation.forecast import MORE
from workbench.benchmark.results import digest, method_source
from workbench.data.cohort import Cohort
from workbench.data.episodes import Episode, EpisodeSampler, EpisodeSpec
from workbench.data.examples import Features, Support
from workbench.errors import CohortError
from workbench.learners.base import Learner, frozen

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
_KEPT_EVERY = 20.0


@dataclass(frozen=True, slots=True)
class Stream:
    """How episodes are drawn.

    Attributes:
        shots: support patients per class.
        episodes: how many.
        ways: classes of each, an inclusive range.
        queries: scans per class to read, at most.
        limit: images per class of a condition, at most.
        seed: of the stream.
    """

    shots: int
    episodes: int
    ways: tuple[int, int] = (2, 5)
    queries: int = 100
    limit: int = 150
    seed: int = 20261127


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One episode.

    Attributes:
        way, shots: of the support.
        support, support_labels: rows of the condition, and classes.
        left_out: probabilities ``(n, way)`` of each support scan by a model that had not seen its patient.
        query, query_labels: rows read, and their classes.
        read: probabilities ``(q, way)``.
        read_later: the same with five more patients per class in the support; None where there are too few.
    """

    way: int
    shots: int
    support: Rows
    support_labels: Rows
    left_out: Values
    query: Rows
    query_labels: Rows
    read: Values
    read_later: Values | None


_ARRAYS = ("support", "support_labels", "left_out", "query", "query_labels", "read", "read_later")


def records(
    folder: Path,
    learner: Learner,
    identity: str,
    cohort: Cohort,
    features: Callable[[], Features],
    stream: Stream,
    said: Callable[[str], None],
) -> tuple[Record, ...]:
    """The episodes of a condition; only those that are missing are computed.

    Args:
        folder: where they are kept.
        learner: that adapts.
        identity: digest of everything that decides the features.
        cohort: the condition.
        features: of its images.
        stream: how episodes are drawn.
        said: told about progress.

    Returns:
        None at all where no two classes have enough patients.
    """
    drawn = _sampler(cohort, stream)
    if drawn is None:
        return ()
    sampler, extended = drawn
    decided = {**asdict(stream), "episodes": 0}
    made = digest([identity, method_source(learner.name), json.dumps(decided, sort_keys=True)])[:12]
    path = folder / learner.name / f"{cohort.name}-{stream.shots}shot-{made}.npz"
    known = _read(path)
    written = time.monotonic()
    with frozen(learner):
        for number in range(len(known), stream.episodes):
            known.append(_take(learner, features(), sampler.episode(number), stream.shots, extended))
            if time.monotonic() - written > _KEPT_EVERY:
                _write(path, known)
                written = time.monotonic()
                said(f"  {cohort.name}, {stream.shots} shots: {number + 1} of {stream.episodes} episodes")
    _write(path, known)
    return tuple(known[: stream.episodes])


def _sampler(cohort: Cohort, stream: Stream) -> tuple[EpisodeSampler, bool] | None:
    """A sampler, and whether its supports hold the patients that are added later."""
    for more in (MORE, 0):
        spec = EpisodeSpec(stream.ways, stream.shots + more, stream.queries, seed=stream.seed)
        try:
            return EpisodeSampler([cohort], spec), more > 0
        except CohortError:
            continue
    return None


def _take(learner: Learner, features: Features, episode: Episode, shots: int, extended: bool) -> Record:
    way = episode.way
    place = np.arange(len(episode.support)) % (shots + MORE if extended else shots)
    first = episode.support[place < shots]
    labels = episode.support_labels[place < shots]
    query = features[torch.from_numpy(episode.query)]
    support = _support(features, first, labels, episode.classes)
    later = None
    if extended:
        longer = _support(features, episode.support, episode.support_labels, episode.classes)
        later = learner.adapt(longer).predict(query).probabilities
    return Record(
        way,
        shots,
        first,
        labels,
        leave_one_patient_out(learner, support).probabilities,
        episode.query,
        episode.query_labels,
        learner.adapt(support).predict(query).probabilities,
        later,
    )


def support_of_record(features: Features, record: Record) -> Support:
    """What the learner adapted to."""
    names = tuple(f"class {k}" for k in range(record.way))
    return _support(features, record.support, record.support_labels, names)


def _support(features: Features, rows: Rows, labels: Rows, classes: Sequence[str]) -> Support:
    return Support(
        features[torch.from_numpy(rows)],
        torch.from_numpy(labels),
        tuple(classes),
        tuple(str(row) for row in rows.tolist()),
    )


def _read(path: Path) -> list[Record]:
    """Episodes kept so far; none if there are none or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            count = int(kept["count"])
            return [_unpacked(kept, number) for number in range(count)]
    except (OSError, ValueError, KeyError):
        return []


def _unpacked(kept: np.lib.npyio.NpzFile, number: int) -> Record:
    arrays = {name: kept[f"{number}/{name}"] for name in _ARRAYS if f"{number}/{name}" in kept}
    later = arrays.get("read_later")
    return Record(
        int(arrays["read"].shape[1]),
        int(np.bincount(arrays["support_labels"]).max()),
        arrays["support"],
        arrays["support_labels"],
        arrays["left_out"].astype(np.float64),
        arrays["query"],
        arrays["query_labels"],
        arrays["read"].astype(np.float64),
        None if later is None else later.astype(np.float64),
    )


def _write(path: Path, found: Sequence[Record]) -> None:
    arrays: dict[str, npt.NDArray[np.generic]] = {"count": np.array(len(found))}
    for number, record in enumerate(found):
        for name in _ARRAYS:
            value = getattr(record, name)
            if value is not None:
                arrays[f"{number}/{name}"] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez_compressed(draft, **arrays)  # type: ignore[arg-type]
    draft.replace(path)
