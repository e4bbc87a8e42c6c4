"""Prediction sets from patients left out of the support.

Each labelled scan was read by a model that had not seen its patient. How badly it read it, 1 - p(true
class), is compared with how badly the final model would read a new scan if its class were k
(cross-conformal prediction: Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial
Intelligence 74, 2015; leaving one patient out is its limit of as many folds as patients). With n_k
patients of class k,

    p_k(x) = (1 + sum over patients of class k of the share of their scans scored >= 1 - p(k | x)) / (n_k + 1)

and the set at coverage c is {k : p_k(x) > 1 - c} (Mondrian by class: Vovk, Gammerman and Shafer, "Algorithmic
Learning in a Random World", 2005, section 4.5). A patient with several scans counts once, as in Dunn,
Wasserman and Ramdas, "Distribution-Free Prediction Sets for Two-Layer Hierarchical Models", JASA 118, 2023.

p_k is never below 1 / (n_k + 1): with so few patients no coverage beyond n_k / (n_k + 1) excludes
anything. Where the smallest class is too small for the coverage asked, patients of all classes are pooled
and the promise holds over all of them; where these are too few as well, it is declined and the largest
coverage they allow is given.

The comparison is not exactly exchangeable (the final model has learned from one patient more), so the
promise is an approximation that `workbench benchmark reading` measures. The jackknife+ of Romano, Sesia
and Candes ("CV+", NeurIPS 2020) is exact up to a factor of two, and would keep a model for every patient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.learners.appraisal import PredictionSet, Promise, Scope

Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
_DUST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """How badly each support scan was read by a model that had not seen its patient.

    Attributes:
        scores: 1 - p(true class), ``(m,)``, 0 to 1.
        labels: true classes.
        weights: one over the number of scans of the patient in that class.
        way: number of classes.
    """

    scores: Values
    labels: Labels
    weights: Values
    way: int

    @property
    def patients(self) -> Values:
        """Patients of each class that were left out, ``(way,)``."""
        return np.asarray(np.bincount(self.labels, self.weights, self.way), dtype=np.float64)


def needed_patients(coverage: float) -> int:
    """Patients with which a coverage can be promised: the smallest n with n / (n + 1) >= coverage."""
    return max(1, math.ceil(coverage / (1 - coverage) - _DUST))


def achievable(patients: float) -> float:
    """The largest coverage that so many patients can promise without every class in the set."""
    return patients / (patients + 1)


def promise_of(left_out: LeftOut, coverage: float) -> Promise:
    """What can be promised when `coverage` is asked for."""
    each = left_out.patients
    smallest, all_of_them = round(float(each.min())), round(float(each.sum()))
    needed = needed_patients(coverage)
    if not all_of_them:
        return Promise(coverage, 0.0, Scope.NONE, 0, needed)
    if smallest >= needed:
        return Promise(coverage, coverage, Scope.PER_CLASS, smallest, needed)
    if smallest and all_of_them >= needed:
        return Promise(coverage, coverage, Scope.OVERALL, all_of_them, needed)
    return Promise(coverage, min(coverage, achievable(all_of_them)), Scope.OVERALL, all_of_them, needed)


def p_values(left_out: LeftOut, probabilities: Values, scope: Scope) -> Values:
    """p_k(x) for every scan and class, ``(n, way)``; each row depends on its own scan only.

    Args:
        left_out: the support's scores.
        probabilities: of the final model, ``(n, way)``.
        scope: whether to compare with patients of class k only, or of all classes.
    """
    asked = 1 - probabilities
    out = np.ones_like(asked)
    for k in range(left_out.way):
        mine = left_out.labels == k if scope is Scope.PER_CLASS else np.ones(len(left_out.labels), dtype=bool)
        worse = left_out.scores[mine][None, :] >= asked[:, k, None] - _DUST
        weight = left_out.weights[mine]
        out[:, k] = (1 + worse @ weight) / (1 + weight.sum())
    return out


def prediction_sets(
    left_out: LeftOut, probabilities: Values, classes: tuple[str, ...], coverage: float
) -> tuple[PredictionSet, ...]:
    """Sets at the coverage asked for, or at the largest one that can be promised."""
    promise = promise_of(left_out, coverage)
    values = p_values(left_out, probabilities, promise.scope)
    # p = 1 / (n + 1) must fall out of a set at coverage n / (n + 1), whatever the last bits say.
    inside = values > 1 - promise.given + _DUST if promise.given else np.ones_like(values, dtype=bool)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return tuple(
        PredictionSet(tuple(classes[k] for k in row if chosen[k]), promise)
        for row, chosen in zip(order, inside, strict=True)
    )
