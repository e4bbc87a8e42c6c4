"""Agreement between the readers of a condition, beyond chance.

Two readers: Cohen, "A coefficient of agreement for nominal scales", Educ Psychol Meas 1960, equation 1. More:
Fleiss, "Measuring nominal scale agreement among many raters", Psychol Bull 1971, equation 7, over the scans
that the same number of readers labelled (the largest such number that has enough scans). Intervals are
percentiles of a bootstrap over patients, since scans of one patient are not independent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.service.access import held_level
from workbench.service.kinds import Actor, Agreement, Interval95, Level
from workbench.service.rows import present
from workbench.service.standing import standings
from workbench.store.schema import Condition, Label, ScanRow

ENOUGH = 10
"""Scans that two readers must share before a kappa is given."""
_RESAMPLES = 2000
_SEED = 20
Ratings = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def agreement(session: Session, actor: Actor, condition: Condition) -> Agreement:
    """How readers agree, as the actor may know it.

    Who the readers are, kappa and disagreements are hidden from a reader who has labelled fewer than half of
    the scans, the owner apart.
    """
    rows = session.scalars(present(condition.id, "support")).all()
    known = standings(session, condition.id)
    said = [(row, known[row.id]) for row in rows if row.id in known]
    codes = {one.id: k for k, one in enumerate(condition.classes)}
    by_scan = [
        (row.patient, {user: codes[s.class_id] for user, s in one.readers.items() if s.class_id in codes})
        for row, one in said
    ]
    both = sum(len(labels) > 1 for _, labels in by_scan)
    mine = sum(actor.user_id in one.readers for _, one in said)
    owns = held_level(session, actor, condition) is Level.OWN
    if not owns and 2 * mine < len(rows):
        blind = f"You have labelled {mine} of {len(rows)} scans; agreement is shown from half on."
        return Agreement((), None, 0, (), blind)
    disputed = tuple(row.id for row, one in said if one.disputed)
    kappa, sentence = kappa_of(by_scan, len(codes))
    readers = _readers(session, condition, {user for _, one in said for user in one.readers})
    return Agreement(readers, kappa, both, disputed, sentence)


def kappa_of(by_scan: Sequence[tuple[str, Mapping[str, int]]], way: int) -> tuple[Interval95 | None, str]:
    """Kappa of all readers with its interval, and what to say of it.

    Args:
        by_scan: patient, and class (0 to way - 1) by reader, of each scan.
        way: number of classes.
    """
    readers = sorted({reader for _, labels in by_scan for reader in labels})
    if len(readers) < 2:
        return (
            None,
            "One reader so far. Share the condition for a second one, who will be blind to the first.",
        )
    if len(readers) == 2:
        name = "Cohen’s kappa"
        shared = [(patient, labels) for patient, labels in by_scan if len(labels) == 2]
    else:
        name = "Fleiss’ kappa"
        shared = _same_number(by_scan)
    if len(shared) < ENOUGH:
        return None, f"{len(shared)} scans labelled by two readers or more; kappa is given from {ENOUGH} on."
    patients = [patient for patient, _ in shared]
    if len(readers) == 2:
        tables = np.zeros((len(shared), way, way), np.int64)
        for row, (_, labels) in enumerate(shared):
            tables[row, labels[readers[0]], labels[readers[1]]] = 1
        value = float(cohen(tables.sum(axis=0)))
        low, high = _interval(cohen, tables, patients)
    else:
        counts = np.array([np.bincount(list(labels.values()), minlength=way) for _, labels in shared])
        raters = int(counts[0].sum())
        parts = _fleiss_parts(counts)
        value = fleiss(counts)
        low, high = _interval(lambda sums: _fleiss_of(sums, raters), parts, patients)
    if np.isnan(value):
        return None, "All readers gave every shared scan the same one class: kappa says nothing then."
    found = Interval95(value, low, high, len(set(patients)))
    sentence = (
        f"{name} {value:.2f} ({low:.2f} to {high:.2f}, 95 % interval over {len(set(patients))} patients) on "
        f"{len(shared)} scans: {_in_words(value)} agreement."
    )
    return found, sentence


def cohen(tables: Ratings) -> Values:
    """Cohen's kappa of tables ``(..., way, way)``: scans that one reader called k and the other l.

    NaN where chance alone agrees wholly.
    """
    total = tables.sum(axis=(-2, -1))
    observed = np.trace(tables, axis1=-2, axis2=-1) / total
    chance = (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1) / total**2
    return _beyond(observed, chance)


def fleiss(counts: Ratings) -> float:
    """Fleiss' kappa of ``(n, way)`` counts with equal row sums of two or more; NaN as for `cohen`."""
    return float(_fleiss_of(_fleiss_parts(counts).sum(axis=0), int(counts[0].sum())))


