"""Catalogued conditions, embedded once, for meta-training and the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workbench.data.catalogue import get_card, same_origin
from workbench.data.cohort import load_cohort
from workbench.errors import CohortError
from workbench.evaluation.contestants import Contestant
from workbench.evaluation.memory import cohort_digest, features_of
from workbench.learners.files import load_learner
from workbench.querying.simulation import Condition
from workbench.training.validation import reduced
from workbench.weights import find_weights


def encoder(weights: str, method: str) -> Contestant:
    """The learner that adapts after each label, with what its file says about it."""
    loaded = load_learner(find_weights(weights, method), method)
    return Contestant(loaded.record.title or weights, loaded.learner, loaded.sha256, loaded.record)


def read_condition(
    entrant: Contestant, name: str, limit: int, seed: int, data: Path | None = None
) -> Condition:
    """A condition of at most `limit` images per class (0: all), drawn by `seed`; its features are cached.

    Raises:
        FetchError: if the dataset is not on this machine.
    """
    whole = load_cohort(get_card(name), entrant.learner.recipe, data, progress=False)
    cohort = reduced(whole, limit, seed)
    features = features_of(entrant, cohort, cohort_digest(cohort))
    return Condition(name, features, cohort.labels, cohort.patients)


def refuse_shared_origin(held_out: Sequence[str], used: Sequence[str]) -> None:
    """Refuse to evaluate on a condition that is, or shares an origin with, one the policy was made with.

    Raises:
        CohortError: naming both.
    """
    for name in held_out:
        if shared := sorted(same_origin([name]) & set(used)):
            raise CohortError(
                f"{name!r} is not held out from the query policy: it was made with {shared[0]!r}. "
                "Leave one out."
            )
