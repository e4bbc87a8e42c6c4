"""An adapted model on a labelled cohort, read once from the first file to the last.

Called by `workbench evaluate MODEL COHORT`, the demonstration and the service. The cohort must hold no scan
and no patient the model was adapted on; what is counted is patients (see `performance`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.adaptation.model import AdaptedModel, has_seen, other_modality
from workbench.adaptation.predict import watch_of
from workbench.data.examples import Example
from workbench.data.folders import Labelled, iter_examples
from workbench.errors import CohortError, ScanRefused
from workbench.evaluation.performance import Performance, performance
from workbench.evaluation.trust import CohortTrust, cohort_trust
from workbench.imaging.digest import copy_digest
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.region import Region
from workbench.learners.files import ClassifierRecord
from workbench.learners.reading import CaseReading

_AT_ONCE, _BYTES = 32, 2**28
"""Scans, and bytes of their pixels, held before they are read: a few volumes."""
_NAMED = 10


@dataclass(frozen=True, slots=True)
class CohortCase:
    """One scan of the cohort that was read.

    Attributes:
        index: number of the file in the cohort, from 1; stands for its name in every report.
        name: path below the cohort's folder, for the user's own screen only.
        patient: pseudonymous key.
        truth: class it is labelled with.
        reading: of the scan.
    """

    index: int
    name: str
    patient: str
    truth: int
    reading: CaseReading

    @property
    def probabilities(self) -> tuple[float, ...]:
        """One for each class of the model."""
        return self.reading.probabilities


@dataclass(frozen=True, slots=True, eq=False)
class CohortResult:
    """A model's readings of a cohort.

    Attributes:
        record: of the model.
        cases: the scans read, in the order of the cohort.
        performance: by patient, with intervals.
        refused: files left out, each with the reason and the fix.
        trust: whether what surrounded the readings held; None where nothing did.
    """

    record: ClassifierRecord
    cases: tuple[CohortCase, ...]
    performance: Performance
    refused: tuple[ScanRefused, ...]
    trust: CohortTrust | None = None


def evaluate_cohort(
    model: AdaptedModel,
    cohort: str | Path,
    progress: Callable[[int, int], None] | None = None,
    options: ReadOptions = DEFAULTS,
    region: Region | None = None,
) -> CohortResult:
    """Read every scan of a labelled cohort and compare with its labels.

    Args:
        model: adapted on other patients.
        cohort: class folders or a CSV; see `workbench.data.folders.read_examples`.
        progress: called with the number of files done and in all.
        options: how to read its files.
        region: marked on every scan that the table marks nothing on.

    See `evaluate_labelled` for what is left out, and what is raised.
    """
    recipe = model.classifier.learner.recipe
    return evaluate_labelled(
        model, iter_examples(cohort, progress, options, recipe, region), Path(cohort).name
    )


def evaluate_labelled(
    model: AdaptedModel, scans: Iterable[Labelled], name: str = "The cohort"
) -> CohortResult:
    """Read labelled scans, whoever reads them from where, and compare with their labels.

    Args:
        model: adapted on other patients.
        scans: one after another; memory does not grow with their number.
        name: of the cohort, for messages.

    Exact copies of one class are counted once; of copies labelled differently none is counted. Scans of
    another modality than the model's are left out.

    Raises:
        CohortError: naming the files, if a scan or patient of the support is among them; if a label is not a
            class of the model; if no scan can be read.
    """
    classes = model.record.classes
    reader = _Reader(model)
    for index, one in enumerate(scans, start=1):
        if one.label not in classes:
            raise CohortError(
                f"{one.name}: its class {one.label!r} is not one of the model's ({', '.join(classes)}). "
                "Rename the class, or leave it out of the cohort."
            )
        reader.take(index, one)
    reader.flush()
    _refuse_leaks(reader.leaks)
    cases = tuple(case for case in reader.cases if case.index not in reader.withdrawn)
    if not cases:
        why = f" First file left out: {reader.refused[0]}" if reader.refused else ""
        raise CohortError(f"{name}: no scan could be read.{why}")
    return CohortResult(
        model.record,
        cases,
        performance(
            classes,
            np.array([case.probabilities for case in cases]),
            np.array([case.truth for case in cases], dtype=np.int64),
            [case.patient for case in cases],
            every_class=False,
        ),
        tuple(reader.refused),
        reader.trust(cases),
    )


class _Reader:
    """Collects scans into batches, and what has to be said about files."""

    def __init__(self, model: AdaptedModel) -> None:
        self.model = model
        self._watch = watch_of(model)
        self.cases: list[CohortCase] = []
        self.refused: list[ScanRefused] = []
        self.leaks: list[tuple[str, str]] = []
        self.withdrawn: set[int] = set()
        self._first: dict[str, tuple[int, Labelled]] = {}
        self._waiting: list[tuple[int, str, Example]] = []

    def take(self, index: int, one: Labelled) -> None:
        """One file of the cohort."""
        example = one.outcome
        if isinstance(example, ScanRefused):
            self.refused.append(example)
            return
        if (reason := has_seen(self.model.record, example)) is not None:
            self.leaks.append((one.name, reason))
            return
        if (refusal := other_modality(self.model.record, example.scan, one.name)) is not None:
            self.refused.append(refusal)
            return
        if self._is_copy(index, one, example):
            return
        self._waiting.append((index, one.name, example))
        held = sum(waiting.scan.pixels.nbytes for _, _, waiting in self._waiting)
        if len(self._waiting) == _AT_ONCE or held > _BYTES:
            self.flush()

    def flush(self) -> None:
        """Read what is waiting."""
        reading = self.model.classifier.predict([example.scan for _, _, example in self._waiting])
        classes = self.model.record.classes
        if self._watch is not None:
            self._watch.see(reading, [example.patient for _, _, example in self._waiting])
        for (index, name, example), case in zip(self._waiting, reading, strict=True):
            truth = classes.index(example.label)
            self.cases.append(CohortCase(index, name, example.patient, truth, case))
        self._waiting = []

    def trust(self, cases: Sequence[CohortCase]) -> CohortTrust | None:
        """Whether what surrounded the readings of these cases held."""
        if self._watch is None:
            return None
        readings, truth = [case.reading for case in cases], [case.truth for case in cases]
        return cohort_trust(readings, truth, [case.patient for case in cases], self._watch.drift())

    def _is_copy(self, index: int, one: Labelled, example: Example) -> bool:
        key = copy_digest(example.scan)
        if key not in self._first:
            # Without its pixels: a cohort may be larger than memory.
            self._first[key] = (index, Labelled(one.name, one.label, ScanRefused(one.name, "", "")))
            return False
        number, first = self._first[key]
        if first.label == one.label:
            reason = "It is an exact copy of another scan."
            self.refused.append(ScanRefused(one.name, reason, "It is counted once.", first.name))
        else:
            self.withdrawn.add(number)
            reason = f"It is labelled {one.label!r}, and the same picture is labelled {first.label!r}."
            fix = "Neither is counted; correct the labels."
            self.refused.append(ScanRefused(one.name, reason, fix, first.name))
        return True


def _refuse_leaks(leaks: Sequence[tuple[str, str]]) -> None:
    if not leaks:
        return
    named = "; ".join(f"{name} ({reason})" for name, reason in leaks[:_NAMED])
    more = f"; and {len(leaks) - _NAMED} more" if len(leaks) > _NAMED else ""
    raise CohortError(
        f"The cohort is not held out: {named}{more}. Remove these files, or adapt without these patients."
    )