def _fleiss_parts(counts: Ratings) -> Ratings:
    """What adds up over scans to kappa: one, pairs of readers that agree, and counts of each class."""
    agreeing = (counts * (counts - 1)).sum(axis=1)
    return np.column_stack([np.ones(len(counts), np.int64), agreeing, counts])


def _fleiss_of(sums: Ratings, raters: int) -> Values:
    """Kappa of sums ``(..., 2 + way)`` of `_fleiss_parts`."""
    n, agreeing, counts = sums[..., 0], sums[..., 1], sums[..., 2:]
    shares = counts / (n * raters)[..., None]
    return _beyond(agreeing / (n * raters * (raters - 1)), (shares**2).sum(axis=-1))


def _beyond(observed: Values, chance: Values) -> Values:
    """Agreement beyond chance, of what there could be."""
    left = 1 - chance
    return np.where(left > 1e-12, (observed - chance) / np.where(left > 1e-12, left, 1.0), np.nan)


def _same_number(by_scan: Sequence[tuple[str, Mapping[str, int]]]) -> list[tuple[str, Mapping[str, int]]]:
    """Scans labelled by m readers, for the largest m with enough of them; else by the most usual m."""
    often = Counter(len(labels) for _, labels in by_scan if len(labels) > 1)
    if not often:
        return []
    enough = [m for m, count in often.items() if count >= ENOUGH]
    chosen = max(enough) if enough else max(often, key=lambda m: often[m])
    return [(patient, labels) for patient, labels in by_scan if len(labels) == chosen]


def _interval(
    figure: Callable[[Ratings], Values], parts: Ratings, patients: Sequence[str]
) -> tuple[float, float]:
    """Percentiles of a figure of sums over scans, patients drawn with replacement.

    Args:
        figure: of sums ``(resamples, ...)``.
        parts: ``(n, ...)``, one for each scan.
        patients: of each scan.
    """
    codes = np.unique(np.array(patients), return_inverse=True)[1]
    groups = int(codes.max()) + 1
    by_patient = np.zeros((groups, *parts.shape[1:]), np.int64)
    np.add.at(by_patient, codes, parts)
    draws = np.random.default_rng(_SEED).multinomial(groups, np.full(groups, 1 / groups), _RESAMPLES)
    values = figure(np.tensordot(draws, by_patient, axes=1))
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _in_words(kappa: float) -> str:
    """After Landis and Koch, Biometrics 1977, table 2."""
    for bound, word in (
        (0.0, "poor"),
        (0.2, "slight"),
        (0.4, "fair"),
        (0.6, "moderate"),
        (0.8, "substantial"),
    ):
        if kappa <= bound:
            return word
    return "almost perfect"


def _readers(session: Session, condition: Condition, users: set[str]) -> tuple[str, ...]:
    """Names of those whose label stands, as they were when they labelled."""
    names: dict[str, str] = {}
    query = select(Label.user_id, Label.reader).join(ScanRow, ScanRow.id == Label.scan_id)
    for user, reader in session.execute(query.where(ScanRow.condition_id == condition.id).order_by(Label.id)):
        if user in users:
            names[user] = reader
    return tuple(sorted(names.values()))
