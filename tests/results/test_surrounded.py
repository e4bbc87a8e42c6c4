"""What surrounds a reading (calibration, set, familiarity) reaches the reports as the model says it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.observation import Observation
from highdicom.sr import ComprehensiveSR
from pydicom import dcmread
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from tests.helpers import striped_cohort
from tests.imaging.makers import ct, save
from tests.results.conftest import MODEL, RECORD, hounsfield, labelled_slices
from tests.results.test_structured_report import texts
from workbench.adaptation.model import load_model
from workbench.cli import app
from workbench.imaging.read import read_scan
from workbench.learners.appraisal import Familiarity, PredictionSet, Promise, Scope
from workbench.learners.reading import CaseReading
from workbench.results import codes
from workbench.results.fhir import Json
from workbench.results.statement import statement_of

pytestmark = pytest.mark.usefixtures("private_home")
PROMISED = Promise(0.9, 0.9, Scope.PER_CLASS, 10, 9)
DECLINED = Promise(0.9, 0.0, Scope.NONE, 0, 9)
BARE = CaseReading(("benign", "bösartig"), (0.25, 0.75))


def made(folder: Path, patients: int, *options: str) -> tuple[CaseReading, Path, Json]:
    """A new scan's reading, its structured report's file, and its FHIR report, all by the commands."""
    support = labelled_slices(folder / "support", patients)
    new = save(ct(hounsfield(striped_cohort(way=2, patients=1, seed=5).images[1])), folder / "new.dcm")
    model, out = folder / "model.safetensors", folder / "out"
    for command in (
        ["adapt", str(support), "--out", str(model), "--method", "prototypical", *options],
        ["results", str(model), str(new), "--out", str(out)],
    ):
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    reading = load_model(model).classifier.predict([read_scan(new)])[0]
    return reading, out / "0001-report.dcm", json.loads((out / "0001-report.json").read_text())


def evaluations(report: Dataset) -> list[tuple[str, str]]:
    (group,) = ComprehensiveSR.from_dataset(report).content.get_image_measurement_groups()
    return [(str(one.name.value), str(one.value.meaning)) for one in group.get_qualitative_evaluations()]


def members(fhir: Json) -> list[bool]:
    """Of each class, whether it is in the set; nothing where the report has none."""
    parts = [part for one in fhir["contained"] for part in one.get("component", ())]
    return [part["valueBoolean"] for part in parts if part["code"]["text"] == codes.PLAUSIBLE.meaning]


def test_the_set_the_model_promises_is_in_both_reports(
    tmp_path: Path, flaws: Callable[[Dataset], list[str]]
) -> None:
    reading, path, fhir = made(tmp_path, 10)
    assert reading.set is not None
    assert reading.familiarity is not None
    assert reading.calibrated
    assert reading.set.promise.kept, "ten patients of each class are enough for 90 %"
    report = dcmread(path)
    found = evaluations(report)
    assert tuple(value for name, value in found if name == "PLAUSIBLE") == reading.set.classes
    assert ("CALIBRATION", "Calibrated") in found
    assert ("UNLIKE", "Yes" if reading.familiarity.unlike else "No") in found
    assert reading.set.promise.statement in " ".join(texts(report))
    assert members(fhir) == [name in reading.set.classes for name in reading.classes]
    assert reading.set.promise.statement in fhir["conclusion"]
    assert "Calibrated probabilities" in fhir["conclusion"]
    DiagnosticReport.model_validate_json(json.dumps(fhir))
    for resource in fhir["contained"]:
        if resource["resourceType"] == "Observation":
            Observation.model_validate_json(json.dumps(resource))
    assert flaws(report) == []


def test_no_set_is_reported_where_none_is_promised(
    tmp_path: Path, flaws: Callable[[Dataset], list[str]]
) -> None:
    reading, path, fhir = made(tmp_path, 3, "--no-estimate")
    assert reading.set is not None
    assert reading.set.classes, "the model hands out every class, which is no set"
    report = dcmread(path)
    assert "PLAUSIBLE" not in [name for name, _ in evaluations(report)]
    assert members(fhir) == []
    for text in (" ".join(texts(report)), fhir["conclusion"]):
        assert "No set of plausible classes is promised" in text
        assert "Plausible classes:" not in text
    assert flaws(report) == []


def test_an_empty_set_is_a_set_and_a_declined_one_is_none() -> None:
    empty = statement_of(replace(BARE, set=PredictionSet((), PROMISED)), RECORD, MODEL)
    assert (empty.plausible, empty.promise) == ((), PROMISED.statement)
    declined = statement_of(replace(BARE, set=PredictionSet(BARE.classes, DECLINED)), RECORD, MODEL)
    assert (declined.plausible, declined.promise, len(declined.remarks)) == (None, "", 1)
    bare = statement_of(BARE, RECORD, MODEL)
    assert (bare.plausible, bare.unlike, bare.calibrated, bare.remarks) == (None, None, False, ())


@pytest.mark.parametrize(("usual", "unlike"), [(2.0, False), (1.0, True), (math.nan, None)])
def test_too_few_scans_to_say_what_is_usual_is_not_a_no(usual: float, unlike: bool | None) -> None:
    reading = replace(BARE, familiarity=Familiarity(1.5, usual, 0.5, "Mahalanobis"))
    assert statement_of(reading, RECORD, MODEL).unlike is unlike


def test_a_stated_prevalence_is_said() -> None:
    said = statement_of(replace(BARE, prevalence=(0.95, 0.05)), RECORD, MODEL)
    assert "The probabilities follow a stated prevalence: benign 0.95, bösartig 0.05." in said.sentences
