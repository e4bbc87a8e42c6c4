"""An adapted model: the classifier, what its file says about it, and which scans it has seen.

`adapt` makes one from labelled scans, `save_model` and `load_model` keep it; the command line and the web
UI use nothing else. The file holds no pixels, names or patient numbers; the scans and patients it was
adapted on are kept as keyed hashes, so that this installation (and no other) can refuse to evaluate the
model on them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.data.examples import Example, Support
from workbench.data.folders import scan_key as scan_key
from workbench.errors import ModelFileError, ScanRefused
from workbench.imaging.modality import UNKNOWN_MODALITY, same_modality
from workbench.imaging.scan import Scan
from workbench.learners.auto import choice_of
from workbench.learners.base import Classifier
from workbench.learners.files import (
    ClassifierRecord,
    LoadedLearner,
    load_classifier,
    load_learner,
    read_classifier_record,
    save_classifier,
    sha256_of,
)
from workbench.learners.options import plain
from workbench.weights import DEFAULT, default_method, find_weights, shipped


@dataclass(frozen=True, slots=True, eq=False)
class AdaptedModel:
    """A classifier with its record.

    Attributes:
        classifier: reads scans.
        record: what the file says, or will say, about it.
        support: the labelled scans it was adapted on; None for a model read from a file.
    """

    classifier: Classifier
    record: ClassifierRecord
    support: Support | None = None

    def with_doubts(self, doubts: Sequence[str]) -> AdaptedModel:
        """The same model, whose file and reports say what was doubtful about its support."""
        return replace(self, record=replace(self.record, doubts=tuple(doubts)))


def load_weights(weights: str | Path = DEFAULT, method: str | None = None) -> LoadedLearner:
    """Shipped weights by name, or a weights file, with what the file says about itself.

    Without a method, shipped weights adapt as `workbench.weights.DEFAULT_METHODS` says, and a file as it was
    trained.

    Raises:
        ModelFileError: there are no such weights, the file is damaged, or the weights are transductive.
        PlanError: for an unknown method.
    """
    method = default_method(weights, method)
    loaded = load_learner(find_weights(weights, method), method)
    if loaded.learner.is_transductive:
        raise ModelFileError(
            f"{weights}: reads each scan in the light of the others given with it, which is for benchmarks "
            "only. Use weights whose normaliser is not 'transductive'."
        )
    return loaded


def adapt(
    loaded: LoadedLearner, examples: Sequence[Example], classes: Sequence[str] | None = None
) -> AdaptedModel:
    """Adapt a learner to labelled scans.

    Args:
        loaded: see `load_weights`.
        examples: at least one for each class.
        classes: their order; sorted names where not given.

    Raises:
        SupportError: one class only, an empty class, mixed modalities, or contradictory labels.
    """
    learner = loaded.learner
    support = Support.from_examples(examples, learner.recipe, classes)
    modalities = {e.scan.modality for e in examples} - {UNKNOWN_MODALITY}
    classifier = learner.adapt(support)
    choice = choice_of(classifier)
    record = ClassifierRecord(
        method=learner.name,
        options=plain(learner.settings),
        learner=loaded.record.title,
        learner_sha256=loaded.sha256,
        classes=support.classes,
        shots=tuple(support.shots[name] for name in support.classes),
        support_sha256=support.digest,
        modality=min(modalities, default=UNKNOWN_MODALITY),
        support_patients=tuple(sorted(_patients(examples))),
        support_scans=tuple(sorted({scan_key(e.scan) for e in examples})),
        choice=choice.why if choice is not None else "",
    )
    return AdaptedModel(classifier, record, support)


def save_model(model: AdaptedModel, path: Path) -> None:
    """Write an adapted model, whole or not at all."""
    save_classifier(model.classifier, path, model.record)


def load_model(path: Path, weights: str | Path | None = None) -> AdaptedModel:
    """Read an adapted model.

    Args:
        path: written by `save_model`.
        weights: it was adapted from; found among the shipped ones where not given.

    Raises:
        ModelFileError: the file is damaged or of another kind, or its weights are not the ones given or are
            not among the shipped ones.
    """
    record = read_classifier_record(path)
    for place in _candidates(record, weights):
        if weights is not None or sha256_of(place) == record.learner_sha256:
            loaded = load_learner(place, record.method, record.options)
            return AdaptedModel(load_classifier(path, loaded), record)
    raise ModelFileError(
        f"{path.name}: was adapted from the weights {record.learner!r} (SHA-256 "
        f"{record.learner_sha256[:12]}), which are not among those shipped. Name their file with --weights."
    )


def has_seen(record: ClassifierRecord, example: Example) -> str | None:
    """Why a labelled scan may not be used to evaluate a model, or None where it may."""
    if scan_key(example.scan) in record.support_scans:
        return "the model was adapted on this scan"
    if {example.patient, example.scan.patient} & set(record.support_patients):
        return "the model was adapted on another scan of this patient"
    return None


def other_modality(record: ClassifierRecord, scan: Scan, name: str) -> ScanRefused | None:
    """The refusal of a scan whose modality is known and not the one the model was adapted to."""
    if same_modality(record.modality, scan.modality):
        return None
    return ScanRefused(
        name,
        f"Its modality is {scan.modality}; the model was adapted to {record.modality} scans.",
        "Read it with a model adapted to its modality.",
    )


def _patients(examples: Sequence[Example]) -> set[str]:
    """Keys of the support's patients; a DICOM key as well, unless many patients share it (``ANONYMOUS``)."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for example in examples:
        if example.scan.patient is not None:
            owners[example.scan.patient].add(example.patient)
    in_files = {key for key, patients in owners.items() if len(patients) == 1}
    return {e.patient for e in examples} | in_files


def _candidates(record: ClassifierRecord, weights: str | Path | None) -> list[Path]:
    if weights is not None:
        return [find_weights(weights, record.method)]
    return [find_weights(name) for name in shipped()]
