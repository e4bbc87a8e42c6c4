"""Image archives (PACS): find, retrieve and store by DICOMweb or DIMSE, and a storage receiver.

Everything goes through the `Archive` interface, which `open_archive` makes from a small file. What is
retrieved lands in a private folder and goes on through `workbench.imaging`, like any other file.
"""

from workbench.pacs.archive import (
    Archive,
    Limits,
    Query,
    Retrieved,
    Selection,
    SeriesMatch,
    Stored,
    StudyMatch,
)
from workbench.pacs.config import ArchivesFile, read_archives
from workbench.pacs.connect import open_archive

__all__ = [
    "Archive",
    "ArchivesFile",
    "Limits",
    "Query",
    "Retrieved",
    "Selection",
    "SeriesMatch",
    "Stored",
    "StudyMatch",
    "open_archive",
    "read_archives",
]
