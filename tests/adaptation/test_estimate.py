from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.helpers import striped_cohort, tiny_learner
from tests.userfiles import pixel_learner
from workbench.adaptation.estimate import leave_one_patient_out
from workbench.data.examples import Support
from workbench.learners.base import Learner


def _support(way: int = 2, patients: int = 5, scans: int = 1) -> Support:
    cohort = striped_cohort(way=way, patients=patients, scans=scans)
    return Support(
        torch.from_numpy(cohort.images),
        torch.from_numpy(cohort.labels),
        cohort.classes,
        tuple(str(code) for code in cohort.patients),
    )


@pytest.mark.parametrize("method", ["prototypical", "linear-probe", "maml"])
def test_each_reading_equals_an_adaptation_without_that_patient(method: str) -> None:
    learner = tiny_learner(method)
    support = _support(patients=3, scans=2)
    found = leave_one_patient_out(learner, support)
    for row in (0, 3, len(support) - 1):
        others = torch.tensor([i for i, p in enumerate(support.patients) if p != support.patients[row]])
        alone = learner.adapt(support.subset(others)).predict(support.inputs[row : row + 1])
        np.testing.assert_allclose(found.probabilities[row], alone.probabilities[0], atol=1e-6)


def test_no_scan_of_a_patient_helps_to_read_another_of_the_same_patient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learner = pixel_learner()
    support = _support(patients=4, scans=3)
    used: list[tuple[str, ...]] = []
    adapt = Learner.adapt

    def spy(self: Learner, fold: Support) -> object:
        used.append(fold.patients)
        return adapt(self, fold)

    monkeypatch.setattr(Learner, "adapt", spy)
    leave_one_patient_out(learner, support)
    assert len(used) == 8
    for patient, others in zip(dict.fromkeys(support.patients), used, strict=True):
        assert patient not in others
        assert len(others) == len(support) - 3


def test_images_are_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = pixel_learner()
    calls: list[int] = []
    features = learner.features

    def counted(images: Tensor) -> Tensor:
        calls.append(len(images))
        return features(images)

    monkeypatch.setattr(learner, "features", counted)
    leave_one_patient_out(learner, _support())
    assert calls == [10]


def test_a_condition_that_can_be_told_apart_is_estimated_so_with_its_uncertainty() -> None:
    found = leave_one_patient_out(pixel_learner(), _support(patients=5, scans=2)).performance
    assert found.accuracy is not None
    assert (found.accuracy.successes, found.accuracy.n) == (10, 10)
    assert found.accuracy.low == pytest.approx(0.692, abs=1e-3)
    assert found.patients == 10
    assert found.scans == 20


def test_labels_without_meaning_are_not_estimated_as_learned() -> None:
    support = _support(patients=20)
    rng = np.random.default_rng(0)
    shuffled = replace(support, labels=torch.from_numpy(rng.permutation(support.labels.numpy())))
    found = leave_one_patient_out(pixel_learner(), shuffled).performance.accuracy
    assert found is not None
    assert found.low < 0.5


def test_the_only_patient_of_a_class_is_not_judged_and_nothing_is_claimed() -> None:
    support = _support(patients=4).subset(torch.tensor([0, 1, 2, 3, 4]))
    found = leave_one_patient_out(pixel_learner(), support)
    assert found.judged.tolist() == [True] * 4 + [False]
    assert found.predicted[4] is None
    assert np.isnan(found.probabilities[4]).all()
    assert found.performance.accuracy is None
    assert found.performance.sensitivities[1] is None


def test_progress_reaches_its_end_whatever_could_be_judged() -> None:
    support = _support(patients=4).subset(torch.tensor([0, 1, 2, 3, 4]))
    seen: list[tuple[int, int]] = []
    leave_one_patient_out(pixel_learner(), support, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)
