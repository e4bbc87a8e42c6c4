"""What a session does: take in scans, adapt, read. Everything here works without a browser.

The same two verbs as everywhere: `Learner.adapt` on the labelled scans, `Classifier.predict` on new ones.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ui.former.progress import Report
from ui.former.render.pictures import thumbnail_uri
from ui.former.session import MAX_CLASSES, MIN_CLASSES, Adapted, Case, HeldScan, Session, Tray
from workbench.adaptation import model as models
from workbench.adaptation import regions
from workbench.adaptation.appraising import appraised
from workbench.adaptation.estimate import leave_one_patient_out
from workbench.adaptation.saliency import saliency
from workbench.adaptation.similar import embedding_findings
from workbench.adaptation.support_quality import support_findings
from workbench.data.examples import Example
from workbench.data.folders import read_examples
from workbench.data.quality import set_findings
from workbench.errors import ModelFileError, RegionError, ScanRefused, SupportError
from workbench.imaging import ReadResult, Recipe, Region, Scan, parse_region, read_scans
from workbench.imaging.digest import copy_digest, pixel_digest
from workbench.imaging.input_findings import recipe_findings
from workbench.learners import learners
from workbench.learners.files import LoadedLearner
from workbench.weights import DEFAULT

T = TypeVar("T")
NEIGHBOURS = 4
MAX_NAME = 60


class Engine:
    """Meta-trained learners by method, loaded once and shared by all sessions.

    Args:
        weights: a shipped name, or a learner file.
        pool_slices: how many slices of a volume an encoder of images reads; 0 for the middle one.

    Raises:
        ModelFileError: there are no such weights, or the file is damaged.
        PlanError: slices to be pooled by weights that read volumes already.
    """

    def __init__(self, weights: str | Path = DEFAULT, pool_slices: int = 0) -> None:
        self._weights = weights
        self._pool_slices = pool_slices
        self._loaded: dict[str, LoadedLearner] = {}
        self._lock = threading.Lock()
        own = models.load_weights(weights, pooled_slices=pool_slices)
        self.record = own.record
        self.default_method = own.record.method
        self._loaded[self.default_method] = own

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, the default first."""
        rest = [name for name in learners() if name != self.default_method]
        return (self.default_method, *rest)

    def loaded(self, method: str) -> LoadedLearner:
        """The learner of a method, on these weights or the method's own variant of them."""
        with self._lock:
            if method not in self._loaded:
                self._loaded[method] = models.load_weights(self._weights, method, self._pool_slices)
            return self._loaded[method]


def describe_condition(session: Session, title: str, names: Sequence[str]) -> None:
    """Set the condition's name and its classes; trays keep their scans.

    Raises:
        SupportError: too few or too many classes, an empty name, or a name given twice.
    """
    cleaned = [" ".join(name.split())[:MAX_NAME] for name in names]
    if not MIN_CLASSES <= len(cleaned) <= MAX_CLASSES:
        raise SupportError(f"Name {MIN_CLASSES} to {MAX_CLASSES} classes.")
    for number, name in enumerate(cleaned, start=1):
        if not name:
            raise SupportError(f"Class {number} has no name. Name it, or remove it.")
    folded = [name.casefold() for name in cleaned]
    twice = [name for name, key in zip(cleaned, folded, strict=True) if folded.count(key) > 1]
    if twice:
        raise SupportError(f"Two classes are called {twice[0]!r}. Give each its own name.")
    with session.lock:
        session.title = " ".join(title.split())[: 2 * MAX_NAME]
        if tuple(cleaned) != session.classes:
            session.outdate()
        kept = session.trays[: len(cleaned)]
        for tray, name in zip(kept, cleaned, strict=False):
            tray.name = name
        session.trays = kept + [Tray(name) for name in cleaned[len(kept) :]]


