from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import striped_cohort
from tests.userfiles import class_folders, loaded_pixels, pixel_learner
from workbench.adaptation.appraiser import CaseAppraiser, appraiser_of, asking
from workbench.adaptation.appraising import appraised, surround
from workbench.adaptation.calibration import TemperaturePrior
from workbench.adaptation.estimate import leave_one_patient_out
from workbench.adaptation.experience import (
    Experience,
    Learned,
    experience_of,
    load_experience,
    save_experience,
)
from workbench.adaptation.forecast import GrowthPrior
from workbench.adaptation.model import AdaptedModel, adapt, load_model, load_weights, save_model
from workbench.adaptation.similarity import Evidence, Known
from workbench.data.examples import Support
from workbench.data.folders import read_examples
from workbench.errors import ModelFileError, SupportError, WorkbenchError
from workbench.imaging.read import read_scan
from workbench.learners.appraisal import Scope
from workbench.learners.base import Classifier

pytestmark = pytest.mark.usefixtures("private_home")


def _experience(dim: int, method: str = "prototypical") -> Experience:
    learned = Learned(
        encoder_sha256="0" * 64,
        conditions=("elsewhere",),
        episodes=2,
        command="none",
        temperatures={method: TemperaturePrior(0.7, 0.0, 0.0, 0.2)},
        growth={method: GrowthPrior(0.3, 0.2, 0.7)},
        margin=1.4,
        evidence=Evidence(-0.2, -0.8, 0.6, 5, 0.5, -0.1, 0.1),
        known=("a", "b"),
    )
    moments = np.random.default_rng(0).random((2, dim))
    return Experience(learned, Known(learned.known, moments, moments / 2))


def _striped(patients: int = 10, scans: int = 1) -> tuple[Classifier, Support]:
    cohort = striped_cohort(way=2, patients=patients, scans=scans)
    support = Support(
        torch.from_numpy(cohort.images),
        torch.from_numpy(cohort.labels),
        cohort.classes,
        tuple(str(code) for code in cohort.patients),
    )
    return pixel_learner().adapt(support), support


def _surrounded(patients: int = 10, scans: int = 1) -> tuple[Classifier, Support]:
    classifier, support = _striped(patients, scans)
    estimate = leave_one_patient_out(classifier.learner, support)
    experience = _experience(classifier.support_embeddings.shape[1])
    found, _ = surround(classifier, support, estimate, experience, "prototypical")
    return found, support


def _saved(tmp_path: Path) -> AdaptedModel:
    read = read_examples(class_folders(tmp_path / "support"))
    loaded = loaded_pixels(tmp_path)
    model = adapt(loaded, read.examples, read.classes)
    assert model.support is not None
    return appraised(model, leave_one_patient_out(loaded.learner, model.support))


def test_a_bare_classifier_says_that_it_is_not_calibrated() -> None:
    classifier, support = _striped()
    (one,) = classifier.predict(support.inputs[:1])
    assert not one.calibrated
    assert (one.set, one.familiarity, one.none_of_these) == (None, None, False)


def test_a_batch_of_one_reads_as_a_batch_of_many_with_the_others_changed() -> None:
    classifier, _ = _surrounded()
    new = torch.from_numpy(striped_cohort(way=2, patients=6, seed=5).images)
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 255, new.shape).astype(np.uint8))
    many = classifier.predict(new)
    for row in (0, 7, len(new) - 1):
        mixed = noise.clone()
        mixed[row] = new[row]
        for (one,) in (list(classifier.predict(new[row : row + 1])), [classifier.predict(mixed)[row]]):
            np.testing.assert_allclose(one.probabilities, many[row].probabilities, atol=1e-6)
            assert one.set == many[row].set
            assert one.familiarity is not None
            there = many[row].familiarity
            assert there is not None
            assert one.familiarity.distance == pytest.approx(there.distance, rel=1e-4)
            assert one.familiarity.unlike == there.unlike
            assert one.none_of_these == many[row].none_of_these


