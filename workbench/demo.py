"""A demonstration condition, ready to adapt to: a small public set where it can be had, phantoms otherwise.

`prepare_demo` lays labelled scans and new cases out as plain files, as a user would have them; the web UI
starts from it too. `run_demo` does the whole job: adapt, read the held-out cases, report.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from workbench.adaptation.appraising import appraised
from workbench.adaptation.estimate import leave_one_patient_out
from workbench.adaptation.model import AdaptedModel, adapt
from workbench.data.card import Card
from workbench.data.catalogue import find_data, get_card
from workbench.data.fetch import fetch, files_to_fetch
from workbench.data.folders import read_examples
from workbench.data.layouts import iter_items
from workbench.errors import CohortError, FetchError, ModelFileError, ScanRefused
from workbench.evaluation.cohorts import CohortResult, evaluate_cohort
from workbench.evaluation.compare import why_seen
from workbench.imaging.digest import pixel_digest
from workbench.imaging.phantom import CLASSES as PHANTOM_CLASSES
from workbench.imaging.phantom import write_phantoms
from workbench.imaging.scan import Scan
from workbench.learners.files import LearnerRecord, LoadedLearner, load_learner
from workbench.weights import find_weights

SETS = ("knee_osteoporosis", "breastmnist")
"""Tried in this order. The first has pictures of a realistic size but no direct download, so it is taken only
where it lies on this machine; the second is 0.6 MB."""
DOWNLOAD = "breastmnist"
SHOTS, CASES = 10, 20
_SEED = 7
_PIXELS = 64
_PATIENCE_S = 4.0

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class DemoCondition:
    """A condition as a user would have it: labelled scans in class folders, and new cases.

    Attributes:
        title: of the condition.
        classes: names, also of the class folders.
        support: folder with one subfolder of labelled scans per class.
        cohort: folder with one subfolder of held-out cases per class.
        cases: the files in `cohort`, in an order that does not follow the classes.
        truth: class of each case.
        note: where the scans come from, and whether the weights have seen the condition.
    """

    title: str
    classes: tuple[str, ...]
    support: Path
    cohort: Path
    cases: tuple[Path, ...]
    truth: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class DemoResult:
    """What the demonstration did: the condition, the adapted model, and its readings of the cases."""

    condition: DemoCondition
    model: AdaptedModel
    result: CohortResult


def prepare_demo(
    folder: Path,
    data: Path | None = None,
    record: LearnerRecord | None = None,
    download: bool = True,
) -> DemoCondition:
    """Lay out the demonstration condition below a folder.

    A set that the weights have not seen is preferred; where there is only one they have seen, the note says
    so. Support and cases share no patient and no picture, and pictures labelled both ways are left out.

    Args:
        folder: made if missing; an earlier demonstration in it is replaced.
        data: data folder; see `workbench.data.catalogue.find_data`.
        record: of the weights that will adapt; the shipped ones if None.
        download: fetch the small set (0.6 MB) if no set is on this machine and the network answers.
    """
    weights = record or _shipped_record()
    for name in ("support", "cases"):
        shutil.rmtree(folder / name, ignore_errors=True)
    here = [(get_card(name), place) for name in SETS if (place := _find(get_card(name), data)) is not None]
    if not here and download and (place := _download(get_card(DOWNLOAD))) is not None:
        here = [(get_card(DOWNLOAD), place)]
    unseen = [pair for pair in here if weights is not None and why_seen(weights, pair[0].name) is None]
    for card, place in [*unseen, *here]:
        try:
            return _from_set(card, place, folder, weights)
        except CohortError:
            continue  # too small, or damaged: the next will do
    return _from_phantoms(folder)


def run_demo(
    loaded: LoadedLearner,
    folder: Path,
    data: Path | None = None,
    download: bool = True,
    progress: Progress | None = None,
) -> DemoResult:
    """Prepare the condition, adapt to its labelled scans, read its held-out cases.

    Args:
        loaded: weights that adapt.
        folder: for the scans.
        data, download: see `prepare_demo`.
        progress: called with the number of cases done and in all.
    """
    condition = prepare_demo(folder, data, loaded.record, download)
    read = read_examples(condition.support)
    model = adapt(loaded, read.examples, read.classes)
    assert model.support is not None
    model = appraised(model, leave_one_patient_out(loaded.learner, model.support))
    return DemoResult(condition, model, evaluate_cohort(model, condition.cohort, progress))


def _shipped_record() -> LearnerRecord | None:
    try:
        return load_learner(find_weights()).record
    except ModelFileError:
        return None


def _find(card: Card, data: Path | None) -> Path | None:
    try:
        return find_data(card, data)
    except FetchError:
        return None


def _download(card: Card) -> Path | None:
    """The set in the user's cache, unless the network does not answer at once."""
    address = files_to_fetch(card)[0].address
    try:
        requests.head(address or "", timeout=_PATIENCE_S, allow_redirects=True).raise_for_status()
        return fetch(card, progress=False).folder
    except (requests.RequestException, FetchError):
        return None


