"""Shift in the reading benchmark: strange scans, drifting cohorts and known conditions, on real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import torch

from workbench.adaptation.drift import Cohort, drift_between
from workbench.adaptation.experience import Experience
from workbench.adaptation.novelty import energy, nearest
from workbench.adaptation.similarity import Evidence
from workbench.benchmark.reading import SHOTS, Bench, origin_of
from workbench.benchmark.reading_episodes import Record, support_of_record
from workbench.benchmark.reading_fit import (
    SHIFT_EPISODES,
    fit_evidence,
    novelty_of,
    unit,
)
from workbench.data.catalogue import get_card
from workbench.evaluation.statistics import delong
from workbench.learners.base import frozen

Values = npt.NDArray[np.float64]
_SCANS, _COHORT = 60, 20
MEASURES = ("Mahalanobis", "nearest", "energy", "1 - confidence")


class Other(StrEnum):
    """Where out-of-condition scans come from."""

    MODALITY = "another modality"
    BODY_PART = "another body part"
    SITE = "another site"
    """The same modality and body part, images of another origin."""


@dataclass(frozen=True, slots=True)
class ShiftLine:
    """One condition against scans of one other kind.

    Attributes:
        condition, shots: of the supports.
        other: kind of the scans that do not belong.
        auroc: mean over episodes for each of `MEASURES`.
        flagged: share of these scans called unlike the support.
        false_alarms: the same of the condition's own scans.
        drift: share of cohorts of these scans called drifting.
    """

    condition: str
    shots: int
    other: Other
    auroc: tuple[float, ...]
    flagged: float
    false_alarms: float
    drift: float


@dataclass(frozen=True, slots=True)
class OwnLine:
    """Cohorts of the condition's own patients that were called drifting, balanced and of other shares."""

    condition: str
    shots: int
    balanced: float
    skewed: float


def other_conditions(bench: Bench, name: str) -> dict[Other, tuple[str, ...]]:
    """Conditions of other origin by what sets them apart."""
    card = get_card(name)
    found: dict[Other, tuple[str, ...]] = dict.fromkeys(Other, ())
    for other in (*bench.known, *bench.validation, *bench.held_out):
        if origin_of(other) == origin_of(name) and other != name:
            # eye3_fundus is partly of another source than odir_fundus; too near to count as strange.
            continue
        if other == name:
            continue
        theirs = get_card(other)
        if theirs.modality != card.modality:
            kind = Other.MODALITY
        else:
            kind = Other.SITE if theirs.body_part == card.body_part else Other.BODY_PART
        found[kind] = (*found[kind], other)
    return found


def shift_lines(
    bench: Bench, experience_for: dict[str, Experience]
) -> tuple[tuple[ShiftLine, ...], tuple[OwnLine, ...]]:
    """Strange scans and drifting cohorts for each condition and number of shots."""
    probe = bench.with_method("linear-probe").contestant.learner
    shift, own = [], []
    for shots in SHOTS:
        for name in bench.conditions:
            records = bench.records(name, shots)[:SHIFT_EPISODES]
            if not records:
                continue
            found = [
                _episode(bench, name, record, number, experience_for[name].learned.margin, probe)
                for number, record in enumerate(records)
            ]
            for kind in Other:
                mine = [f.kinds[kind] for f in found if kind in f.kinds]
                if mine:
                    table = np.array(mine)
                    n = len(MEASURES)
                    shift.append(
                        ShiftLine(
                            name,
                            shots,
                            kind,
                            tuple(table[:, :n].mean(axis=0).tolist()),
                            float(table[:, n].mean()),
                            float(np.mean([f.false_alarms for f in found])),
                            float(np.nanmean(table[:, n + 1])),
                        )
                    )
            pairs = np.array([(f.balanced, f.skewed) for f in found])
            own.append(OwnLine(name, shots, *np.nanmean(pairs, axis=0).tolist()))
            bench.said(f"  {name}, {shots} shots: shift measured")
    return tuple(shift), tuple(own)


def similarity_evidence(bench: Bench, experience: Experience) -> Evidence:
    """Whether nearness predicts accuracy, over all conditions measured."""
    return fit_evidence(bench, bench.conditions, experience.known)


@dataclass(frozen=True, slots=True)
class _Found:
    kinds: dict[Other, tuple[float, ...]]
    false_alarms: float
    balanced: float
    skewed: float


def _episode(bench: Bench, name: str, record: Record, number: int, margin: float, probe: object) -> _Found:
    from workbench.learners.base import Learner

    assert isinstance(probe, Learner)
    rng = np.random.default_rng([number, record.shots])
    z, features = unit(bench, name), bench.features(name)
    support = support_of_record(features, record)
    learner = bench.contestant.learner
    with frozen(learner), frozen(probe):
        classifier, lines = learner.adapt(support), probe.adapt(support)
    model, usual = novelty_of(z, record)
    limit = margin * float(np.median(usual))
    labelled = Cohort(z[record.support], record.left_out.argmax(axis=1))

    def scores(where: str, rows: npt.NDArray[np.int64]) -> tuple[Values, ...]:
        here, given = unit(bench, where)[rows], bench.features(where)[torch.from_numpy(rows)]
        with torch.no_grad():
            logits = lines.head.logits(given.values).double().numpy()
        confidence = classifier.predict(given).probabilities.max(axis=1)
        return model.distances(here), nearest(z[record.support], here), energy(logits), 1 - confidence

    def drifting(embeddings: Values, where: Sequence[tuple[str, npt.NDArray[np.int64]]]) -> float:
        read = np.concatenate(
            [
                classifier.predict(bench.features(n)[torch.from_numpy(r)]).probabilities.argmax(axis=1)
                for n, r in where
            ]
        )
        found = drift_between(labelled, Cohort(embeddings, read))
        return float("nan") if found.p_value is None else float(found.drifting)

    query = rng.permutation(len(record.query))
    rows = record.query[query[:_SCANS]]
    own = scores(name, rows)
    kinds: dict[Other, tuple[float, ...]] = {}
    for kind, names in other_conditions(bench, name).items():
        if not names:
            continue
        chosen = [
            (other, rng.permutation(len(bench.features(other)))[: -(-_SCANS // len(names))])
            for other in names
        ]
        theirs = [np.concatenate(parts) for parts in zip(*(scores(*c) for c in chosen), strict=True)]
        areas = [delong(b, a).value for a, b in zip(own, theirs, strict=True)]
        # A cohort comes from one place.
        place, all_of_it = chosen[number % len(chosen)][0], rng
        some = all_of_it.permutation(len(bench.features(place)))[:_COHORT]
        flagged = float((theirs[0] > limit).mean())
        kinds[kind] = (*areas, flagged, drifting(unit(bench, place)[some], [(place, some)]))
    few = record.query[query[:_COHORT]]
    skewed = _skewed(record, rng)
    return _Found(
        kinds,
        float((own[0] > limit).mean()),
        drifting(z[few], [(name, few)]),
        drifting(z[skewed], [(name, skewed)]),
    )


def _skewed(record: Record, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Scans of which four in five are of one class."""
    mostly = rng.permutation(record.query[record.query_labels == 0])[: 4 * _COHORT // 5]
    rest = rng.permutation(record.query[record.query_labels != 0])[: _COHORT - len(mostly)]
    return np.concatenate([mostly, rest])
