"""What an adaptation can be expected to do, judged from its own labelled scans.

Leave one patient out: adapt to all other patients, read the one left out, and repeat for each. No scan of
a patient ever helps to read another scan of the same patient. Called by `workbench adapt` and the web UI.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from workbench.data.examples import Features, Support
from workbench.evaluation.performance import Performance, performance
from workbench.learners.base import Learner


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Leave-one-patient-out readings of a support, and what they add up to.

    It estimates how the model reads *other patients of the same source*; scans from elsewhere may be read
    worse. Because each reading was made with one patient less, it is on the cautious side.

    Attributes:
        probabilities: float64 ``(n, k)``, one row for each support scan; NaN where `judged` is false.
        judged: bool ``(n,)``; false where the scan's class has no other patient to learn from.
        performance: by patient, over the judged scans.
    """

    probabilities: npt.NDArray[np.float64]
    judged: npt.NDArray[np.bool_]
    performance: Performance

    @property
    def predicted(self) -> tuple[str | None, ...]:
        """Class read for each support scan, None where it could not be judged."""
        best = np.nan_to_num(self.probabilities).argmax(axis=1)
        classes = self.performance.classes
        return tuple(classes[int(k)] if known else None for k, known in zip(best, self.judged, strict=True))


def leave_one_patient_out(
    learner: Learner, support: Support, progress: Callable[[int, int], None] | None = None
) -> Estimate:
    """Estimate of an adaptation. Images are embedded once, then reused in every fold.

    Args:
        learner: that adapts.
        support: all labelled scans.
        progress: called with (patients done, patients).
    """
    inputs = support.inputs
    features = inputs if isinstance(inputs, Features) else Features(learner.features(inputs))
    known = Support(features, support.labels, support.classes, support.patients)
    patients = np.array(support.patients)
    n = len(support)
    probabilities = np.full((n, support.way), np.nan)
    judged = np.zeros(n, dtype=bool)
    order = tuple(dict.fromkeys(support.patients))
    for done, patient in enumerate(order, start=1):
        mine = patients == patient
        rest = torch.from_numpy(np.flatnonzero(~mine))
        rows = np.flatnonzero(mine)
        # The only patient of a class cannot be judged: nothing is left to learn the class from.
        if bool(torch.bincount(support.labels[rest], minlength=support.way).all()):
            classifier = learner.adapt(known.subset(rest))
            probabilities[rows] = classifier.predict(features[torch.from_numpy(rows)]).probabilities
            judged[rows] = True
        if progress is not None:
            progress(done, len(order))
    return Estimate(
        probabilities,
        judged,
        performance(
            support.classes,
            probabilities[judged],
            support.labels.numpy()[judged],
            tuple(p for p, known_ in zip(support.patients, judged, strict=True) if known_),
        ),
    )
