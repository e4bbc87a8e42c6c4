"""DICOM modality codes, and which of them name the same kind of image.

Called by everything that must not mix kinds of images: supports, cohorts, adapted models.
"""

from __future__ import annotations

UNKNOWN_MODALITY = "OT"
"""Code of a scan whose file does not say how it was made (PS3.3 C.7.3.1.1.1)."""

PLAIN_XRAY = frozenset({"CR", "DX", "RF", "RG"})
"""Codes that different makers give to the same plain X-ray."""


def modality_group(code: str) -> str:
    """The code itself, or ``DX`` for any of the codes of a plain X-ray."""
    return "DX" if code in PLAIN_XRAY else code


def same_modality(first: str, second: str) -> bool:
    """Whether scans of two codes may stand side by side; an unknown one may with any."""
    return UNKNOWN_MODALITY in (first, second) or modality_group(first) == modality_group(second)
