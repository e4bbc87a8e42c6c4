"""Reading scans: DICOM, NIfTI, NRRD and raster files; geometry, intensity and findings."""

from workbench.imaging.options import ReadOptions, Remedy
from workbench.imaging.read import ReadResult, read_scan, read_scans
from workbench.imaging.recipe import Recipe, recipe_findings
from workbench.imaging.scan import Finding, Provenance, Region, Scan, Severity, Units

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
    "Units",
    "read_scan",
    "read_scans",
    "recipe_findings",
]
