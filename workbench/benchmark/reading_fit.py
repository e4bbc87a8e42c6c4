"""Learning over the episodes of other conditions what a reading needs to know beforehand.

Conditions of one origin count as one. Everything is fitted on query readings, which no model of an episode
has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import logit

from workbench.adaptation.calibration import TemperaturePrior, design, log_loss
from workbench.adaptation.experience import Experience, Learned
from workbench.adaptation.forecast import MORE, GrowthPrior
from workbench.adaptation.novelty import MIN_LEFT_OUT, Mahalanobis, usual_distances
from workbench.adaptation.similarity import Evidence, Known, evidence, moments, resemblances
from workbench.benchmark.reading import SHOTS, Bench, origin_of
from workbench.benchmark.reading_episodes import Record
from workbench.evaluation.episodic import classification_scores

Values = npt.NDArray[np.float64]
SHIFT_EPISODES = 8
"""Episodes of each condition and number of shots in which distances are looked at."""
FALSE_ALARMS = 0.05
_GRID = np.linspace(-3.0, 3.0, 121)
_SPREADS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5)
_RIDGE = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Losses of one episode at every log T of a grid.

    Attributes:
        x: of equation (2).
        query: mean loss over the scans read.
        left_out: summed loss over the patients left out.
        weight: of the episode; conditions of one origin sum to 1.
    """

    x: Values
    query: Values
    left_out: Values
    weight: float


def fit_experience(bench: Bench, methods: Sequence[str], without: str = "", command: str = "") -> Experience:
    """Learn from the meta-validation conditions.

    Args:
        bench: whose records are used.
        methods: to learn temperatures and growth of.
        without: an origin to leave out, so that its conditions can be read with the result.
        command: for the record.
    """
    names = tuple(n for n in bench.validation if origin_of(n) != without)
    benches = {m: bench if m == bench.settings.method else bench.with_method(m) for m in methods}
    known = _known(bench)
    return Experience(
        Learned(
            encoder_sha256=bench.contestant.identity,
            conditions=names,
            episodes=bench.settings.episodes,
            command=command,
            temperatures={m: fit_temperature(b, names) for m, b in benches.items()},
            growth={m: fit_growth(b, names) for m, b in benches.items()},
            margin=fit_margin(bench, names),
            evidence=fit_evidence(bench, names, known),
            known=bench.known,
        ),
        known,
    )


def fit_temperature(bench: Bench, names: Sequence[str]) -> TemperaturePrior:
    """w by the loss at exp(mu), then s by the loss at the temperature that equation (3) gives."""
    curves = [_curve(record, weight) for name, record, weight in _weighted(bench, names) if name]

    def loss(w: Values) -> float:
        at = [float(np.interp(c.x @ w, _GRID, c.query)) for c in curves]
        return float(np.dot([c.weight for c in curves], at)) + _RIDGE * float((w[1:] ** 2).sum())

    w = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6}).x
    prior = TemperaturePrior(float(w[0]), float(w[1]), float(w[2]), _SPREADS[0])
    losses = [_refined_loss(curves, w, s) for s in _SPREADS]
    return replace(prior, spread=_SPREADS[int(np.argmin(losses))])


def fit_growth(bench: Bench, names: Sequence[str]) -> GrowthPrior:
    """Rate and spread of the learning curve, and what a left-out patient is worth."""
    rates, rate_weights, squares, ideal, weights = [], [], [], [], []
    for _, record, weight in _weighted(bench, names):
        n = len(record.support)
        now = accuracy_of(record.read, record)
        left = float((record.left_out.argmax(axis=1) == record.support_labels).mean())
        squares.append((left - now) ** 2)
        ideal.append(now * (1 - now) / n)
        weights.append(weight)
        if record.read_later is not None:
            doublings = math.log2((record.shots + MORE) / record.shots)
            gain = _logit(accuracy_of(record.read_later, record)) - _logit(now)
            rates.append(gain / doublings)
            rate_weights.append(weight)
    rate = float(np.average(rates, weights=rate_weights))
    spread = math.sqrt(float(np.average((np.array(rates) - rate) ** 2, weights=rate_weights)))
    worth = float(np.average(ideal, weights=weights) / np.average(squares, weights=weights))
    return GrowthPrior(rate, spread, min(1.0, worth))