def _from_set(card: Card, place: Path, folder: Path, weights: LearnerRecord | None) -> DemoCondition:
    pools = _distinct(card, place)
    need = SHOTS + CASES
    short = [c.name for c in card.classes if len(pools[c.spelled]) < need]
    if short:
        raise CohortError(f"{card.name}: class {short[0]!r} has fewer than {need} patients.")
    rng = np.random.default_rng(_SEED)
    for one in card.classes:
        pool = pools[one.spelled]
        chosen = [pool[i] for i in rng.permutation(len(pool))[:need]]
        for number, scan in enumerate(chosen[:SHOTS], start=1):
            _write(scan, folder / "support" / one.name / f"scan-{number:02d}.png")
        for number, scan in enumerate(chosen[SHOTS:], start=1):
            _write(scan, folder / "cases" / one.name / f"draft-{number:02d}.png")
    return _condition(card.title, tuple(c.name for c in card.classes), folder, _note(card, weights))


def _distinct(card: Card, place: Path) -> dict[str, list[Scan]]:
    """Scans by class: one for each patient and picture, none that is labelled both ways."""
    labels: dict[str, set[str]] = {}
    first: dict[str, tuple[str, str | None, Scan]] = {}
    for item in iter_items(card, place, _PIXELS):
        try:
            scan = item.scan(card.modality)
        except ScanRefused:
            continue
        digest = pixel_digest(scan)
        labels.setdefault(digest, set()).add(item.label)
        first.setdefault(digest, (item.label, item.patient, scan))
    pools: dict[str, list[Scan]] = {c.spelled: [] for c in card.classes}
    patients: set[str] = set()
    for digest, (label, patient, scan) in first.items():
        if len(labels[digest]) > 1 or patient in patients or label not in pools:
            continue
        if patient is not None:
            patients.add(patient)
        pools[label].append(scan)
    return pools


def _from_phantoms(folder: Path) -> DemoCondition:
    drawn = folder / "drawn"
    shutil.rmtree(drawn, ignore_errors=True)
    files = write_phantoms(drawn, SHOTS + CASES, seed=_SEED)
    for name in PHANTOM_CLASSES:
        mine = [path for path in files if path.parent.name == name]
        for number, path in enumerate(mine, start=1):
            side, prefix = ("support", "scan") if number <= SHOTS else ("cases", "draft")
            target = folder / side / name / f"{prefix}-{number:02d}.dcm"
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    shutil.rmtree(drawn)
    note = (
        "Phantoms: lung lesions with a smooth or a spiculated border, drawn by the workbench and written as "
        "DICOM CT, because no public set was on this machine and none could be downloaded. They are not "
        "patients, and say nothing about performance on patients. The weights were not made with them."
    )
    return _condition("Lung lesion border (phantoms)", PHANTOM_CLASSES, folder, note)


def _condition(title: str, classes: Sequence[str], folder: Path, note: str) -> DemoCondition:
    """Number the cases in an order that does not follow the classes, so that no name gives one away."""
    drafts = [(path, name) for name in classes for path in sorted((folder / "cases" / name).iterdir())]
    rng = np.random.default_rng(_SEED)
    shuffled = [drafts[i] for i in rng.permutation(len(drafts))]
    cases = []
    for number, (path, _) in enumerate(shuffled, start=1):
        cases.append(path.replace(path.with_name(f"case-{number:02d}{path.suffix}")))
    truth = tuple(name for _, name in shuffled)
    return DemoCondition(
        title, tuple(classes), folder / "support", folder / "cases", tuple(cases), truth, note
    )


def _note(card: Card, weights: LearnerRecord | None) -> str:
    source = f"Public set {card.title} ({card.licence.id}). "
    if weights is None:
        return f"{source}Whether the weights have seen it is not known."
    reason = why_seen(weights, card.name)
    if reason is None:
        return f"{source}The weights were not made with it: it is held out."
    return (
        f"{source}Seen in meta-training ({reason}): these figures show how the tool works, and do not say "
        "how well it adapts to a new condition."
    )


def _write(scan: Scan, path: Path) -> None:
    """An 8-bit PNG of a scan in display levels."""
    low, high = scan.value_range or (float(scan.pixels.min()), float(scan.pixels.max()))
    middle = scan.pixels[scan.pixels.shape[0] // 2]
    levels = ((middle - low) / max(high - low, 1e-6) * 255).round().clip(0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels).save(path)
