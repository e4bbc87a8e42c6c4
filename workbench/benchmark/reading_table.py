"""What the reading benchmark says, computed from its records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.adaptation.appraising import judged
from workbench.adaptation.calibration import calibrate, tempered
from workbench.adaptation.conformal import LeftOut, prediction_sets, promise_of
from workbench.adaptation.estimate import Estimate
from workbench.adaptation.experience import Experience
from workbench.adaptation.forecast import forecast, widened
from workbench.benchmark.reading import SHOTS, Bench
from workbench.benchmark.reading_episodes import Record, support_of_record
from workbench.benchmark.reading_fit import accuracy_of
from workbench.evaluation.performance import performance
from workbench.evaluation.statistics import Interval, mean_interval, proportion
from workbench.learners.appraisal import Promise, Scope

Values = npt.NDArray[np.float64]
COVERAGES = (0.8, 0.9, 0.95)
SHARES = tuple(round(0.1 * i, 1) for i in range(1, 11))
_BINS, _RESAMPLES, _MEASURABLE = 15, 100, 20


@dataclass(frozen=True, slots=True)
class SetLine:
    """Prediction sets of a condition at one coverage.

    Attributes:
        asked: coverage.
        given: mean over episodes of the coverage the sets were made for.
        per_class: share of episodes in which the promise held for each class.
        declined: share of episodes in which the coverage asked for could not be promised.
        coverage: share of scans whose set holds the truth, each class counting the same; interval over
            episodes.
        size: mean number of classes in a set.
        empty: share of empty sets.
        ceiling: mean coverage that exchangeable patients would give, which only moves in steps of one
            patient.
    """

    asked: float
    given: float
    per_class: float
    declined: float
    coverage: Interval
    size: Interval
    empty: float
    ceiling: float

    @property
    def verdict(self) -> str:
        """Whether the coverage agrees with the promise: within, above, below."""
        if self.coverage.high < self.given:
            return "below"
        return "above" if self.coverage.low > self.ceiling else "within"


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One condition at one number of shots.

    Attributes:
        condition, shots, episodes, way: what was measured; way is the mean.
        accuracy: balanced, on scans no model of the episode had seen.
        ece_before, ece_prior, ece_after: expected calibration error of the model's own probabilities, at the
            temperature other conditions led to expect, and refined on left-out patients.
        loss_before, loss_after: negative log-probability of the truth, nats.
        sets: one for each coverage.
        selective: accuracy of the most confident share of scans, for each of `SHARES`.
        judged: episodes with at least 20 scans of each class to measure the accuracy on.
        interval_holds: of these, episodes in which the leave-one-patient-out interval holds the accuracy.
        widened_holds: the same of the interval that minds how dependent such readings are.
        forecasts, forecast_holds: episodes with a forecast, and with one whose interval holds what then
            happened.
        forecast_error: mean absolute error of the forecast.
        too_few: episodes in which there was too little to forecast from.
        reliability: pairs (confidence, accuracy) of 10 bins before and after, for the plot.
    """

    condition: str
    shots: int
    episodes: int
    way: float
    accuracy: Interval
    ece_before: Interval
    ece_prior: Interval
    ece_after: Interval
    loss_before: Interval
    loss_after: Interval
    sets: tuple[SetLine, ...]
    selective: tuple[float, ...]
    judged: int
    interval_holds: int
    widened_holds: int
    forecasts: int
    forecast_holds: int
    forecast_error: float
    reliability: tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]


def expected_calibration_error(confidence: Values, right: Values, bins: int = _BINS) -> float:
    """Mean distance of accuracy from confidence over bins of equally many scans.

    Nixon et al., "Measuring Calibration in Deep Learning", CVPR Workshops 2019 (adaptive bins).
    """
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(
        sum(len(p) * abs(confidence[p].mean() - right[p].mean()) for p in parts) / max(1, len(confidence))
    )


def lines(bench: Bench, experience_for: dict[str, Experience]) -> tuple[Line, ...]:
    """A line for each condition and number of shots with episodes.

    Args:
        bench: with its records.
        experience_for: each condition's, learned without its origin.
    """
    found = []
    for shots in SHOTS:
        for name in bench.conditions:
            records = bench.records(name, shots)
            if records:
                found.append(line_of(bench, name, records, experience_for[name]))
                bench.said(f"  {name}, {shots} shots: measured")
    return tuple(found)