def resize(session: Session, count: int) -> None:
    """Add unnamed classes at the end, or remove the last ones with their scans."""
    with session.lock:
        if count < len(session.trays) and any(tray.scans for tray in session.trays[count:]):
            session.outdate()
        session.trays = session.trays[:count] + [Tray("") for _ in range(count - len(session.trays))]


def take_uploads(session: Session, paths: Sequence[str]) -> dict[Path, str]:
    """The session's own copies of files it uploaded, and what the user calls them.

    Paths that this session did not upload are left out: a page may name any path.
    """
    taken: dict[Path, str] = {}
    for path in paths:
        own = session.uploads.pop(path, None)
        if own is not None:
            taken[own] = Path(path).name
            Path(path).unlink(missing_ok=True)
    return taken


def region(files: dict[Path, str], slices: str | None, box: str | None) -> Region | None:
    """The part of uploaded scans that was marked for them; None for the whole of them.

    A field that was never touched holds None.

    Raises:
        RegionError: it cannot be read; the files are removed, since nothing will read them.
    """
    try:
        return parse_region(slices or "", box or "")
    except RegionError:
        for path in files:
            path.unlink(missing_ok=True)
        raise


def label_files(
    session: Session,
    engine: Engine,
    index: int,
    files: dict[Path, str],
    report: Report,
    region: Region | None = None,
) -> None:
    """Read files into a class's tray; refused ones are listed, and the others go on.

    Args:
        session, engine: whose tray, and for which weights.
        index: of the class.
        files: the session's own copies, and what the user calls them.
        report: progress.
        region: the part of these scans that matters; None for the whole of them.
    """
    result = _marked(_read(files, report), region)
    with session.lock:
        if index >= len(session.trays):
            return
        tray = session.trays[index]
        tray.refused += result.refused
        first = {copy_digest(held.scan): (held, tray.name) for tray in session.trays for held in tray.scans}
        for held in (_hold(session, engine.record.recipe, scan) for scan in result.scans):
            digest = copy_digest(held.scan)
            if digest in first:
                tray.refused.append(_copy_of(*first[digest], held, tray.name))
                continue
            first[digest] = (held, tray.name)
            tray.scans.append(held)
        if result.scans:
            session.outdate()
            _compare(session)


def remove_scan(session: Session, key: str) -> None:
    """Take one labelled scan off its tray."""
    with session.lock:
        for tray in session.trays:
            kept = [held for held in tray.scans if held.key != key]
            if len(kept) < len(tray.scans):
                tray.scans = kept
                session.outdate()
                _compare(session)
                return


def clear_tray(session: Session, index: int) -> None:
    """Empty a class's tray and forget what was refused for it."""
    with session.lock:
        if index < len(session.trays):
            tray = session.trays[index]
            if tray.scans:
                session.outdate()
            tray.scans, tray.refused = [], []
            _compare(session)


def missing(session: Session) -> str:
    """What still stands between the labelled scans and adaptation, as one sentence, or empty."""
    empty = [tray.name for tray in session.trays if not tray.scans]
    if empty:
        names = ", ".join(f"“{name}”" for name in empty)
        return f"Add at least one readable scan to {names}."
    return ""


def adapt(session: Session, engine: Engine, method: str, report: Report) -> None:
    """Adapt to the session's labelled scans and estimate how well by leaving out one patient at a time.

    Raises:
        WorkbenchError: the scans cannot be learned from; says why and what to do.
    """
    if method not in engine.methods:
        raise SupportError("This method does not exist. Choose one of the list.")
    with session.lock:
        trays = [(tray.name, tuple(tray.scans)) for tray in session.trays]
        if said := missing(session):
            raise SupportError(said)
    loaded = engine.loaded(method)
    held = tuple(one for _, scans in trays for one in scans)
    examples = [Example(one.scan, name, one.patient) for name, scans in trays for one in scans]
    model = models.adapt(loaded, examples, [name for name, _ in trays])
    assert model.support is not None
    estimate = leave_one_patient_out(loaded.learner, model.support, report)
    doubtful = support_findings(model.classifier, model.support, estimate, examples)
    odd = embedding_findings(model.classifier, model.support)
    model = appraised(model, estimate).with_doubts(doubtful.summary)
    adapted = Adapted(model, held, estimate, doubtful, odd)
    with session.lock:
        if [(tray.name, tuple(tray.scans)) for tray in session.trays] != trays:
            raise SupportError("The labelled scans changed meanwhile. Adapt again.")
        session.method, session.adapted = method, adapted
        before = [case.held for case in session.cases]
        fitting, refused = _fitting(adapted, before, [held.scan for held in before])
        session.cases = _cases(fitting, adapted)
        session.refused_cases += refused
        session.selected = 0


