"""A reading as a FHIR R4 DiagnosticReport, with its Observations and the algorithm as contained resources.

http://hl7.org/fhir/R4/diagnosticreport.html and observation.html. Written by hand: three resources do not
need a model of all of FHIR; the tests hold them to the published one.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from pydicom.dataset import Dataset

from workbench.results import codes as own
from workbench.results.statement import NOTICE, Likelihood, Statement
from workbench.results.structured_report import PRODUCT, device_uid

Json = dict[str, Any]

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_UCUM = "http://unitsofmeasure.org"
_UID = "urn:dicom:uid"
_DEVICE = "algorithm"


def diagnostic_report(
    statement: Statement, headers: Sequence[Dataset], report: Dataset | None = None
) -> Json:
    """The report of one scan, as JSON-ready values.

    The patient and the study are named by their identifiers in the images, as in the structured report, and
    not by references to a server that is not known here.

    Args:
        statement: what it says.
        headers: of the instances that were read, from `sourced_scans`.
        report: the structured report of the same reading, whose UID becomes an identifier.
    """
    first = headers[0]
    about = _subject(first) | _dated(first)
    observations = [_observation(n, one, statement) | about for n, one in enumerate(statement.likelihoods)]
    found: Json = {
        "resourceType": "DiagnosticReport",
        # "healthcare research" among the purposes of use.
        "meta": {
            "security": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/v3-ActReason",
                    "code": "HRESCH",
                    "display": "healthcare research",
                }
            ]
        },
        "text": {"status": "generated", "div": _narrative(statement)},
        "contained": [_device(statement), *observations],
        "status": "preliminary",
        "category": [_concept("http://terminology.hl7.org/CodeSystem/v2-0074", "IMG", "Diagnostic Imaging")],
        "code": _concept("http://loinc.org", "18748-4", "Diagnostic imaging study"),
        "issued": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "imagingStudy": [
            {
                "type": "ImagingStudy",
                "identifier": {"system": _UID, "value": f"urn:oid:{first.StudyInstanceUID}"},
            }
        ],
        "result": [{"reference": f"#{one['id']}"} for one in observations],
        "conclusion": " ".join(statement.sentences),
    }
    if report is not None:
        found["identifier"] = [{"system": _UID, "value": f"urn:oid:{report.SOPInstanceUID}"}]
    return found | about


def _observation(number: int, likelihood: Likelihood, statement: Statement) -> Json:
    """One class's probability; its interval where the reading has one."""
    code = own.class_code(likelihood.name)
    found: Json = {
        "resourceType": "Observation",
        "id": f"class-{number + 1}",
        "status": "preliminary",
        "code": {
            "coding": [{"system": _DCM, "code": own.PROBABILITY.value, "display": own.PROBABILITY.meaning}],
            "text": f"Probability of {likelihood.name}",
        },
        "valueQuantity": _quantity(likelihood.probability),
        "device": {"reference": f"#{_DEVICE}"},
        "note": [{"text": NOTICE}],
        "component": [
            {
                "code": {"text": own.CLASS.meaning},
                "valueCodeableConcept": {"coding": [{"code": code.value}], "text": likelihood.name},
            }
        ],
    }
    if likelihood.low is not None and likelihood.high is not None:
        interval = {"low": _quantity(likelihood.low), "high": _quantity(likelihood.high)}
        found["component"].append({"code": {"text": "Interval of the probability"}, "valueRange": interval})
    if statement.plausible is not None:
        member = likelihood.name in statement.plausible
        found["component"].append({"code": {"text": own.PLAUSIBLE.meaning}, "valueBoolean": member})
    return found


def _device(statement: Statement) -> Json:
    algorithm = statement.algorithm
    return {
        "resourceType": "Device",
        "id": _DEVICE,
        "identifier": [
            {"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{device_uid(algorithm.model_sha256)}"}
        ],
        "manufacturer": PRODUCT,
        "deviceName": [{"name": f"{PRODUCT}: {algorithm.method}", "type": "model-name"}],
        "version": [{"value": algorithm.version}],
        "note": [{"text": parameter} for parameter in algorithm.parameters],
    }


def _subject(header: Dataset) -> Json:
    """The patient by identifier; nothing where the images name none."""
    patient = str(header.get("PatientID") or "").strip()
    if not patient:
        return {}
    identifier: Json = {"value": patient}
    if issuer := str(header.get("IssuerOfPatientID") or "").strip():
        identifier["assigner"] = {"display": issuer}
    return {"subject": {"type": "Patient", "identifier": identifier}}


def _dated(header: Dataset) -> Json:
    """The study's date as ``effectiveDateTime``; nothing where the images have none."""
    found = re.fullmatch(r"(\d{4})(\d{2})(\d{2})", str(header.get("StudyDate") or ""))
    return {"effectiveDateTime": "-".join(found.groups())} if found else {}


def _concept(system: str, code: str, display: str) -> Json:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _quantity(value: float) -> Json:
    return {"value": round(value, 6), "system": _UCUM, "code": "1"}


def _narrative(statement: Statement) -> str:
    """XHTML for a person (FHIR R4, Narrative)."""
    body = "".join(f"<p>{escape(sentence)}</p>" for sentence in statement.sentences)
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'
