"""Files that only accompany the images of a study: localisers, and pictures of dose reports or screens.

Called by `series`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from workbench.errors import ScanRefused
from workbench.imaging.dicomfile import DicomFile, image_type
from workbench.imaging.scan import Finding, Severity

_REPORT_PICTURES = {"SCREEN SAVE", "DOSE_INFO", "DOSE", "DOSE REPORT", "PATIENT PROTOCOL"}
"""Image types by which makers mark pictures of tables: dose reports, protocols, saved screens."""


def _companion(file: DicomFile) -> str:
    """What an image is that only accompanies others; empty for an image in its own right."""
    if file.is_localiser:
        return "a localiser (scout)"
    if _REPORT_PICTURES & set(image_type(file.dataset)):
        return "a picture of a report (dose, protocol or screen)"
    return ""


def without_companions(files: Sequence[DicomFile]) -> tuple[list[DicomFile], list[ScanRefused]]:
    """Leave out what accompanies the images of its study, and say so to both sides.

    Returns:
        files that are read, those of a study that lost some with a finding; and refusals of those left out.
    """
    studies = {_study(file) for file in files if not _companion(file)}
    dropped: dict[str, int] = defaultdict(int)
    refused: list[ScanRefused] = []
    for file in files:
        if (what := _companion(file)) and _study(file) in studies:
            dropped[_study(file)] += 1
            reason = f"It is {what} beside the images of its study."
            refused.append(
                ScanRefused(file.source, reason, "Nothing need be done; choose it alone to read it.")
            )
    kept = [file for file in files if not (_companion(file) and _study(file) in studies)]
    return [_with_companions(file, dropped[_study(file)]) for file in kept], refused


def _with_companions(file: DicomFile, count: int) -> DicomFile:
    if not count:
        return file
    note = Finding(
        "companions-dropped",
        Severity.INFO,
        f"{count} localiser(s) or picture(s) of reports of the same study were left out.",
    )
    return file.noting(note)


def _study(file: DicomFile) -> str:
    return str(file.dataset.get("StudyInstanceUID") or "")
