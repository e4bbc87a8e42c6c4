from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import workbench
from tests.userfiles import class_folders, loaded_pixels, picture, weights_file
from workbench.adaptation.model import AdaptedModel, adapt, has_seen, load_model, load_weights, save_model
from workbench.adaptation.predict import read_cases
from workbench.data.folders import read_examples
from workbench.errors import ModelFileError
from workbench.imaging.phantom import write_phantoms
from workbench.imaging.read import read_scan

pytestmark = pytest.mark.usefixtures("private_home")


def _model(tmp_path: Path, method: str = "prototypical") -> AdaptedModel:
    read = read_examples(class_folders(tmp_path / "support"))
    return adapt(loaded_pixels(tmp_path, method), read.examples, read.classes)


@pytest.mark.parametrize("method", ["prototypical", "linear-probe"])
def test_a_saved_model_reads_as_it_did(tmp_path: Path, method: str) -> None:
    model = _model(tmp_path, method)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors", tmp_path / f"{method}.safetensors")
    scan = read_scan(tmp_path / "support" / "class 0" / "0.png")
    np.testing.assert_array_equal(
        again.classifier.predict([scan]).probabilities, model.classifier.predict([scan]).probabilities
    )


def test_a_model_read_back_still_says_how_its_method_was_chosen(tmp_path: Path) -> None:
    model = _model(tmp_path, "auto")
    assert "cross-validation over 12 patients" in model.record.choice
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors", tmp_path / "auto.safetensors")
    assert again.record.choice == model.record.choice
    scan = read_scan(tmp_path / "support" / "class 0" / "0.png")
    np.testing.assert_allclose(
        again.classifier.predict([scan]).probabilities,
        model.classifier.predict([scan]).probabilities,
        atol=1e-6,
    )
    assert _model(tmp_path, "linear-probe").record.choice == ""


def test_shipped_weights_adapt_automatically_and_files_as_they_were_trained(tmp_path: Path) -> None:
    assert load_weights().learner.name == "auto"
    assert load_weights(method="prototypical").learner.name == "prototypical"
    assert load_weights("general-maml").learner.name == "maml"
    assert load_weights(weights_file(tmp_path / "own.safetensors")).learner.name == "prototypical"
    assert workbench.load().name == "auto"


def test_a_file_names_no_patient_and_no_file(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "support", 2, seed=3)
    read = read_examples(tmp_path / "support")
    save_model(adapt(loaded_pixels(tmp_path), read.examples), tmp_path / "model.safetensors")
    stored = (tmp_path / "model.safetensors").read_bytes()
    for name in (b"phantom-0001", b"PHANTOM-3", b"Phantom^", str(tmp_path).encode()):
        assert name not in stored


def test_other_weights_are_refused(tmp_path: Path) -> None:
    save_model(_model(tmp_path), tmp_path / "model.safetensors")
    other = weights_file(tmp_path / "other.safetensors", conditions=("elsewhere",))
    with pytest.raises(ModelFileError, match="other weights"):
        load_model(tmp_path / "model.safetensors", other)


def test_weights_that_are_not_shipped_have_to_be_named(tmp_path: Path) -> None:
    save_model(_model(tmp_path), tmp_path / "model.safetensors")
    with pytest.raises(ModelFileError, match="--weights"):
        load_model(tmp_path / "model.safetensors")


def test_a_support_scan_is_recognised_in_another_format_and_place(tmp_path: Path) -> None:
    from PIL import Image

    model = _model(tmp_path)
    (tmp_path / "cohort" / "class 1").mkdir(parents=True)
    Image.open(tmp_path / "support" / "class 1" / "6.png").save(tmp_path / "cohort" / "class 1" / "x.bmp")
    picture(tmp_path / "cohort" / "class 0" / "new.png", 7)
    seen = {e.label: has_seen(model.record, e) for e in read_examples(tmp_path / "cohort").examples}
    assert seen["class 0"] is None
    assert "this scan" in str(seen["class 1"])


def test_another_scan_of_a_support_patient_is_recognised(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / "support" / f"c{number % 2}" / f"patient {number}" / "a.png", number)
        picture(tmp_path / "cohort" / f"c{number % 2}" / f"patient {number + 2}" / "b.png", number + 50)
    read = read_examples(tmp_path / "support")
    record = adapt(loaded_pixels(tmp_path), read.examples).record
    cohort = read_examples(tmp_path / "cohort")
    seen = {name: has_seen(record, e) for name, e in zip(cohort.names, cohort.examples, strict=True)}
    assert [name for name, reason in seen.items() if reason] == ["c0/patient 2/b.png", "c1/patient 3/b.png"]


def test_a_dicom_patient_is_recognised_below_another_folder_name(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "drawn", 2, seed=3)
    for name in ("smooth", "spiculated"):
        for number, path in enumerate(sorted((tmp_path / "drawn" / name).iterdir())):
            target = tmp_path / "support" / name / f"case {name} {number}" / path.name
            target.parent.mkdir(parents=True)
            shutil.copy(path, target)
    model = adapt(loaded_pixels(tmp_path), read_examples(tmp_path / "support").examples)
    unseen = replace(model.record, support_scans=())
    again = read_examples(tmp_path / "drawn").examples
    assert all("another scan of this patient" in str(has_seen(unseen, e)) for e in again)


def test_a_patient_number_that_everybody_shares_identifies_nobody(tmp_path: Path) -> None:
    read = read_examples(class_folders(tmp_path / "support"))
    anonymous = [replace(e, scan=replace(e.scan, patient="shared")) for e in read.examples]
    assert "shared" not in adapt(loaded_pixels(tmp_path), anonymous).record.support_patients


def test_a_scan_of_another_modality_is_refused_and_the_rest_read(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "support", 2, seed=3)
    model = adapt(loaded_pixels(tmp_path), read_examples(tmp_path / "support").examples)
    picture(tmp_path / "new" / "a.png", 1)
    mr = replace(model, record=replace(model.record, modality="MR"))
    found = list(read_cases(mr, [tmp_path / "new", tmp_path / "support" / "smooth"]))
    assert [case.reading is not None for case in found] == [True, False, False]
    assert "CT" in str(found[1].refusal)
    assert "MR" in str(found[1].refusal)


def test_a_reading_does_not_depend_on_the_files_beside_it(tmp_path: Path) -> None:
    model = _model(tmp_path)
    class_folders(tmp_path / "new", patients=12, seed=5)
    (tmp_path / "new" / "broken.png").write_bytes(b"")
    together = {c.name: c.reading.probabilities for c in read_cases(model, [tmp_path / "new"]) if c.reading}
    assert len(together) == 24
    for name in ("class 0/3.png", "class 1/20.png"):
        (alone,) = read_cases(model, [tmp_path / "new" / name])
        assert alone.reading is not None
        np.testing.assert_allclose(alone.reading.probabilities, together[name], atol=1e-6)
