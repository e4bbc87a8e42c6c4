"""Reading scans: DICOM, NIfTI, NRRD and raster files; geometry, intensity and findings."""

from workbench.imaging.input_findings import recipe_findings
from workbench.imaging.options import ReadOptions, Remedy
from workbench.imaging.read import ReadResult, read_scan, read_scans
from workbench.imaging.recipe import Recipe
from workbench.imaging.region import Region, parse_region
from workbench.imaging.scan import Finding, Provenance, Scan, Severity, UltrasoundRegion, Units

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
