"""Reading scans: DICOM, NIfTI and raster files; geometry, intensity and findings.

The recipe brings torch and is imported when it is asked for: a worker that decodes a file starts without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from workbench.imaging.scan import Finding, Provenance, Scan, Severity, Units

if TYPE_CHECKING:
    from workbench.imaging.read import ReadResult, read_scan, read_scans
    from workbench.imaging.recipe import Recipe, recipe_findings

__all__ = [
    "Finding",
    "Provenance",
    "ReadResult",
    "Recipe",
    "Scan",
    "Severity",
    "Units",
    "read_scan",
    "read_scans",
    "recipe_findings",
]

_LATER = {
    "ReadResult": "read",
    "Recipe": "recipe",
    "read_scan": "read",
    "read_scans": "read",
    "recipe_findings": "recipe",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
