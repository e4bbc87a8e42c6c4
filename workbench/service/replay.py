"""A case bundle done again: checked, adapted from its labelled scans, its cases read, and compared.

Called by ``workbench replay``. Needs no store: only the bundle, and the weights it names by SHA-256.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import ValidationError

from workbench.adaptation.appraising import appraised
from workbench.adaptation.estimate import leave_one_patient_out
from workbench.adaptation.model import AdaptedModel, adapt, asking, learner_of
from workbench.data.examples import Example
from workbench.errors import BundleError, StoreError
from workbench.learners.files import LoadedLearner, read_classifier_record
from workbench.service.bundle import MODEL, PLAN, READINGS, TOLERANCE, BundlePlan, Recorded
from workbench.service.facts import versions_of
from workbench.service.scanfile import open_scan
from workbench.service.seal import fingerprint, is_member, open_sealed
from workbench.service.serial import loaded

T = TypeVar("T")
Progress = Callable[[int, int], None]
_AT_ONCE = 16
_MOST_JSON = 256 * 2**20
_MOST_THREADS = 64
_FEWEST_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of doing it again.

    Attributes:
        plan: of the bundle.
        fingerprint: SHA-256 of the public key that signed it.
        same_input: whether the labelled images are equal bit by bit after the recipe.
        cases: how many were read.
        largest: difference of a probability.
        other: numbers of the cases whose class, set or abstention is another.
        tolerance: that `largest` was held to.
    """

    plan: BundlePlan
    fingerprint: str
    same_input: bool
    cases: int
    largest: float
    other: tuple[int, ...]
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether everything is as it was recorded."""
        return self.same_input and self.largest <= self.tolerance and not self.other

    @property
    def other_packages(self) -> tuple[tuple[str, str], ...]:
        """What the bundle was made with and this machine has another version of."""
        here = versions_of()
        return tuple((name, v) for name, v in self.plan.packages.items() if here.get(name) != v)


def replay(
    path: Path,
    weights: str | Path | None = None,
    tolerance: float = TOLERANCE,
    key: str = "",
    threads: int = 0,
    progress: Progress | None = None,
) -> Replayed:
    """Do a bundle again.

    Args:
        path: of unknown origin; nothing in it is run or unpickled.
        weights: file of the weights, unless they are among those shipped.
        tolerance: largest difference of a probability that counts as the same.
        key: beginning of the fingerprint of the key that must have signed it, 16 digits or more; empty for
            any.
        threads: of arithmetic; 0 for as many as the bundle was made with.
        progress: called with steps done and in all.

    Raises:
        BundleError: it was changed, is damaged, or contradicts itself.
        ModelFileError: its weights are not at hand.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-replay-") as place:
        folder = Path(place)
        manifest = open_sealed(path, folder)
        signed_by = fingerprint(manifest.public_key)
        if key and not (len(key) >= _FEWEST_DIGITS and signed_by.startswith(key.lower())):
            raise BundleError(
                f"{path.name}: was signed by another key ({signed_by[:16]}...) than the one given."
            )
        try:
            return _replayed(folder, signed_by, weights, tolerance, threads, progress)
        except StoreError as error:
            raise BundleError("A scan of the bundle is damaged, and was when it was signed.") from error


def _replayed(
    folder: Path,
    signed_by: str,
    weights: str | Path | None,
    tolerance: float,
    threads: int,
    progress: Progress | None,
) -> Replayed:
    plan = _read(BundlePlan, folder / PLAN)
    recorded = tuple(_each(Recorded, folder / READINGS))
    record = read_classifier_record(_member(folder, MODEL))
    if (record.learner_sha256, record.support_sha256, record.classes) != (
        plan.weights_sha256,
        plan.support_sha256,
        plan.classes,
    ):
        raise BundleError("The plan and the model of the bundle are about different things.")
    learner = learner_of(record, MODEL, weights)
    if learner.sha256 != plan.weights_sha256:
        raise BundleError(
            f"The weights given have SHA-256 {learner.sha256[:12]}; the bundle was made with "
            f"{plan.weights_sha256[:12]} ({plan.weights}). Name that file with --weights."
        )
    steps = len(plan.support) + len(recorded)
    before = torch.get_num_threads()
    torch.set_num_threads(min(threads or plan.threads, _MOST_THREADS))
    try:
        again = _adapted(learner, plan, folder)
        if progress is not None:
            progress(len(plan.support), steps)
        largest, other = _compared(again, folder, recorded, len(plan.support), steps, progress)
    finally:
        torch.set_num_threads(before)
    same = again.record.support_sha256 == plan.support_sha256
    return Replayed(plan, signed_by, same, len(recorded), largest, other, tolerance)


def _adapted(learner: LoadedLearner, plan: BundlePlan, folder: Path) -> AdaptedModel:
    """The steps of an adaptation that bear on readings, in the order in which the service takes them."""
    keep = learner.learner.recipe.kept
    examples = [
        Example(keep(open_scan(_member(folder, one.file)).scan(f"scan {one.number}")), one.label, one.patient)
        for one in plan.support
    ]
    model = adapt(learner, examples, plan.classes)
    assert model.support is not None
    model = appraised(model, leave_one_patient_out(learner.learner, model.support))
    if plan.prevalence is None:
        return model
    return asking(model, prevalence=dict(zip(plan.classes, plan.prevalence, strict=True)))


def _compared(
    model: AdaptedModel,
    folder: Path,
    recorded: tuple[Recorded, ...],
    done: int,
    steps: int,
    progress: Progress | None,
) -> tuple[float, tuple[int, ...]]:
    largest, other = 0.0, []
    for first in range(0, len(recorded), _AT_ONCE):
        some = recorded[first : first + _AT_ONCE]
        scans = [open_scan(_member(folder, one.file)).scan(f"scan {one.number}") for one in some]
        for one, reading in zip(some, model.classifier.predict(scans), strict=True):
            if len(one.probabilities) != len(reading.probabilities):
                raise BundleError("The readings of the bundle are about other classes than its model.")
            apart = max(abs(a - b) for a, b in zip(one.probabilities, reading.probabilities, strict=True))
            largest = max(largest, apart)
            plausible = reading.set.classes if reading.set is not None else None
            now = (reading.label, plausible, reading.none_of_these)
            if now != (one.label, one.set, one.none_of_these):
                other.append(one.number)
        if progress is not None:
            progress(done + first + len(some), steps)
    return largest, tuple(other)


def _member(folder: Path, name: str) -> Path:
    """A member that was unpacked; a plan may name anything, and what else it names is not looked for."""
    path = folder / name
    if is_member(name) and path.is_file():
        return path
    raise BundleError("The plan of the bundle names a scan that is not in it.")


def _read(kind: type[T], path: Path) -> T:
    try:
        return loaded(kind, _plain(path))
    except ValidationError as error:
        raise BundleError(f"{path.name}: is not of this version's form.") from error


def _each(kind: type[T], path: Path) -> list[T]:
    values = _plain(path)
    if not isinstance(values, list):
        raise BundleError(f"{path.name}: is not of this version's form.")
    try:
        return [loaded(kind, value) for value in values]
    except ValidationError as error:
        raise BundleError(f"{path.name}: is not of this version's form.") from error


def _plain(path: Path) -> object:
    if not path.is_file() or path.stat().st_size > _MOST_JSON:
        raise BundleError(f"{path.name}: is missing or too large.")
    try:
        value: object = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path.name}: is damaged, and was when it was signed.") from error
    return value
