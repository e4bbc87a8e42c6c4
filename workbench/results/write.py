"""From DICOM files and an adapted model to result files in a private folder.

Called by `workbench results`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from workbench.adaptation.model import AdaptedModel
from workbench.adaptation.predict import beside_condition
from workbench.data.folders import scan_key
from workbench.errors import ScanRefused
from workbench.imaging.dicomfile import quiet
from workbench.imaging.scan import Scan
from workbench.results.fhir import diagnostic_report
from workbench.results.overlay import overlay_capture
from workbench.results.sources import SourcedScan, sourced_scans
from workbench.results.statement import Statement, statement_of
from workbench.results.structured_report import structured_report

Saliency = Callable[[Scan, int], npt.NDArray[np.floating]]
"""From a scan and the row of a class to its map, see `overlay_capture`; one is in `evidence`."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one scan.

    Attributes:
        name: of the scan on the user's own screen.
        statement: what was read; None where the scan was refused.
        dicom: the structured report, and the overlay where one was made.
        fhir: the FHIR report.
        refusal: why there is no result, or None.
    """

    name: str
    statement: Statement | None
    dicom: tuple[Path, ...] = ()
    fhir: Path | None = None
    refusal: ScanRefused | None = None


def write_results(
    model: AdaptedModel,
    model_sha256: str,
    paths: Sequence[Path],
    folder: Path,
    saliency: Saliency | None = None,
    progress: Callable[[int, int], None] | None = None,
    only: Container[str] | None = None,
) -> Iterator[Result]:
    """Read scans and write their results, one scan at a time.

    Files are numbered (``0001-report.dcm``, ``0001-overlay.dcm``, ``0001-report.json``) and readable by their
    owner only: what they hold identifies the patient, and their names must not.

    Args:
        model: reads the scans; those of another modality than it was adapted to are refused.
        model_sha256: of its file.
        paths: DICOM files and folders.
        folder: private and empty.
        saliency: makes the maps of the overlays; without it none is made.
        progress: called with the number of files done and in all.
        only: keyed hashes (`workbench.data.folders.scan_key`) of the scans that results are wanted for; None
            for all of them.
    """
    number = 0
    for found in sourced_scans(paths, progress):
        if isinstance(found, ScanRefused):
            yield Result(found.source, None, refusal=found)
            continue
        if only is not None and scan_key(found.scan) not in only:
            reason, fix = "It is no case of this condition.", "Read it as a case first."
            yield Result(found.name, None, refusal=ScanRefused(found.name, reason, fix))
            continue
        scan = beside_condition(model.record, found.scan, found.name)
        if isinstance(scan, ScanRefused):
            yield Result(found.name, None, refusal=scan)
            continue
        found = replace(found, scan=scan)
        try:
            # The library's warnings quote patients' names.
            with quiet():
                result = _write(model, model_sha256, found, folder / f"{number + 1:04d}", saliency)
        except (ValueError, TypeError, AttributeError, KeyError):
            reason = "Its header holds something that no valid result can be made of."
            refusal = ScanRefused(found.name, reason, "Take the image from the archive again.")
            yield Result(found.name, None, refusal=refusal)
            continue
        number += 1
        yield result


def _write(
    model: AdaptedModel, model_sha256: str, sourced: SourcedScan, stem: Path, saliency: Saliency | None
) -> Result:
    reading = model.classifier.predict([sourced.scan])[0]
    statement = statement_of(reading, model.record, model_sha256)
    report = structured_report(statement, sourced.headers)
    objects = {f"{stem.name}-report.dcm": report}
    if saliency is not None:
        found = saliency(sourced.scan, reading.classes.index(reading.label))
        objects[f"{stem.name}-overlay.dcm"] = overlay_capture(found, sourced.scan, sourced.headers, statement)
    text = json.dumps(diagnostic_report(statement, sourced.headers, report), indent=2, ensure_ascii=False)
    # Nothing is written before everything is made: a scan that fails leaves no file under its number.
    written = [_save(made, stem.with_name(name)) for name, made in objects.items()]
    fhir = stem.with_name(f"{stem.name}-report.json")
    with os.fdopen(_private(fhir), "w", encoding="utf-8") as stream:
        stream.write(text + "\n")
    return Result(sourced.name, statement, tuple(written), fhir)


def _save(dataset: Dataset, path: Path) -> Path:
    with os.fdopen(_private(path), "wb") as stream:
        dataset.save_as(stream, enforce_file_format=True)
    return path


def _private(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
