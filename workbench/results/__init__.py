"""Readings as objects that other systems accept: DICOM structured report, secondary capture, FHIR report.

They belong to the study of the images that were read and carry its identifiers, which are taken from the
files at that moment and kept nowhere else. All are for research and say so.
"""

from workbench.results.fhir import diagnostic_report
from workbench.results.overlay import overlay_capture
from workbench.results.sources import SourcedScan, sourced_scans
from workbench.results.statement import Algorithm, Statement, statement_of
from workbench.results.structured_report import structured_report
from workbench.results.write import Result, write_results

__all__ = [
    "Algorithm",
    "Result",
    "SourcedScan",
    "Statement",
    "diagnostic_report",
    "overlay_capture",
    "sourced_scans",
    "statement_of",
    "structured_report",
    "write_results",
]
