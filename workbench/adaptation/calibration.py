"""Calibration of a model adapted to a handful, and the correction for a stated prevalence.

    p_T(k | x)  proportional to  p(k | x)^(1/T)                                   (1)

Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2) has one
parameter; a handful of patients cannot fit more. What it should be is mostly known beforehand: over
meta-training episodes log T follows from what is known at adaptation,

    log T  ~  N(mu, s^2),   mu = w . (1, log2(shots / 5), log2(way / 2))          (2)

and the patients left out of the support refine it, a maximum a posteriori estimate of one number:

    log T = argmin_t  (t - mu)^2 / (2 s^2)  -  sum over patients of log p_T(y)    (3)

w and s are learned by `workbench.benchmark.reading_fit`. The prevalence follows Saerens, Latinne and
Decaestecker ("Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural Computation 14,
2002, equation 2.4) with known priors; every method here weighs its classes alike, so the prior of a
support is uniform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_REACH = math.log(20)
"""T lies between 1/20 and 20."""
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class TemperaturePrior:
    """What other conditions taught about the temperature of a method.

    Attributes:
        intercept, per_doubling_of_shots, per_doubling_of_way: w of equation (2).
        spread: s.
    """

    intercept: float
    per_doubling_of_shots: float
    per_doubling_of_way: float
    spread: float

    def mean(self, shots: float, way: int) -> float:
        """mu of equation (2); `shots` is the mean number of patients per class."""
        return float(np.dot(self.weights, design(shots, way)))

    @property
    def weights(self) -> Values:
        """w."""
        return np.array([self.intercept, self.per_doubling_of_shots, self.per_doubling_of_way])


@dataclass(frozen=True, slots=True)
class Calibration:
    """How probabilities of a model are calibrated.

    Attributes:
        temperature: T of equation (1).
        expected: exp(mu), what other conditions led to expect.
        patients: left out of the support that refined it.
    """

    temperature: float
    expected: float
    patients: int

    def __call__(self, probabilities: Values) -> Values:
        """Calibrated probabilities ``(n, k)`` of the model's own."""
        return tempered(probabilities, self.temperature)


def design(shots: float, way: int) -> Values:
    """What equation (2) knows at adaptation."""
    return np.array([1.0, math.log2(shots / 5), math.log2(way / 2)])


def tempered(probabilities: Values, temperature: float) -> Values:
    """Equation (1)."""
    scaled = np.log(np.maximum(probabilities, _TINY)) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    powers = np.exp(scaled)
    out: Values = powers / powers.sum(axis=1, keepdims=True)
    return out


def log_loss(probabilities: Values, labels: Labels, weights: Values, log_temperature: float) -> float:
    """Weighted sum of negative log-probabilities of the truth after tempering, in nats."""
    if not len(labels):
        return 0.0
    found = tempered(probabilities, math.exp(log_temperature))[np.arange(len(labels)), labels]
    return float(-(weights * np.log(np.maximum(found, _TINY))).sum())


def calibrate(
    prior: TemperaturePrior,
    shots: float,
    way: int,
    left_out: Values,
    labels: Labels,
    weights: Values,
    patients: int,
) -> Calibration:
    """Equation (3).

    Args:
        prior: of the method.
        shots: mean number of patients per class.
        way: number of classes.
        left_out: probabilities ``(m, way)`` of support scans by models that had not seen their patient.
        labels: of these scans.
        weights: of these scans, so that every patient counts once.
        patients: how many these are.
    """
    mu = prior.mean(shots, way)

    def objective(t: float) -> float:
        return (t - mu) ** 2 / (2 * prior.spread**2) + log_loss(left_out, labels, weights, t)

    best = mu
    if len(labels):
        best = float(minimize_scalar(objective, bounds=(-_REACH, _REACH), method="bounded").x)
    best = float(np.clip(best, -_REACH, _REACH))
    return Calibration(math.exp(best), math.exp(mu), patients)


def with_prevalence(probabilities: Values, prevalence: Sequence[float]) -> Values:
    """Probabilities ``(n, k)`` where class k has this share of the patients, instead of 1 / k.

    Raises:
        ValueError: unless the shares are positive, one for each class, and sum to 1.
    """
    shares = np.asarray(prevalence, dtype=np.float64)
    if shares.shape != (probabilities.shape[1],) or (shares <= 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"one positive share for each class, summing to 1, is needed; not {prevalence}")
    weighed = probabilities * shares
    out: Values = weighed / weighed.sum(axis=1, keepdims=True)
    return out
