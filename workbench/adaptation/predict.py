"""Reading new cases with an adapted model, file by file, in bounded memory.

Called by `workbench predict` and the demonstration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.adaptation.model import AdaptedModel, other_modality
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
    seen: Callable[[str, Scan, CaseReading], None] | None = None,
) -> Iterator[CaseResult]:
    """Readings of files, folders and zips, in the order of `workbench.data.folders.iter_scans`.

    Args:
        model: reads the scans; those of another modality than it was adapted to are refused.
        paths: what to read.
        progress: called with the number of files done and in all.
        seen: called with the name, the scan and the reading of each scan read, before the scan is let go.
    """
    waiting: list[tuple[str, Scan | ScanRefused]] = []
    for name, outcome in iter_scans(paths, progress):
        refusal = other_modality(model.record, outcome, name) if isinstance(outcome, Scan) else None
        waiting.append((name, refusal or outcome))
        if len(waiting) == _AT_ONCE:
            yield from _read(model, waiting, seen)
            waiting = []
    yield from _read(model, waiting, seen)


def _read(
    model: AdaptedModel,
    named: Sequence[tuple[str, Scan | ScanRefused]],
    seen: Callable[[str, Scan, CaseReading], None] | None,
) -> Iterator[CaseResult]:
    readings = iter(model.classifier.predict([s for _, s in named if isinstance(s, Scan)]))
    for name, outcome in named:
        if isinstance(outcome, ScanRefused):
            yield CaseResult(name, None, outcome)
        else:
            reading = next(readings)
            if seen is not None:
                seen(name, outcome, reading)
            yield CaseResult(name, reading, None)