def line_of(bench: Bench, name: str, records: Sequence[Record], experience: Experience) -> Line:
    """One condition at one number of shots."""
    method = bench.settings.method
    prior = experience.learned.temperatures[method]
    before, expected, after = [], [], []
    losses_before, losses_after, forecasts = [], [], []
    measured, holds, wide_holds = 0, 0, 0
    for record in records:
        known = judged(support_of_record(bench.features(name), record), _estimate(record))
        calibration = calibrate(
            prior,
            record.shots,
            record.way,
            known.probabilities,
            known.labels,
            known.weights,
            len(known.labels),
        )
        own, cool = record.read, calibration(record.read)
        before.append(_hits(own, record))
        expected.append(_hits(tempered(own, calibration.expected), record))
        after.append(_hits(cool, record))
        losses_before.append(_loss(own, record))
        losses_after.append(_loss(cool, record))
        right = int((known.probabilities.argmax(axis=1) == known.labels).sum())
        interval = proportion(right, len(known.labels))
        wide = widened(experience.learned.growth[method], right, len(known.labels))
        if np.bincount(record.query_labels).min() >= _MEASURABLE:
            truth = accuracy_of(own, record)
            measured += 1
            holds += int(interval.low <= truth <= interval.high)
            wide_holds += int(wide.low <= truth <= wide.high)
        if record.read_later is not None:
            then = accuracy_of(record.read_later, record)
            said = forecast(experience.learned.growth[method], right, len(known.labels), record.shots)
            if said is not None:
                forecasts.append((said.low <= then <= said.high, abs(said.expected - then)))
    return Line(
        condition=name,
        shots=records[0].shots,
        episodes=len(records),
        way=float(np.mean([r.way for r in records])),
        accuracy=mean_interval(np.array([accuracy_of(r.read, r) for r in records]), bounds=(0, 1)),
        ece_before=_ece(before),
        ece_prior=_ece(expected),
        ece_after=_ece(after),
        loss_before=mean_interval(np.array(losses_before)),
        loss_after=mean_interval(np.array(losses_after)),
        sets=tuple(set_line(records, coverage) for coverage in COVERAGES),
        selective=_selective(after),
        judged=measured,
        interval_holds=holds,
        widened_holds=wide_holds,
        forecasts=len(forecasts),
        forecast_holds=sum(int(inside) for inside, _ in forecasts),
        forecast_error=float(np.mean([e for _, e in forecasts])) if forecasts else math.nan,
        reliability=(_reliability(before), _reliability(after)),
    )


def set_line(records: Sequence[Record], coverage: float) -> SetLine:
    """Prediction sets over episodes."""
    found: list[tuple[float, float, float]] = []
    promises: list[Promise] = []
    ceilings: list[float] = []
    for record in records:
        left_out = left_out_of(record)
        classes = tuple(f"class {k}" for k in range(record.way))
        promise = promise_of(left_out, coverage)
        sets = prediction_sets(left_out, record.read, classes, coverage)
        inside = np.array(
            [classes[t] in s.classes for t, s in zip(record.query_labels, sets, strict=True)],
            dtype=np.float64,
        )
        each = [float(inside[record.query_labels == k].mean()) for k in range(record.way)]
        sizes = np.array([len(s.classes) for s in sets])
        found.append((float(np.mean(each)), float(sizes.mean()), float((sizes == 0).mean())))
        promises.append(promise)
        n = promise.patients
        ceilings.append(math.ceil((n + 1) * promise.given - 1e-9) / (n + 1))
    table = np.array(found)
    return SetLine(
        asked=coverage,
        given=float(np.mean([p.given for p in promises])),
        per_class=float(np.mean([p.scope is Scope.PER_CLASS for p in promises])),
        declined=float(np.mean([not p.kept for p in promises])),
        coverage=mean_interval(table[:, 0], bounds=(0, 1)),
        size=mean_interval(table[:, 1]),
        empty=float(table[:, 2].mean()),
        ceiling=float(np.mean(ceilings)),
    )


def left_out_of(record: Record) -> LeftOut:
    """Scores of an episode's support."""
    rows = np.arange(len(record.support))
    scores = 1 - record.left_out[rows, record.support_labels]
    return LeftOut(scores, record.support_labels, np.ones(len(rows)), record.way)


def _estimate(record: Record) -> Estimate:
    patients = [str(row) for row in record.support.tolist()]
    classes = tuple(f"class {k}" for k in range(record.way))
    found = performance(classes, record.left_out, record.support_labels, patients)
    return Estimate(record.left_out, np.ones(len(patients), dtype=bool), found)


def _hits(probabilities: Values, record: Record) -> Values:
    """Confidence and whether it was right, ``(2, q)``."""
    right = probabilities.argmax(axis=1) == record.query_labels
    return np.stack([probabilities.max(axis=1), right.astype(np.float64)])


def _loss(probabilities: Values, record: Record) -> float:
    truth = probabilities[np.arange(len(record.query)), record.query_labels]
    return float(-np.log(np.maximum(truth, 1e-12)).mean())


def _ece(hits: Sequence[Values]) -> Interval:
    """Over the scans of all episodes together; percentile bootstrap over episodes."""
    value = expected_calibration_error(*np.concatenate(hits, axis=1))
    if len(hits) < 2:
        return Interval(value, math.nan, math.nan, len(hits))
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(_RESAMPLES):
        chosen = rng.integers(len(hits), size=len(hits))
        draws.append(expected_calibration_error(*np.concatenate([hits[i] for i in chosen], axis=1)))
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(value, float(low), float(high), len(hits))


def _selective(hits: Sequence[Values]) -> tuple[float, ...]:
    confidence, right = np.concatenate(hits, axis=1)
    order = np.argsort(-confidence, kind="stable")
    return tuple(float(right[order[: max(1, round(share * len(order)))]].mean()) for share in SHARES)


def _reliability(hits: Sequence[Values]) -> tuple[tuple[float, float], ...]:
    confidence, right = np.concatenate(hits, axis=1)
    parts = np.array_split(np.argsort(confidence, kind="stable"), 10)
    return tuple((float(confidence[p].mean()), float(right[p].mean())) for p in parts if len(p))
