"""Suggesting which unlabelled scans to label next, in words a person can act on.

`suggest` is the one function behind `workbench suggest` and the UI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workbench.adaptation.model import AdaptedModel, has_seen, other_modality
from workbench.data.examples import Example, Features
from workbench.data.folders import iter_scans, scan_key
from workbench.errors import ScanRefused, SupportError
from workbench.imaging.digest import pixel_digest
from workbench.imaging.scan import Scan
from workbench.learners.base import Classifier
from workbench.querying import DEFAULT
from workbench.querying.outlook import Outlook, read_line
from workbench.querying.reasons import reason
from workbench.querying.state import QueryState, query_state
from workbench.querying.strategies import query_strategy

_AT_ONCE = 16
"""Scans held decoded at a time."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One scan to label.

    Attributes:
        row: in the pool.
        name: what to call it on the user's own screen; empty where the pool has no names.
        label: the class the model reads now.
        probability: that it gives this class.
        reason: why to label it, in words.
    """

    row: int
    name: str
    label: str
    probability: float
    reason: str


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Scans to label, most wanted first.

    Attributes:
        strategy: that chose.
        suggestions: at most as many as asked for.
        outlook: what more labels are likely to bring.
        pool: scans that could be suggested.
        refused: files left out, each with the reason and the fix.
        known: scans left out because the model was adapted on them.
    """

    strategy: str
    suggestions: tuple[Suggestion, ...]
    outlook: Outlook
    pool: int
    refused: tuple[ScanRefused, ...] = ()
    known: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Unlabelled scans by their features.

    Attributes:
        features: by the learner of the classifier that is asked.
        patients: key of each scan; a scan whose patient is not known has its own.
        names: of each scan, for the user's own screen.
        labelled_patients: keys of patients with a labelled scan.
        refused, known: see `Suggestions`.
    """

    features: Features
    patients: tuple[str, ...]
    names: tuple[str, ...] = ()
    labelled_patients: frozenset[str] = frozenset()
    refused: tuple[ScanRefused, ...] = ()
    known: int = 0


def suggest(
    model: AdaptedModel | Classifier, pool: Pool, n: int = 5, strategy: str = DEFAULT, seed: int = 0
) -> Suggestions:
    """The n scans of a pool to label next.

    Each is of another patient than the others, and than those labelled already, as long as there are such.
    The same arguments give the same suggestions.

    Args:
        model: adapted in this session or read from a file.
        pool: see `read_pool`.
        n: how many, at least 1.
        strategy: see `workbench.querying.strategies`.
        seed: of strategies that leave something to chance.

    Raises:
        PlanError: for an unknown strategy.
        SupportError: if the pool is empty.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    chooser = query_strategy(strategy)
    if len(pool.patients) == 0:
        raise SupportError("There is no scan to suggest. Add scans that are not labelled yet.")
    classifier = model.classifier if isinstance(model, AdaptedModel) else model
    state = query_state(classifier, pool.features, pool.patients, pool.labelled_patients)
    rows = chooser.choose(state, n, np.random.default_rng(seed))
    return Suggestions(
        strategy,
        tuple(_suggestion(state, classifier.classes, pool, row, chooser.reason) for row in rows),
        read_line().outlook(state),
        len(state),
        pool.refused,
        pool.known,
    )


def read_pool(
    model: AdaptedModel, paths: Sequence[str | Path], progress: Callable[[int, int], None] | None = None
) -> Pool:
    """The pool in files, folders (with subfolders) and zips; see `pool_of` for what is left out.

    Args:
        model: whose learner embeds the scans.
        paths: what to read.
        progress: called with the number of files done and in all.
    """
    return pool_of(model, iter_scans(paths, progress))


def pool_of(
    model: AdaptedModel,
    scans: Iterable[tuple[str, Scan | ScanRefused]],
    patients_by_name: Mapping[str, str] | None = None,
) -> Pool:
    """The pool of scans, whoever reads them from where.

    Left out: files that cannot be read, scans of another modality than the model's, exact copies, and scans
    that the model was adapted on (which only the installation that adapted it can tell).

    Args:
        model: whose learner embeds the scans.
        scans: what to call each, and the scan or why it could not be read; a few are held at a time.
        patients_by_name: patients that are known from elsewhere than the scans' own headers.
    """
    told = patients_by_name or {}
    learner, record = model.classifier.learner, model.record
    waiting: list[Scan] = []
    features: list[torch.Tensor] = []
    patients: list[str] = []
    names: list[str] = []
    refused: list[ScanRefused] = []
    labelled: set[str] = set()
    seen: dict[str, str] = {}
    known = 0
    for name, outcome in scans:
        if isinstance(outcome, ScanRefused):
            refused.append(ScanRefused(name, outcome.reason, outcome.fix))
            continue
        if (refusal := other_modality(record, outcome, name)) is not None:
            refused.append(refusal)
            continue
        first = seen.setdefault(pixel_digest(outcome), name)
        if first != name:
            refused.append(
                ScanRefused(name, f"It is an exact copy of {first}.", "It counts once; remove it.")
            )
            continue
        patient = told.get(name) or outcome.patient or scan_key(outcome)
        if scan_key(outcome) in record.support_scans:
            known += 1
            continue
        if has_seen(record, Example(outcome, "", patient)) is not None:
            labelled.add(patient)
        patients.append(patient)
        names.append(name)
        waiting.append(outcome)
        if len(waiting) == _AT_ONCE:
            features.append(learner.features(learner.recipe.batch(waiting)))
            waiting = []
    if waiting:
        features.append(learner.features(learner.recipe.batch(waiting)))
    return Pool(
        Features(torch.cat(features) if features else torch.empty((0, learner.backbone.dim))),
        tuple(patients),
        tuple(names),
        frozenset(labelled),
        tuple(refused),
        known,
    )


def _suggestion(
    state: QueryState, classes: tuple[str, ...], pool: Pool, row: int, of_strategy: str
) -> Suggestion:
    best = int(state.probabilities[row].argmax())
    return Suggestion(
        row,
        pool.names[row] if pool.names else "",
        classes[best],
        float(state.probabilities[row, best]),
        reason(state, classes, row, of_strategy),
    )
