from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.userfiles import class_folders, loaded_pixels, picture
from workbench.adaptation.model import AdaptedModel, adapt
from workbench.data.folders import read_examples
from workbench.errors import CohortError, WorkbenchError
from workbench.evaluation.cohorts import evaluate_cohort
from workbench.evaluation.plaintext import csv_cell
from workbench.evaluation.report import Preface, as_csv, as_html, as_json, write_report
from workbench.imaging.phantom import write_phantoms

pytestmark = pytest.mark.usefixtures("private_home")


@pytest.fixture
def model(tmp_path: Path) -> AdaptedModel:
    read = read_examples(class_folders(tmp_path / "support"))
    return adapt(loaded_pixels(tmp_path), read.examples, read.classes)


def test_a_cohort_is_counted_by_patient(tmp_path: Path, model: AdaptedModel) -> None:
    class_folders(tmp_path / "cohort", patients=4, seed=9)
    patient = tmp_path / "cohort" / "class 0" / "anna"
    patient.mkdir()
    for number in (0, 1):
        shutil.move(tmp_path / "cohort" / "class 0" / f"{number}.png", patient)
    found = evaluate_cohort(model, tmp_path / "cohort").performance
    assert (found.scans, found.patients) == (8, 7)
    assert found.accuracy is not None
    assert (found.accuracy.successes, found.accuracy.n) == (7, 7)
    assert found.accuracy.low < 0.7


def test_a_support_scan_in_the_cohort_is_named(tmp_path: Path, model: AdaptedModel) -> None:
    class_folders(tmp_path / "cohort", patients=4, seed=9)
    shutil.copy(tmp_path / "support" / "class 1" / "7.png", tmp_path / "cohort" / "class 1" / "innocent.png")
    with pytest.raises(CohortError, match=r"class 1/innocent\.png.*adapted on this scan"):
        evaluate_cohort(model, tmp_path / "cohort")


def test_a_support_patient_in_the_cohort_is_named(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "support", 3, seed=1)
    model = adapt(loaded_pixels(tmp_path), read_examples(tmp_path / "support").examples)
    # The same fictitious patients, drawn with other pixels.
    write_phantoms(tmp_path / "cohort", 5, seed=2)
    import pydicom

    path = tmp_path / "cohort" / "smooth" / "phantom-0004.dcm"
    file = pydicom.dcmread(path)
    file.PatientID = "PHANTOM-1-0002"
    file.save_as(path)
    with pytest.raises(CohortError, match=r"smooth/phantom-0004\.dcm.*this patient"):
        evaluate_cohort(model, tmp_path / "cohort")


def test_a_class_the_model_does_not_know_is_named(tmp_path: Path, model: AdaptedModel) -> None:
    picture(tmp_path / "cohort" / "class 0" / "a.png", 1)
    picture(tmp_path / "cohort" / "other" / "b.png", 2)
    with pytest.raises(CohortError, match=r"other/b\.png.*'other'.*class 0, class 1"):
        evaluate_cohort(model, tmp_path / "cohort")


def test_bad_files_are_left_out_and_the_rest_counted(tmp_path: Path, model: AdaptedModel) -> None:
    class_folders(tmp_path / "cohort", patients=3, seed=9)
    (tmp_path / "cohort" / "class 0" / "broken.png").write_bytes(b"x")
    shutil.copy(tmp_path / "cohort" / "class 0" / "0.png", tmp_path / "cohort" / "class 0" / "copy.png")
    found = evaluate_cohort(model, tmp_path / "cohort")
    assert found.performance.patients == 6
    assert sorted(r.source for r in found.refused) == ["class 0/broken.png", "class 0/copy.png"]


def test_of_copies_with_two_labels_none_is_counted(tmp_path: Path, model: AdaptedModel) -> None:
    class_folders(tmp_path / "cohort", patients=3, seed=9)
    Image.open(tmp_path / "cohort" / "class 0" / "0.png").save(tmp_path / "cohort" / "class 1" / "x.bmp")
    found = evaluate_cohort(model, tmp_path / "cohort")
    assert found.performance.confusion.sum(axis=1).tolist() == [2, 3]
    assert not {"class 0/0.png", "class 1/x.bmp"} & {case.name for case in found.cases}


def test_a_cohort_without_a_readable_scan_is_refused(tmp_path: Path, model: AdaptedModel) -> None:
    (tmp_path / "cohort" / "class 0").mkdir(parents=True)
    (tmp_path / "cohort" / "class 0" / "a.png").write_bytes(b"x")
    with pytest.raises(CohortError, match=r"no scan could be read.*a\.png"):
        evaluate_cohort(model, tmp_path / "cohort")


def test_reports_agree_and_name_no_file(tmp_path: Path, model: AdaptedModel) -> None:
    class_folders(tmp_path / "cohort", patients=4, seed=9)
    secret = tmp_path / "cohort" / "class 0" / "SECRET-NAME"
    secret.mkdir()
    shutil.move(tmp_path / "cohort" / "class 0" / "0.png", secret / "SECRET-FILE.png")
    found = evaluate_cohort(model, tmp_path / "cohort")
    preface = Preface("Stripes <script>", "a note")
    page, plain, table = as_html(found, preface), as_json(found, preface), as_csv(found, preface)
    for text in (page, plain, table):
        assert "SECRET" not in text
        assert not any(case.patient in text for case in found.cases)
    assert "For research use. Not for diagnostic use." in page
    assert "<script>" not in page
    assert page.count("<svg") == 3
    assert "data:" not in page  # which the page's own content policy would block
    values = json.loads(plain)
    assert values["accuracy"]["n"] == 8
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["reading"] for row in rows] == [file["label"] for file in values["files"]]
    assert str(found.performance.accuracy) in page


def test_an_unknown_ending_is_refused(tmp_path: Path, model: AdaptedModel) -> None:
    class_folders(tmp_path / "cohort", patients=2, seed=9)
    with pytest.raises(WorkbenchError, match=r"\.html, \.json, \.csv"):
        write_report(evaluate_cohort(model, tmp_path / "cohort"), tmp_path / "report.pdf")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_cell_starts_a_formula(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


def test_a_harmless_cell_stays_as_it_is() -> None:
    assert csv_cell("benign - a") == "benign - a"
