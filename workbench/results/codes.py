"""Coded concepts of results: DICOM's and SNOMED CT's own where they exist, otherwise scheme ``99FSDW``.

The table of docs/dicom-conformance.md is tested against `PRIVATE`.
"""

from __future__ import annotations

import hashlib

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

SCHEME = "99FSDW"
SCHEME_NAME = "Few-shot diagnosis workbench"
_MOST_MEANING = 64

PROBABILITY: Code = codes.DCM.Probability
FINDING: Code = codes.DCM.Finding
COMMENT: Code = codes.DCM.Comment
ARTIFICIAL_INTELLIGENCE: Code = codes.DCM.ArtificialIntelligence
IMAGING_PROCEDURE: Code = codes.SCT.ImagingProcedure
NO_UNITS: Code = codes.UCUM.NoUnits
YES, NO = Code("373066001", "SCT", "Yes"), Code("373067005", "SCT", "No")

CLASS = Code("CLASS", SCHEME, "Class of the imaging condition")
MOST_PROBABLE = Code("MOSTPROBABLE", SCHEME, "Most probable class")
PLAUSIBLE = Code("PLAUSIBLE", SCHEME, "Plausible class (prediction set)")
CALIBRATION = Code("CALIBRATION", SCHEME, "Calibration of the probabilities")
CALIBRATED = Code("CALIBRATED", SCHEME, "Calibrated")
UNCALIBRATED = Code("UNCALIBRATED", SCHEME, "Not calibrated")
UNLIKE = Code("UNLIKE", SCHEME, "Unlike every labelled scan")
NONE_OF_THESE = Code("NONEOFTHESE", SCHEME, "None of these classes")

PRIVATE: tuple[Code, ...] = (
    CLASS,
    MOST_PROBABLE,
    PLAUSIBLE,
    CALIBRATION,
    CALIBRATED,
    UNCALIBRATED,
    UNLIKE,
    NONE_OF_THESE,
)
"""Every fixed code of the private scheme; classes are coded by `class_code`."""


def class_code(name: str) -> Code:
    """Code of a class that users have named: ``C-`` and 12 digits of the SHA-256 of its name (UTF-8).

    The same name has the same code everywhere. Meanings hold 64 characters (PS3.5 6.2, LO).
    """
    digest = hashlib.sha256(name.encode()).hexdigest()[:12].upper()
    meaning = "".join(c if c.isprintable() and c != "\\" else " " for c in name)[:_MOST_MEANING].strip()
    return Code(f"C-{digest}", SCHEME, meaning or "unnamed")


def scheme_item() -> CodingSchemeIdentificationItem:
    """Describes the private scheme (PS3.3 C.12.1, Coding Scheme Identification Sequence)."""
    return CodingSchemeIdentificationItem(SCHEME, name=SCHEME_NAME, responsible_organization=SCHEME_NAME)