def read_new(session: Session, files: dict[Path, str], report: Report, region: Region | None = None) -> None:
    """Read new scans with the adapted classifier, each on its own; refused files are listed.

    Args:
        session: whose classifier reads.
        files: the session's own copies, and what the user calls them.
        report: progress.
        region: the part of these scans that matters; None for the whole of them.

    Raises:
        SupportError: nothing has been adapted yet.
    """
    adapted = session.adapted
    if adapted is None:
        raise SupportError("Adapt to the labelled scans first.")
    result = _marked(_read(files, report), region)
    fitting, refused = _fitting(adapted, result.scans, result.scans)
    told = [regions.marked(adapted.model.record, scan, scan.provenance.source) for scan in fitting]
    fitting = [scan for scan in told if isinstance(scan, Scan)]
    recipe = adapted.model.classifier.learner.recipe
    cases = _cases([_hold(session, recipe, scan) for scan in fitting], adapted)
    with session.lock:
        session.refused_cases += [*result.refused, *refused]
        if session.adapted is not adapted:
            raise SupportError(
                "The labelled scans changed meanwhile. Adapt again, then drop the new scans again."
            )
        if cases:
            session.selected = len(session.cases)
        session.cases += cases


def look(session: Session, change: Callable[[Case], Case]) -> None:
    """Change how the selected case is looked at: its window, slice or the labelled scan beside it."""
    with session.lock:
        case = session.case
        if case is not None:
            session.cases[session.selected] = change(case)


def explain(session: Session) -> None:
    """Find where in the selected case the evidence for the class it was read as lies, or forget it again."""
    with session.lock:
        case, adapted = session.case, session.adapted
    if case is None or adapted is None:
        return
    found = None
    if case.evidence is None:
        classifier = adapted.model.classifier
        found = saliency(classifier, case.held.scan, classifier.classes.index(case.reading.label))
    with session.lock:
        # Somebody may have gone on to another case meanwhile.
        session.cases = [replace(c, evidence=found) if c is case else c for c in session.cases]


def load_demo(session: Session, engine: Engine, report: Report) -> None:
    """Fill the session with the demonstration condition, ready to adapt.

    Raises:
        WorkbenchError: its scans could not be read.
    """
    # Imported here: it brings what downloads datasets, which nothing else on the page needs.
    from workbench.demo import prepare_demo

    demo = prepare_demo(session.private(f"demo-{secrets.token_hex(4)}"), record=engine.record)
    labelled = read_examples(demo.support, report)
    with session.lock:
        session.clear()
        session.title, session.note = demo.title, demo.note
        session.trays = [Tray(name) for name in demo.classes]
        for example in labelled.examples:
            tray = session.trays[demo.classes.index(example.label)]
            tray.scans.append(_hold(session, engine.record.recipe, example.scan))
        session.offered = dict(zip(demo.cases, demo.truth, strict=True))


def read_offered(session: Session, report: Report) -> None:
    """Read the new scans that came with the demonstration, and remember what each truly is.

    Raises:
        SupportError: nothing has been adapted yet.
    """
    with session.lock:
        offered, session.offered = session.offered, {}
        first = len(session.cases)
    read_new(session, {path: path.name for path in offered}, report)
    with session.lock:
        by_name = {path.name: label for path, label in offered.items()}
        for case in session.cases[first:]:
            session.truth[case.held.identity] = by_name[case.held.scan.provenance.source]


