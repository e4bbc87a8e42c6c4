"""The structured report says what the reading says, belongs to the study, and is valid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from highdicom.sr import ComprehensiveSR
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.pacs.conftest import PATIENT, made_series
from tests.results.conftest import MODEL, RECORD
from workbench.imaging.scan import Finding, Severity
from workbench.learners.reading import CaseReading
from workbench.results import codes
from workbench.results.sources import SourcedScan, sourced_scans
from workbench.results.statement import NOTICE, Likelihood, Statement, statement_of
from workbench.results.structured_report import structured_report


def surrounded(statement: Statement) -> Statement:
    """Everything that a reading may carry."""
    return replace(
        statement,
        likelihoods=(Likelihood("benign", 0.25, 0.1, 0.4), Likelihood("bösartig", 0.75, 0.6, 0.9)),
        calibrated=True,
        plausible=("bösartig",),
        promise="The set holds the truth in at least 90 % of new patients of each class.",
        unlike=False,
        remarks=("The image is smaller than the model's input.",),
    )


def reread(report: Dataset, path: Path) -> ComprehensiveSR:
    report.save_as(path, enforce_file_format=True)
    return ComprehensiveSR.from_dataset(dcmread(path))


def texts(report: Dataset) -> list[str]:
    return [
        str(item.TextValue)
        for item in report.ContentSequence
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeValue == codes.COMMENT.value
    ]


@pytest.mark.parametrize("full", [False, True])
def test_the_report_is_valid(
    statement: Statement, sourced: SourcedScan, flaws: Callable[[Dataset], list[str]], full: bool
) -> None:
    said = surrounded(statement) if full else statement
    assert flaws(structured_report(said, sourced.headers)) == []


def test_the_report_belongs_to_the_study_and_refers_to_every_image(
    statement: Statement, sourced: SourcedScan, tmp_path: Path
) -> None:
    report = structured_report(statement, sourced.headers)
    first = dcmread(tmp_path / "series" / "slice0.dcm")
    for keyword in (
        "StudyInstanceUID",
        "PatientID",
        "PatientName",
        "AccessionNumber",
        "StudyDate",
        "StudyID",
    ):
        assert report[keyword].value == first[keyword].value, keyword
    assert report.SeriesInstanceUID != first.SeriesInstanceUID
    back = reread(report, tmp_path / "report.dcm")
    assert {instance for _, _, instance, _ in back.get_evidence()} == {
        str(header.SOPInstanceUID) for header in sourced.headers
    }
    (group,) = back.content.get_image_measurement_groups()
    assert len(group.source_images) == 3


def test_probabilities_come_back_with_their_class_and_interval(
    statement: Statement, sourced: SourcedScan, tmp_path: Path
) -> None:
    back = reread(structured_report(surrounded(statement), sourced.headers), tmp_path / "report.dcm")
    (group,) = back.content.get_image_measurement_groups()
    found = {}
    for measurement in group.get_measurements():
        assert measurement.name == codes.PROBABILITY
        assert measurement.unit == codes.NO_UNITS
        (modifier,) = [
            item
            for item in measurement[0].ContentSequence
            if item.ConceptNameCodeSequence[0].CodeValue == codes.CLASS.value
        ]
        uncertainty = {
            item.ConceptNameCodeSequence[0].CodeValue: float(item.MeasuredValueSequence[0].NumericValue)
            for item in measurement[0].ContentSequence
            if item.ValueType == "NUM"
        }
        name = str(modifier.ConceptCodeSequence[0].CodeMeaning)
        found[name] = (measurement.value, uncertainty["371886008"], uncertainty["371885007"])
    assert found == {"benign": (0.25, 0.15, 0.15), "bösartig": (0.75, 0.15, 0.15)}
    evaluations = {
        (str(one.name.value), str(one.value.meaning)) for one in group.get_qualitative_evaluations()
    }
    assert evaluations == {
        ("MOSTPROBABLE", "bösartig"),
        ("CALIBRATION", "Calibrated"),
        ("PLAUSIBLE", "bösartig"),
        ("UNLIKE", "No"),
        # The algorithm's family, which stands beside them.
        ("111000", "Artificial Intelligence"),
    }


def test_the_algorithm_is_identified(statement: Statement, sourced: SourcedScan) -> None:
    text = " ".join(str(element.value) for element in structured_report(statement, sourced.headers).iterall())
    for wanted in ("a" * 64, "b" * 64, MODEL, "general", "benign 5", "Artificial Intelligence"):
        assert wanted in text
    assert "workbench: prototypical" in text


def test_nothing_is_final_or_verified_and_the_notice_comes_first(
    statement: Statement, sourced: SourcedScan
) -> None:
    report = structured_report(statement, sourced.headers)
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert texts(report)[0] == NOTICE
    assert "uncalibrated probabilities: benign 0.250; bösartig 0.750" in texts(report)[1]
    assert "not for diagnosis" in report.SeriesDescription


@pytest.mark.parametrize(("code", "flag"), [("middle-slice", "PARTIAL"), ("enlarged", "COMPLETE")])
def test_a_report_on_a_part_of_the_images_is_partial(sourced: SourcedScan, code: str, flag: str) -> None:
    finding = Finding(code, Severity.WARNING, "Something was seen.")
    reading = CaseReading(("benign", "bösartig"), (0.25, 0.75), findings=(finding,))
    report = structured_report(statement_of(reading, RECORD, MODEL), sourced.headers)
    assert report.CompletionFlag == flag
    assert "Something was seen." in texts(report)


def test_an_empty_set_means_none_of_these(statement: Statement, sourced: SourcedScan) -> None:
    report = structured_report(replace(statement, plausible=(), unlike=True), sourced.headers)
    assert "NONEOFTHESE" in str(report)
    assert "The scan is unlike the labelled scans; the probabilities may mean nothing." in texts(report)


def test_a_class_has_one_code_everywhere_and_fits_its_value_representation() -> None:
    code = codes.class_code("Adenocarcinoma of the lung " * 5)
    assert codes.class_code("benign") == codes.class_code("benign")
    assert codes.class_code("benign").value != codes.class_code("Benign").value
    assert len(code.value) <= 16
    assert len(code.meaning) <= 64
    assert "\\" not in codes.class_code("a\\b").meaning


def test_only_what_a_result_repeats_is_kept_of_a_header(tmp_path: Path) -> None:
    (path,) = made_series(tmp_path, slices=1)
    image = dcmread(path)
    image.PatientComments, image.InstitutionName = "CANARY", "CANARY"
    image.OtherPatientIDs = "CANARY"
    image.save_as(path)
    (found,) = sourced_scans([path])
    assert isinstance(found, SourcedScan)
    assert "CANARY" not in str(found.headers[0])
    assert PATIENT not in repr(found)
