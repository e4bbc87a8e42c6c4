"""The FHIR report is held to FHIR's published model and says what the structured report says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.observation import Observation
from pydantic import ValidationError

from tests.pacs.conftest import PATIENT
from tests.results.conftest import MODEL
from tests.results.test_structured_report import surrounded
from workbench.results.fhir import Json, diagnostic_report
from workbench.results.sources import SourcedScan
from workbench.results.statement import NOTICE, Statement
from workbench.results.structured_report import structured_report

KINDS = {"Observation": Observation, "Device": Device}


@pytest.fixture
def report(statement: Statement, sourced: SourcedScan) -> Json:
    return diagnostic_report(surrounded(statement), sourced.headers)


def test_the_report_follows_the_published_model(report: Json) -> None:
    # R4B leaves these three resources as R4 has them.
    DiagnosticReport.model_validate_json(json.dumps(report))
    for resource in report["contained"]:
        KINDS[resource["resourceType"]].model_validate_json(json.dumps(resource))


@pytest.mark.parametrize("field", ["status", "code"])
def test_the_model_would_have_noticed(report: Json, field: str) -> None:
    """The check above can fail: what FHIR requires is missed (DiagnosticReport 1..1)."""
    with pytest.raises(ValidationError):
        DiagnosticReport.model_validate_json(json.dumps({k: v for k, v in report.items() if k != field}))
    observation = next(one for one in report["contained"] if one["resourceType"] == "Observation")
    with pytest.raises(ValidationError):
        Observation.model_validate_json(json.dumps({k: v for k, v in observation.items() if k != field}))


def test_it_is_preliminary_and_says_that_it_is_for_research(report: Json) -> None:
    assert report["status"] == "preliminary"
    assert {one["status"] for one in report["contained"] if one["resourceType"] == "Observation"} == {
        "preliminary"
    }
    assert report["conclusion"].startswith(NOTICE)
    assert NOTICE in report["text"]["div"]


def test_probabilities_patient_study_and_algorithm_are_in_it(report: Json, sourced: SourcedScan) -> None:
    observations = [one for one in report["contained"] if one["resourceType"] == "Observation"]
    assert [one["valueQuantity"]["value"] for one in observations] == [0.25, 0.75]
    assert [one["reference"] for one in report["result"]] == ["#class-1", "#class-2"]
    assert report["subject"]["identifier"]["value"] == PATIENT
    study = str(sourced.headers[0].StudyInstanceUID)
    assert report["imagingStudy"][0]["identifier"]["value"] == f"urn:oid:{study}"
    assert report["effectiveDateTime"] == "2024-02-29"
    assert MODEL in json.dumps(report["contained"][0])


def test_every_contained_resource_is_referred_to(report: Json) -> None:
    """FHIR's rule dom-3."""
    text = json.dumps(report)
    assert all(f'"#{resource["id"]}"' in text for resource in report["contained"])


def test_the_structured_report_is_its_identifier(statement: Statement, sourced: SourcedScan) -> None:
    dicom = structured_report(statement, sourced.headers)
    (identifier,) = diagnostic_report(statement, sourced.headers, dicom)["identifier"]
    assert identifier == {"system": "urn:dicom:uid", "value": f"urn:oid:{dicom.SOPInstanceUID}"}


def test_markup_in_a_class_name_stays_text(statement: Statement, sourced: SourcedScan) -> None:
    hostile = replace(statement, remarks=("<script>alert(1)</script>",))
    assert "<script>" not in diagnostic_report(hostile, sourced.headers)["text"]["div"]
