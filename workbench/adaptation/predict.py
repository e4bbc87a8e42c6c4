"""Reading new cases with an adapted model, file by file, in bounded memory.

Called by `workbench predict` and the demonstration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.adaptation.appraiser import appraiser_of
from workbench.adaptation.drift import DriftWatch
from workbench.adaptation.model import AdaptedModel, other_modality, scan_key
from workbench.data.folders import iter_scans
from workbench.errors import ScanRefused
from workbench.imaging.scan import Scan
from workbench.learners.reading import CaseReading

_AT_ONCE = 16
"""Scans held before they are read; a reading does not depend on the others."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one file: a reading, or why there is none.

    Attributes:
        name: what to call the file on the user's own screen.
        reading: None where the file was refused.
        refusal: None where it was read.
    """

    name: str
    reading: CaseReading | None
    refusal: ScanRefused | None


def read_cases(
    model: AdaptedModel,
    paths: Sequence[str | Path],
    progress: Callable[[int, int], None] | None = None,
    watch: DriftWatch | None = None,
) -> Iterator[CaseResult]:
    """Readings of files, folders and zips, in the order of `workbench.data.folders.iter_scans`.

    Args:
        model: reads the scans; those of another modality than it was adapted to are refused.
        paths: what to read.
        progress: called with the number of files done and in all.
        watch: sees every reading; see `watch_of`.
    """
    waiting: list[tuple[str, Scan | ScanRefused]] = []
    for name, outcome in iter_scans(paths, progress):
        refusal = other_modality(model.record, outcome, name) if isinstance(outcome, Scan) else None
        waiting.append((name, refusal or outcome))
        if len(waiting) == _AT_ONCE:
            yield from _read(model, waiting, watch)
            waiting = []
    yield from _read(model, waiting, watch)


def watch_of(model: AdaptedModel) -> DriftWatch | None:
    """Watches whether what the model reads drifts from its support; None where it was kept without one."""
    appraiser = appraiser_of(model.classifier)
    return DriftWatch(appraiser.labelled) if appraiser is not None else None


def _read(
    model: AdaptedModel, named: Sequence[tuple[str, Scan | ScanRefused]], watch: DriftWatch | None
) -> Iterator[CaseResult]:
    scans = [s for _, s in named if isinstance(s, Scan)]
    reading = model.classifier.predict(scans)
    if watch is not None:
        watch.see(reading, [scan.patient or scan_key(scan) for scan in scans])
    readings = iter(reading)
    for name, outcome in named:
        if isinstance(outcome, ScanRefused):
            yield CaseResult(name, None, outcome)
        else:
            yield CaseResult(name, next(readings), None)
