"""Episodic evaluation: a learner adapts to many small tasks of one condition and reads their queries.

Images are embedded once (`Learner.features`), so that thousands of episodes cost one pass over the
images. Every learner sees the same episodes for the same specification, which makes paired comparison
possible. Called by `workbench evaluate`, the benchmarks, and meta-validation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata

from workbench.data.cohort import Cohort
from workbench.data.episodes import Episode, EpisodeSampler, EpisodeSpec
from workbench.data.examples import Features, Support
from workbench.data.pool import Pool
from workbench.learners.base import Classifier, Learner, frozen

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class EpisodeScores:
    """Scores of one learner on the episodes of one condition.

    Attributes:
        condition: name of the cohort.
        learner: name of the method.
        way: number of classes of each episode.
        accuracy, balanced_accuracy, auroc: one value for each episode, 0 to 1; AUROC is the macro mean of
            one class against the rest, NaN where an episode's query lacks a class.
    """

    condition: str
    learner: str
    way: npt.NDArray[np.int64]
    accuracy: Values
    balanced_accuracy: Values
    auroc: Values

    def __len__(self) -> int:
        return len(self.accuracy)


def embed_cohort(learner: Learner, cohort: Cohort) -> Features:
    """Features of every image of a cohort, computed once."""
    return Features(learner.features(Pool([cohort]).images))


def evaluate_episodes(
    learner: Learner,
    cohort: Cohort,
    spec: EpisodeSpec,
    episodes: int,
    features: Features | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EpisodeScores:
    """Adapt and read `episodes` tasks of one condition.

    Args:
        learner: to evaluate.
        cohort: held out from its meta-training.
        spec: how tasks are drawn; its seed and the episode's number decide each of them.
        episodes: how many.
        features: of the cohort's images, if they are known already.
        progress: called with (done, total).

    Raises:
        CohortError: if the cohort cannot give such episodes.
    """
    sampler = EpisodeSampler([cohort], replace(spec, conditions=()))
    known = features if features is not None else embed_cohort(learner, cohort)
    rows = []
    with frozen(learner):
        for number in range(episodes):
            rows.append(score(learner, known, sampler.episode(number)))
            if progress is not None:
                progress(number + 1, episodes)
    table = np.array([r[1:] for r in rows], dtype=np.float64).reshape(episodes, 3)
    ways = np.array([r[0] for r in rows], dtype=np.int64)
    return EpisodeScores(cohort.name, learner.name, ways, table[:, 0], table[:, 1], table[:, 2])


def score(learner: Learner, features: Features, episode: Episode) -> tuple[int, float, float, float]:
    """Way, accuracy, balanced accuracy and macro AUROC of one episode."""
    classifier = learner.adapt(support_of(features, episode))
    return (episode.way, *query_scores(classifier, features, episode))


def support_of(features: Features, episode: Episode) -> Support:
    """What a learner adapts to in an episode."""
    return Support(
        inputs=features[torch.from_numpy(episode.support)],
        labels=torch.from_numpy(episode.support_labels),
        classes=episode.classes,
        patients=tuple(str(row) for row in episode.support.tolist()),
    )


def query_scores(classifier: Classifier, features: Features, episode: Episode) -> tuple[float, float, float]:
    """Accuracy, balanced accuracy and macro AUROC of a classifier on the query of an episode."""
    reading = classifier.predict(features[torch.from_numpy(episode.query)])
    return classification_scores(reading.probabilities, episode.query_labels)


def classification_scores(probabilities: Values, truth: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """Accuracy, balanced accuracy and macro one-against-rest AUROC.

    Args:
        probabilities: ``(n, k)``.
        truth: ``(n,)`` in ``[0, k)``.

    Returns:
        Each in 0 to 1; AUROC is NaN where a class does not occur in `truth`, or is the only one.
    """
    hits = probabilities.argmax(axis=1) == truth
    recalls = [float(hits[truth == k].mean()) for k in np.unique(truth)]
    return float(hits.mean()), float(np.mean(recalls)), macro_auroc(probabilities, truth)


def macro_auroc(probabilities: Values, truth: npt.NDArray[np.int64]) -> float:
    """Mean over classes of the area under the ROC curve of one class against the rest.

    From midranks, the Mann-Whitney form of the area (Hanley and McNeil, Radiology 143, 1982), for all classes
    at once: thousands of small episodes are scored one by one.
    """
    ways = probabilities.shape[1]
    positive = truth[:, None] == np.arange(ways)
    m = positive.sum(axis=0)
    n = len(truth) - m
    if not (m.all() and n.all()):
        return float("nan")
    ranks = (rankdata(probabilities, axis=0) * positive).sum(axis=0)
    return float(np.mean((ranks - m * (m + 1) / 2) / (m * n)))