def fit_margin(bench: Bench, names: Sequence[str]) -> float:
    """The factor beyond which one in twenty scans of the condition itself lies."""
    ratios, weights = [], []
    for name, record, weight in _weighted(bench, names, SHIFT_EPISODES):
        z = unit(bench, name)
        model, usual = novelty_of(z, record)
        if len(usual) >= MIN_LEFT_OUT:
            found = model.distances(z[record.query]) / np.median(usual)
            ratios.append(found)
            weights.append(np.full(len(found), weight / len(found)))
    values, shares = np.concatenate(ratios), np.concatenate(weights)
    order = np.argsort(values)
    place = np.searchsorted(np.cumsum(shares[order]) / shares.sum(), 1 - FALSE_ALARMS)
    return float(values[order][min(int(place), len(values) - 1)])


def fit_evidence(bench: Bench, names: Sequence[str], known: Known) -> Evidence:
    """Whether nearness to a known condition predicts accuracy at five shots."""
    distances, shares, origins = [], [], []
    for name in names:
        found = bench.records(name, SHOTS[0])
        if found:
            distances.append(nearest_known(bench, name, known))
            shares.append(
                float(np.mean([(accuracy_of(r.read, r) - 1 / r.way) / (1 - 1 / r.way) for r in found]))
            )
            origins.append(origin_of(name))
    return evidence(np.array(distances), np.array(shares), origins)


def nearest_known(bench: Bench, name: str, known: Known) -> float:
    """Distance of a condition to the nearest known one, mean over the supports of a few episodes."""
    z = unit(bench, name)
    found = [
        resemblances(known, *moments(z[record.support]))[0].distance
        for record in bench.records(name, SHOTS[0])[:SHIFT_EPISODES]
    ]
    return float(np.mean(found))


def novelty_of(z: Values, record: Record) -> tuple[Mahalanobis, Values]:
    """The default distance on an episode's support, and the usual distances."""
    support = z[record.support]
    patients = np.arange(len(support))
    return Mahalanobis.of(support, record.support_labels), usual_distances(
        support, record.support_labels, patients
    )


def unit(bench: Bench, name: str) -> Values:
    """L2-normalised embeddings of a condition."""
    values = bench.features(name).values.double().numpy()
    out: Values = values / np.linalg.norm(values, axis=1, keepdims=True)
    return out


def accuracy_of(probabilities: Values, record: Record) -> float:
    """Balanced accuracy on the query of an episode; the support is balanced too."""
    return classification_scores(probabilities, record.query_labels)[1]


def _known(bench: Bench) -> Known:
    found = []
    for name in bench.known:
        labels = bench.cohort(name).labels
        found.append(moments(unit(bench, name), 1 / np.bincount(labels)[labels]))
    return Known(bench.known, np.stack([m for m, _ in found]), np.stack([s for _, s in found]))


def _weighted(bench: Bench, names: Sequence[str], most: int = 0) -> list[tuple[str, Record, float]]:
    """Episodes with weights: each origin, each of its conditions and shots counts the same."""
    groups: dict[str, list[tuple[str, tuple[Record, ...]]]] = {}
    for name in names:
        for shots in SHOTS:
            found = bench.records(name, shots)
            if found:
                groups.setdefault(origin_of(name), []).append((name, found[: most or None]))
    return [
        (name, record, 1 / (len(groups) * len(cells) * len(cell)))
        for cells in groups.values()
        for name, cell in cells
        for record in cell
    ]


def _curve(record: Record, weight: float) -> Curve:
    query = np.full(len(record.query), 1 / len(record.query))
    once = np.ones(len(record.support))
    return Curve(
        design(record.shots, record.way),
        _over_grid(lambda t: log_loss(record.read, record.query_labels, query, t)),
        _over_grid(lambda t: log_loss(record.left_out, record.support_labels, once, t)),
        weight,
    )


def _refined_loss(curves: Sequence[Curve], w: Values, spread: float) -> float:
    total = 0.0
    for curve in curves:
        objective = (_GRID - curve.x @ w) ** 2 / (2 * spread**2) + curve.left_out
        total += curve.weight * float(curve.query[int(objective.argmin())])
    return total


def _over_grid(loss: Callable[[float], float]) -> Values:
    return np.array([loss(float(t)) for t in _GRID])


def _logit(accuracy: float) -> float:
    return float(logit(min(max(accuracy, 0.01), 0.99)))
