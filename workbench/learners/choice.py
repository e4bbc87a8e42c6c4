"""Choosing a method on a support: folds by patient, the rule, and what to say about it.

Plain mathematics, used by `workbench.learners.auto`. Cross-validation on a handful of patients is noisy, and
taking whatever scores best follows the noise (Cawley and Talbot, "On Over-fitting in Model Selection", JMLR
2010). So there is a first choice, made beforehand on other conditions, and another method takes its place
only on clear evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

_WORST = 5.0
"""Nats that one patient can add to a log-loss, so that one confident mistake does not decide alone."""


@dataclass(frozen=True, slots=True)
class Score:
    """What cross-validation found about one method.

    Attributes:
        method: its name.
        log_loss: mean over patients of the negative log-probability of the truth, in nats, each at most 5.
        accuracy: share of scans read right, each patient counted once, 0 to 1.
        lead: its accuracy minus the first method's, -1 to 1.
        low, high: 95 % interval of `lead` (Student's t over patients).
    """

    method: str
    log_loss: float
    accuracy: float
    lead: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Choice:
    """Which method was chosen on a support, and why.

    Attributes:
        method: its name.
        scores: of every method tried, the first choice first; empty where nothing could be tried.
        patients: that were left out and read; the n of the scores.
        folds: parts the patients were divided into.
        why: one plain sentence.
    """

    method: str
    scores: tuple[Score, ...]
    patients: int
    folds: int
    why: str


def patient_folds(
    labels: npt.NDArray[np.int64], patients: Sequence[str], folds: int
) -> npt.NDArray[np.int64]:
    """The fold in which each scan is left out, -1 for never.

    All scans of a patient are in one fold, every class is spread over the folds, and whichever fold is left
    out, every class still occurs: patients without whom a class would be empty are never left out.

    Args:
        labels: ``(n,)``.
        patients: key of each scan.
        folds: at most; fewer where the smallest class of two patients or more has fewer.

    Returns:
        ``(n,)``; all -1 where no patient can be left out.
    """
    _, owner = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    classes = np.unique(labels)
    members = {int(k): list(dict.fromkeys(owner[labels == k].tolist())) for k in classes}
    sizes = [len(found) for found in members.values() if len(found) > 1]
    found = np.full(len(labels), -1, dtype=np.int64)
    if not sizes:
        return found
    count = min(folds, *sizes)
    place: dict[int, int] = {}
    turn = 0
    for patients_of in members.values():
        for patient in patients_of:
            if patient not in place:
                place[patient] = turn % count
                turn += 1
    for fold in range(count):
        for patients_of in members.values():
            if all(place[p] == fold for p in patients_of):
                place |= dict.fromkeys(patients_of, -1)
    found[:] = [place[int(p)] for p in owner]
    return found


def choose(
    probabilities: Mapping[str, npt.NDArray[np.float64]],
    labels: npt.NDArray[np.int64],
    patients: Sequence[str],
    folds: int,
    level: float,
) -> Choice:
    """The first method, or the one that cross-validation shows to be better.

    Another takes its place if its log-loss is lower *and* its accuracy higher, each by a one-sided paired t
    test over patients; of several, the one with the lowest log-loss. Log-loss alone would favour methods that
    are merely less sure of themselves, accuracy alone moves in steps that a few patients make or unmake.

    Args:
        probabilities: cross-validated readings ``(n, way)`` by method, the first choice first.
        labels: int64 ``(n,)``.
        patients: key of each reading.
        folds: for the record.
        level: of the tests, 0 to 0.5; the smaller, the more evidence is asked for.
    """
    _, owner = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    scans = np.bincount(owner)
    rows = np.arange(len(labels))
    losses, hits = {}, {}
    for method, given in probabilities.items():
        loss = np.minimum(-np.log(np.maximum(given[rows, labels], 1e-300)), _WORST)
        losses[method] = np.bincount(owner, loss) / scans
        hits[method] = np.bincount(owner, given.argmax(axis=1) == labels) / scans
    first = next(iter(losses))
    scores, better = [], []
    for method, loss in losses.items():
        lead, low, high = _interval(hits[method] - hits[first])
        score = Score(method, float(loss.mean()), float(hits[method].mean()), lead, low, high)
        scores.append(score)
        if _clear(losses[first] - loss, level) and _clear(hits[method] - hits[first], level):
            better.append(score)
    best = min(better, key=lambda score: score.log_loss) if better else scores[0]
    return Choice(best.method, tuple(scores), len(scans), folds, _why(best, scores[0], len(scans)))


def _interval(gains: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean and 95 % interval; without limits where there is one value only."""
    mean, n = float(gains.mean()), len(gains)
    if n < 2:
        return mean, -1.0, 1.0
    reach = float(stats.t.ppf(0.975, n - 1) * gains.std(ddof=1)) / n**0.5
    return mean, max(-1.0, mean - reach), min(1.0, mean + reach)


def _clear(gains: npt.NDArray[np.float64], level: float) -> bool:
    """Whether the mean is above zero by a one-sided t test."""
    n = len(gains)
    if n < 2 or level <= 0:
        return False
    bound = float(stats.t.ppf(1 - level, n - 1)) * float(gains.std(ddof=1)) / n**0.5
    return bool(gains.mean() > max(1e-9, bound))


def untried(method: str, reason: str) -> Choice:
    """The first choice where nothing could be tried; `reason` goes on from the method's name."""
    return Choice(method, (), 0, 0, f"Adapts as {method}: {reason}")


def _why(best: Score, first: Score, n: int) -> str:
    over = f"cross-validation over {n} patients"
    if best is first:
        return (
            f"Adapts as {first.method}: it did best on other conditions, and {over} shows no other method "
            "to be clearly better here."
        )
    here, there = f"{100 * best.accuracy:.0f} %", f"{100 * first.accuracy:.0f} %"
    interval = f"95 % interval {100 * best.low:.0f} to {100 * best.high:.0f}"
    return (
        f"Adapts as {best.method} instead of {first.method}: in {over} it is right in {here} against {there} "
        f"(difference {100 * best.lead:.0f} points, {interval})."
    )