def save_model(session: Session) -> Path:
    """The adapted classifier as a file in the session's folder.

    Raises:
        ModelFileError: nothing has been adapted.
    """
    adapted = session.adapted
    if adapted is None:
        raise ModelFileError("There is no adapted model yet. Adapt first.")
    path = session.private("exports") / "model.safetensors"
    models.save_model(adapted.model, path)
    return path


def _read(files: dict[Path, str], report: Report) -> ReadResult:
    try:
        return read_scans(list(files), names=files, progress=report)
    finally:
        for path in files:
            path.unlink(missing_ok=True)


def _compare(session: Session) -> None:
    """Judge the labelled scans beside each other again, after some came or went."""
    examples = [Example(held.scan, tray.name, held.patient) for tray in session.trays for held in tray.scans]
    found = iter(set_findings(examples))
    for tray in session.trays:
        tray.scans = [replace(held, beside=next(found)) for held in tray.scans]


def _marked(result: ReadResult, region: Region | None) -> ReadResult:
    """The marked part of each scan; those that it does not fit are refused."""
    if region is None:
        return result
    scans: list[Scan] = []
    refused = list(result.refused)
    for scan in result.scans:
        try:
            scans.append(region.apply(scan))
        except ScanRefused as refusal:
            refused.append(refusal)
    return ReadResult(tuple(scans), tuple(refused))


def _hold(session: Session, recipe: Recipe, scan: Scan) -> HeldScan:
    # A scan whose file names no patient counts as a patient of its own; copies share it.
    scan = replace(scan, whole=pixel_digest(scan))  # not computed again from the mapped file
    identity = models.scan_key(scan)
    findings = scan.findings + recipe_findings(scan, recipe)
    return HeldScan(
        key=secrets.token_hex(6),
        scan=session.hold(scan),
        identity=identity,
        patient=scan.patient or identity,
        findings=findings,
        picture=thumbnail_uri(scan),
    )


def _fitting(
    adapted: Adapted, items: Sequence[T], scans: Sequence[Scan]
) -> tuple[list[T], list[ScanRefused]]:
    """Items whose scans are of the modality that the model was adapted to, and refusals of the others."""
    record = adapted.model.record
    judged = [models.other_modality(record, scan, scan.provenance.source) for scan in scans]
    kept = [item for item, refusal in zip(items, judged, strict=True) if refusal is None]
    return kept, [refusal for refusal in judged if refusal is not None]


def _copy_of(first: HeldScan, label: str, other: HeldScan, other_label: str) -> ScanRefused:
    name, twin = other.scan.provenance.source, first.scan.provenance.source
    if label == other_label:
        return ScanRefused(name, "It is an exact copy of another scan.", "It is counted once.", twin)
    fix = "Keep it in the right class and remove it from the other, or from both if the label is unknown."
    reason = f"It is an exact copy of a scan that is labelled “{label}”."
    return ScanRefused(name, reason, fix, twin)


def _cases(scans: Sequence[HeldScan], adapted: Adapted) -> list[Case]:
    record = adapted.model.record
    judged = [models.against_condition(record, held.scan) for held in scans]
    reading = adapted.model.classifier.predict(judged, neighbours=NEIGHBOURS)
    return [
        Case(held, one, slice_index=held.scan.pixels.shape[0] // 2, caution=_caution(held, adapted))
        for held, one in zip(scans, reading, strict=True)
    ]


def _caution(held: HeldScan, adapted: Adapted) -> str:
    seen = models.has_seen(adapted.model.record, Example(held.scan, "", held.patient))
    return f"This is no new case: {seen}. Read a patient it has not seen." if seen else ""
