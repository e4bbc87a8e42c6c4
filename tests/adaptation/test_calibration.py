from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from workbench.adaptation.calibration import (
    TemperaturePrior,
    calibrate,
    log_loss,
    tempered,
    with_prevalence,
)


def _drawn(temperature: float, n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities too sure by a known factor, and labels drawn from the true ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 3))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (rng.random((n, 1)) > true.cumsum(1)).sum(1)
    sharp = np.exp(logits * temperature)
    return sharp / sharp.sum(1, keepdims=True), labels


def test_tempering_probabilities_equals_the_softmax_of_divided_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (5, 4))
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = np.exp(logits / 1.7) / np.exp(logits / 1.7).sum(1, keepdims=True)
    np.testing.assert_allclose(tempered(softmax, 1.7), expected, atol=1e-12)


def test_with_many_patients_the_temperature_is_found_whatever_was_expected() -> None:
    probabilities, labels = _drawn(2.5)
    prior = TemperaturePrior(-1.0, 0.0, 0.0, 0.3)
    found = calibrate(prior, 5, 3, probabilities, labels, np.ones(len(labels)), len(labels))
    assert found.temperature == pytest.approx(2.5, rel=0.08)
    assert found.expected == pytest.approx(math.exp(-1.0))


def test_without_patients_it_is_what_other_conditions_led_to_expect() -> None:
    prior = TemperaturePrior(0.2, -0.1, 0.3, 0.3)
    found = calibrate(prior, 10, 4, np.zeros((0, 4)), np.zeros(0, dtype=np.int64), np.zeros(0), 0)
    assert found.temperature == pytest.approx(math.exp(0.2 - 0.1 * 1 + 0.3 * 1))
    assert found.patients == 0


def test_the_refined_temperature_minimises_prior_and_loss_together() -> None:
    probabilities, labels = _drawn(3.0, n=12, seed=4)
    weights = np.full(12, 0.5)
    prior = TemperaturePrior(0.1, 0.0, 0.0, 0.4)

    def objective(t: float) -> float:
        total = (t - 0.1) ** 2 / (2 * 0.4**2)
        for row, label in zip(probabilities, labels, strict=True):
            scaled = row ** (1 / math.exp(t))
            total -= 0.5 * math.log(scaled[label] / scaled.sum())
        return float(total)

    alone = float(minimize_scalar(objective, bounds=(-3, 3), method="bounded").x)
    found = calibrate(prior, 5, 2, probabilities, labels, weights, 6)
    assert math.log(found.temperature) == pytest.approx(alone, abs=1e-4)


def test_a_patient_with_many_scans_weighs_no_more_than_one() -> None:
    probabilities, labels = _drawn(3.0, n=6, seed=1)
    once = log_loss(probabilities, labels, np.ones(6), 0.3)
    thrice = log_loss(np.repeat(probabilities, 3, 0), np.repeat(labels, 3), np.full(18, 1 / 3), 0.3)
    assert thrice == pytest.approx(once)


def test_calibration_lowers_the_loss_on_new_patients_of_an_overconfident_model() -> None:
    probabilities, labels = _drawn(4.0, n=30, seed=2)
    new, truth = _drawn(4.0, seed=3)
    found = calibrate(TemperaturePrior(0.5, 0, 0, 0.5), 10, 3, probabilities, labels, np.ones(30), 30)
    ones = np.ones(len(truth))
    assert log_loss(found(new), truth, ones, 0.0) < 0.9 * log_loss(new, truth, ones, 0.0)


def test_a_stated_prevalence_gives_the_posterior_of_bayes_theorem() -> None:
    # Two normal classes at -1 and 1: the posterior at x with priors pi is known in closed form.
    x = np.linspace(-2, 2, 9)
    likelihood = np.stack([np.exp(-((x + 1) ** 2) / 2), np.exp(-((x - 1) ** 2) / 2)], axis=1)
    balanced = likelihood / likelihood.sum(1, keepdims=True)
    prior = np.array([0.95, 0.05])
    expected = likelihood * prior / (likelihood * prior).sum(1, keepdims=True)
    np.testing.assert_allclose(with_prevalence(balanced, prior), expected, atol=1e-12)
    np.testing.assert_allclose(with_prevalence(balanced, (0.5, 0.5)), balanced, atol=1e-12)


@pytest.mark.parametrize("shares", [(0.5, 0.6), (1.0, 0.0), (0.3, 0.3, 0.4), (1.5, -0.5)])
def test_shares_that_are_none_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="share"):
        with_prevalence(np.full((1, 2), 0.5), shares)
