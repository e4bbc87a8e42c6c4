"""Reading new cases with an adapted model, one after another, in bounded memory.

`read_cases` reads files, `read_outcomes` what was read from files already: the first calls the second, so
that a case is read in one way wherever it comes from. Called by `workbench predict`, the demonstration and
the service's jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.adaptation.appraiser import appraiser_of
from workbench.adaptation.drift import DriftWatch
from workbench.adaptation.model import AdaptedModel, against_condition, other_modality
from workbench.adaptation.regions import marked
from workbench.data.folders import iter_scans, scan_key
from workbench.errors import ScanRefused
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.region import Region
from workbench.imaging.scan import Scan
from workbench.learners.files import ClassifierRecord
from workbench.learners.reading import CaseReading

Seen = Callable[[int, Scan, CaseReading], None]
"""Called with a case's number, its scan and its reading."""
_AT_ONCE = 16
"""Scans held before they are read; a reading does not depend on the others."""
_BYTES = 2**28
"""Pixels held before they are read: a few volumes."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one file: a reading, or why there is none.

    Attributes:
        number: of the case, from 1 in the order they were read; stands for its name in every export.
        name: what to call the file on the user's own screen; it may identify a patient.
        reading: None where the file was refused.
        refusal: None where it was read.
        scan: keyed hash of the pixels (`workbench.data.folders.scan_key`); empty where it was refused.
        patient: pseudonymous key from the file; empty where it names no patient.
    """

    number: int
    name: str
    reading: CaseReading | None
    refusal: ScanRefused | None
    scan: str = ""
    patient: str = ""


def read_cases(
    model: AdaptedModel,
    paths: Sequence[str | Path],
    progress: Callable[[int, int], None] | None = None,
    options: ReadOptions = DEFAULTS,
    region: Region | None = None,
    watch: DriftWatch | None = None,
    seen: Seen | None = None,
) -> Iterator[CaseResult]:
    """Readings of files, folders and zips, in the order of `workbench.data.folders.iter_scans`.

    Args:
        model: reads the scans; those of another modality than it was adapted to are refused.
        paths: what to read.
        progress: called with the number of files done and in all.
        options: how to read them.
        region: marked on every scan; one that it does not fit is refused.
        watch: sees every reading; see `watch_of`.
        seen: called for each scan that was read, before the scan is let go.
    """
    return read_outcomes(model, iter_scans(paths, progress, options), region, watch, seen)


def read_outcomes(
    model: AdaptedModel,
    outcomes: Iterable[tuple[str, Scan | ScanRefused]],
    region: Region | None = None,
    watch: DriftWatch | None = None,
    seen: Seen | None = None,
    neighbours: int = 0,
) -> Iterator[CaseResult]:
    """Readings of scans that were read from their files already, in their order.

    Args:
        model, region, watch, seen: see `read_cases`.
        outcomes: what to call each scan, and the scan or why there is none; taken when their turn comes.
        neighbours: how many nearest labelled scans to list for each.
    """
    waiting: list[tuple[str, Scan | ScanRefused]] = []
    done = 0
    for name, outcome in outcomes:
        if isinstance(outcome, Scan):
            outcome = beside_condition(model.record, outcome, name, region)
        waiting.append((name, outcome))
        held = sum(scan.pixels.nbytes for _, scan in waiting if isinstance(scan, Scan))
        if len(waiting) == _AT_ONCE or held > _BYTES:
            yield from _read(model, waiting, done, watch, seen, neighbours)
            done, waiting = done + len(waiting), []
    yield from _read(model, waiting, done, watch, seen, neighbours)


def beside_condition(
    record: ClassifierRecord, scan: Scan, name: str, region: Region | None = None
) -> Scan | ScanRefused:
    """A new scan as the model of a condition is to read it, or why it may not.

    Args:
        record: of the model.
        scan: as read from its file.
        name: what to call it in a refusal.
        region: to be marked on it; None for none.

    Returns:
        the scan, marked, with findings where it differs from the condition (body part, region); a refusal
        where its modality is another or the region does not fit.
    """
    refusal = other_modality(record, scan, name)
    return refusal or marked(record, against_condition(record, scan), name, region)


def watch_of(model: AdaptedModel) -> DriftWatch | None:
    """Watches whether what the model reads drifts from its support; None where it was kept without one."""
    appraiser = appraiser_of(model.classifier)
    return DriftWatch(appraiser.labelled) if appraiser is not None else None


def _read(
    model: AdaptedModel,
    named: Sequence[tuple[str, Scan | ScanRefused]],
    done: int,
    watch: DriftWatch | None,
    seen: Seen | None,
    neighbours: int,
) -> Iterator[CaseResult]:
    scans = [s for _, s in named if isinstance(s, Scan)]
    together = model.classifier.predict(scans, neighbours)
    if watch is not None:
        watch.see(together, [scan.patient or scan_key(scan) for scan in scans])
    readings = iter(together)
    for number, (name, outcome) in enumerate(named, start=done + 1):
        if isinstance(outcome, ScanRefused):
            yield CaseResult(number, name, None, outcome)
        else:
            key, patient, reading = scan_key(outcome), outcome.patient or "", next(readings)
            if seen is not None:
                seen(number, outcome, reading)
            yield CaseResult(number, name, reading, None, key, patient)