def test_nothing_new_and_nothing_at_all_can_be_read() -> None:
    classifier, _ = _surrounded()
    empty = classifier.predict(torch.zeros((0, 28, 28, 3), dtype=torch.uint8))
    assert len(empty) == 0
    assert list(empty) == []


def test_the_most_probable_class_stays_what_the_model_says_without_a_prevalence() -> None:
    classifier, _ = _surrounded()
    bare = classifier.with_appraiser(None)
    new = torch.from_numpy(striped_cohort(way=2, patients=20, seed=9).images)
    assert classifier.predict(new).labels == bare.predict(new).labels
    assert classifier.predict(new).probabilities.max() < bare.predict(new).probabilities.max()


def test_scans_unlike_every_labelled_one_are_none_of_these() -> None:
    classifier, _ = _surrounded()
    strange = torch.full((1, 28, 28, 3), 255, dtype=torch.uint8)
    strange[:, :, ::2] = 0
    assert classifier.predict(strange)[0].none_of_these


def test_scans_of_one_patient_are_not_counted_as_many() -> None:
    found = appraiser_of(_surrounded(patients=5, scans=4)[0])
    assert found is not None
    assert found.left_out.patients.tolist() == [5, 5]
    assert len(found.labelled) == 10
    assert found.promise.patients == 10
    assert found.promise.scope is Scope.OVERALL


def test_without_left_out_patients_nothing_is_promised() -> None:
    classifier, support = _striped()
    found, outlook = surround(classifier, support, None, None, "prototypical")
    (one,) = found.predict(support.inputs[:1])
    assert one.set is not None
    assert one.set.promise.scope is Scope.NONE
    assert one.set.classes == support.classes or set(one.set.classes) == set(support.classes)
    assert not one.calibrated
    assert outlook.forecast is None
    assert any("too few to say" in said for said in outlook.statements)


def test_methods_of_which_nothing_is_known_stay_uncalibrated() -> None:
    classifier, support = _striped()
    estimate = leave_one_patient_out(classifier.learner, support)
    experience = _experience(classifier.support_embeddings.shape[1], "another-method")
    found, outlook = surround(classifier, support, estimate, experience, "prototypical")
    assert not found.predict(support.inputs[:1])[0].calibrated
    assert "uncalibrated" in outlook.of_calibration
    assert outlook.resembles == ()


def test_nearness_that_predicts_nothing_is_named_and_no_accuracy_inferred() -> None:
    classifier, support = _striped()
    experience = _experience(classifier.support_embeddings.shape[1])
    estimate = leave_one_patient_out(classifier.learner, support)
    _, outlook = surround(classifier, support, estimate, experience, "prototypical")
    assert len(outlook.resembles) == 2
    assert outlook.expectation is None
    assert any("No accuracy is inferred" in said for said in outlook.statements)
    clear = Evidence(-0.8, -0.9, -0.4, 9, 0.9, -0.1, 0.05)
    shown = replace(experience, learned=replace(experience.learned, evidence=clear))
    _, outlook = surround(classifier, support, estimate, shown, "prototypical")
    assert outlook.expectation is not None
    assert any("is to be expected" in said for said in outlook.statements)


def test_a_kept_model_reads_as_it_did(tmp_path: Path) -> None:
    model = _saved(tmp_path)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors", tmp_path / "prototypical.safetensors")
    scans = [read_scan(path) for path in sorted((tmp_path / "support").rglob("*.png"))]
    first, second = model.classifier.predict(scans), again.classifier.predict(scans)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert [one.set for one in first] == [one.set for one in second]
    for a, b in zip(first, second, strict=True):
        assert a.familiarity is not None
        assert b.familiarity is not None
        assert a.familiarity.distance == pytest.approx(b.familiarity.distance, rel=1e-6)
    assert again.outlook == model.outlook


