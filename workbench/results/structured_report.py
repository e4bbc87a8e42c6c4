"""A reading as a DICOM structured report: Measurement Report (PS3.16 TID 1500) in Comprehensive SR.

Unverified and preliminary always; partial where the model saw a part of the images only (PS3.3 C.17.2).
Made with highdicom.
"""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementProperties,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, generate_uid

from workbench.results import codes as own
from workbench.results.statement import Likelihood, Statement

TEMPLATE = "1500"
PRODUCT = "Few-shot diagnosis workbench"
SERIES_NUMBER = 9001
_DESCRIPTION = "Few-shot reading, research, not for diagnosis"
_MOST_SEEN = 64


def structured_report(statement: Statement, headers: Sequence[Dataset]) -> Dataset:
    """The report of one scan, ready to be written or sent.

    Args:
        statement: what it says.
        headers: of the instances that were read, from `sourced_scans`; the report goes into their study, in a
            series of its own.

    Returns:
        Comprehensive SR Storage, Explicit VR Little Endian, UTF-8.
    """
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(statement)),
        procedure_reported=own.IMAGING_PROCEDURE,
        imaging_measurements=[_group(statement, headers)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    report[0].ContentSequence.extend(_comments(statement))
    return ComprehensiveSR(
        evidence=list(headers),
        content=report,
        series_instance_uid=generate_uid(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=PRODUCT,
        manufacturer_model_name=PRODUCT,
        software_versions=statement.algorithm.version,
        device_serial_number=statement.algorithm.model_sha256[:_MOST_SEEN],
        series_description=_DESCRIPTION,
        is_complete=not statement.partial,
        is_final=False,
        is_verified=False,
        coding_schemes=[own.scheme_item()],
        specific_character_set="ISO_IR 192",
    )


def device_uid(model_sha256: str) -> str:
    """UID of an adapted model: the same file has the same one (PS3.5 B.2, derived from a UUID)."""
    return f"2.25.{int(model_sha256[:32], 16)}"


def _observer(statement: Statement) -> ObserverContext:
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=UID(device_uid(statement.algorithm.model_sha256)),
            name=f"{PRODUCT}: {statement.algorithm.method}",
            manufacturer_name=PRODUCT,
            model_name=statement.algorithm.weights or "untitled",
            serial_number=statement.algorithm.model_sha256,
        ),
    )


def _group(statement: Statement, headers: Sequence[Dataset]) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501: probabilities as measurements, everything else that is coded as evaluations."""
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=generate_uid(), identifier="few-shot reading"),
        algorithm_id=AlgorithmIdentification(
            name=f"{PRODUCT}: {statement.algorithm.method}",
            version=statement.algorithm.version,
            parameters=list(statement.algorithm.parameters),
            manufacturer=PRODUCT,
            family=own.ARTIFICIAL_INTELLIGENCE,
        ),
        measurements=[_measurement(one) for one in statement.likelihoods],
        qualitative_evaluations=_evaluations(statement),
        source_images=[SourceImageForMeasurementGroup.from_source_image(one) for one in headers],
    )


def _measurement(likelihood: Likelihood) -> Measurement:
    """TID 300: Probability (DCM 122157), the class as its modifier, the interval as its uncertainty."""
    properties = None
    if likelihood.low is not None and likelihood.high is not None:
        properties = MeasurementProperties(
            upper_measurement_uncertainty=round(likelihood.high - likelihood.probability, 6),
            lower_measurement_uncertainty=round(likelihood.probability - likelihood.low, 6),
        )
    measurement = Measurement(
        name=own.PROBABILITY,
        value=round(likelihood.probability, 6),
        unit=own.NO_UNITS,
        properties=properties,
    )
    modifier = CodeContentItem(
        name=own.CLASS,
        value=own.class_code(likelihood.name),
        relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD,
    )
    sequence = measurement[0].get("ContentSequence")
    measurement[0].ContentSequence = [modifier, *(sequence or ())]
    return measurement


def _evaluations(statement: Statement) -> list[QualitativeEvaluation]:
    calibration = own.CALIBRATED if statement.calibrated else own.UNCALIBRATED
    found = [
        QualitativeEvaluation(own.MOST_PROBABLE, own.class_code(statement.label)),
        QualitativeEvaluation(own.CALIBRATION, calibration),
    ]
    if statement.plausible is not None:
        named = [own.class_code(name) for name in statement.plausible] or [own.NONE_OF_THESE]
        found += [QualitativeEvaluation(own.PLAUSIBLE, code) for code in named]
    if statement.unlike is not None:
        found.append(QualitativeEvaluation(own.UNLIKE, own.YES if statement.unlike else own.NO))
    return found


def _comments(statement: Statement) -> list[TextContentItem]:
    """The statement in words, for viewers that show text only."""
    return [
        TextContentItem(own.COMMENT, sentence, relationship_type=RelationshipTypeValues.CONTAINS)
        for sentence in statement.sentences
    ]
