"""Reading scans: DICOM, NIfTI, NRRD and raster files; geometry, intensity and findings.

The recipe brings torch and is imported when it is asked for: a worker that decodes a file starts without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from workbench.imaging.options import ReadOptions, Remedy
from workbench.imaging.region import Region, parse_region
from workbench.imaging.scan import Finding, Provenance, Scan, Severity, UltrasoundRegion, Units

if TYPE_CHECKING:
    from workbench.imaging.input_findings import recipe_findings
    from workbench.imaging.read import ReadResult, read_scan, read_scans
    from workbench.imaging.recipe import Recipe

__all__ = [
    "Finding",
    "Provenance",
    "ReadOptions",
    "ReadResult",
    "Recipe",
    "Region",
    "Remedy",
    "Scan",
    "Severity",
    "UltrasoundRegion",
    "Units",
    "parse_region",
    "read_scan",
    "read_scans",
    "recipe_findings",
]

_LATER = {
    "ReadResult": "read",
    "Recipe": "recipe",
    "read_scan": "read",
    "read_scans": "read",
    "recipe_findings": "input_findings",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