def test_files_of_earlier_versions_load_and_read_without_what_they_lack(tmp_path: Path) -> None:
    read = read_examples(class_folders(tmp_path / "support"))
    save_model(adapt(loaded_pixels(tmp_path), read.examples, read.classes), tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors", tmp_path / "prototypical.safetensors")
    assert again.outlook is None
    (one,) = again.classifier.predict([read.examples[0].scan])
    assert not one.calibrated
    with pytest.raises(SupportError, match="support is not at hand"):
        appraised(again, None)
    with pytest.raises(WorkbenchError, match="Adapt it again"):
        asking(again.classifier, coverage=0.8)


def test_a_stated_prevalence_moves_the_probabilities_and_is_said() -> None:
    classifier, support = _surrounded()
    bare = classifier.predict(support.inputs).probabilities
    told = asking(classifier, prevalence={"class 0": 0.9, "class 1": 0.1}).predict(support.inputs)
    odds = told.probabilities[:, 0] / told.probabilities[:, 1]
    np.testing.assert_allclose(odds, 9 * bare[:, 0] / bare[:, 1], rtol=1e-6)
    assert told[0].prevalence == pytest.approx((0.9, 0.1))


@pytest.mark.parametrize(
    ("shares", "fault"),
    [
        ({"class 0": 0.5}, "missing"),
        ({"class 0": 0.5, "class 2": 0.5}, "not a class"),
        ({"class 0": 0.5, "class 1": 0.6}, "sum to"),
        ({"class 0": 1.0, "class 1": 0.0}, "above 0"),
        ({"class 0": math.nan, "class 1": 0.5}, "above 0"),
    ],
)
def test_a_prevalence_that_is_none_is_refused(shares: dict[str, float], fault: str) -> None:
    classifier, _ = _surrounded(patients=4)
    with pytest.raises(WorkbenchError, match=fault):
        asking(classifier, prevalence=shares)


def test_another_coverage_changes_the_sets_and_nothing_else() -> None:
    classifier, support = _surrounded()
    wide = asking(classifier, coverage=0.9).predict(support.inputs)
    narrow = asking(classifier, coverage=0.5).predict(support.inputs)
    np.testing.assert_array_equal(wide.probabilities, narrow.probabilities)
    for a, b in zip(wide, narrow, strict=True):
        assert a.set is not None
        assert b.set is not None
        assert set(b.set.classes) <= set(a.set.classes)


def test_an_experience_is_kept_and_read_back(tmp_path: Path) -> None:
    experience = _experience(16)
    save_experience(experience, tmp_path / "e.safetensors")
    again = load_experience(tmp_path / "e.safetensors")
    assert again.learned == experience.learned
    np.testing.assert_allclose(again.known.means, experience.known.means, atol=1e-3)
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(ModelFileError):
        load_experience(tmp_path / "bad.safetensors")


def test_shipped_weights_have_an_experience_learned_on_no_held_out_condition() -> None:
    import yaml

    loaded = load_weights()
    found = experience_of(loaded.sha256)
    assert found is not None
    assert "auto" in found.learned.temperatures
    planned = yaml.safe_load(loaded.record.plan)["data"]
    assert set(found.learned.conditions) <= set(planned["meta_validation"])
    assert set(found.learned.known) <= set(planned["meta_train"])
    assert experience_of("0" * 64) is None


def test_a_model_of_shipped_weights_is_calibrated(tmp_path: Path) -> None:
    loaded = load_weights(method="prototypical")
    read = read_examples(class_folders(tmp_path / "support"))
    model = adapt(loaded, read.examples, read.classes)
    assert model.support is not None
    model = appraised(model, leave_one_patient_out(loaded.learner, model.support))
    (one,) = model.classifier.predict([read.examples[0].scan])
    assert one.calibrated
    assert model.outlook is not None
    assert model.outlook.resembles
    assert isinstance(model.classifier.appraiser, CaseAppraiser)
