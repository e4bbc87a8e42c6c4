"""An adapted model: the classifier, what its file says about it, and which scans it has seen.

`adapt` makes one from labelled scans, `save_model` and `load_model` keep it; the command line and the web
UI use nothing else. The file holds no pixels, names or patient numbers; the scans and patients it was
adapted on are kept as keyed hashes, so that this installation (and no other) can refuse to evaluate the
model on them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from workbench.adaptation.appraiser import appraiser_of, read_settings, restored
from workbench.adaptation.appraiser import asking as asking_classifier
from workbench.adaptation.outlook import Outlook
from workbench.adaptation.regions import described
from workbench.data.examples import Example, Support
from workbench.data.folders import scan_key as scan_key
from workbench.data.quality import usual_body_part
from workbench.errors import ModelFileError, ScanRefused
from workbench.imaging.modality import UNKNOWN_MODALITY, same_modality
from workbench.imaging.scan import Finding, Scan, Severity
from workbench.learners.auto import choice_of
from workbench.learners.base import Classifier
from workbench.learners.files import (
    ClassifierRecord,
    LoadedLearner,
    load_classifier,
    load_learner,
    read_appraiser_tensors,
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
        outlook: what can be said of it as a whole; None where nothing surrounds its readings (see
            `workbench.adaptation.appraising`).
    """

    classifier: Classifier
    record: ClassifierRecord
    support: Support | None = None
    outlook: Outlook | None = None

    def with_doubts(self, doubts: Sequence[str]) -> AdaptedModel:
        """The same model, whose file and reports say what was doubtful about its support."""
        return replace(self, record=replace(self.record, doubts=tuple(doubts)))


def load_weights(
    weights: str | Path = DEFAULT, method: str | None = None, pooled_slices: int = 0
) -> LoadedLearner:
    """Shipped weights by name, or a weights file, with what the file says about itself.

    Without a method, shipped weights adapt as `workbench.weights.DEFAULT_METHODS` says, and a file as it was
    trained. For `pooled_slices` see `load_learner`.

    Raises:
        ModelFileError: there are no such weights, the file is damaged, or the weights are transductive.
        PlanError: for an unknown method, or pooled slices of weights that read volumes already.
    """
    method = default_method(weights, method)
    loaded = load_learner(find_weights(weights, method), method, pooled_slices=pooled_slices)
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
        body_part=usual_body_part([e.scan for e in examples]),
        pooled_slices=loaded.pooled_slices,
        region=described([e.scan for e in examples]),
    )
    return AdaptedModel(classifier, record, support)


def save_model(model: AdaptedModel, path: Path) -> None:
    """Write an adapted model, whole or not at all."""
    appraiser = appraiser_of(model.classifier)
    around = (
        {"settings": asdict(appraiser.settings), "outlook": asdict(model.outlook)}
        if appraiser is not None and model.outlook is not None
        else {}
    )
    save_classifier(model.classifier, path, replace(model.record, appraisal=around))


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
    loaded = learner_of(record, path.name, weights)
    return _with_surroundings(AdaptedModel(load_classifier(path, loaded), record), path)


def learner_of(record: ClassifierRecord, name: str, weights: str | Path | None = None) -> LoadedLearner:
    """The learner that a model was adapted from, with its options.

    Args:
        record: of the model.
        name: of the model's file, for messages.
        weights: it was adapted from; found among the shipped ones where not given.

    Raises:
        ModelFileError: the weights are not among the shipped ones.
    """
    for place in _candidates(record, weights):
        if weights is not None or sha256_of(place) == record.learner_sha256:
            return load_learner(place, record.method, record.options, record.pooled_slices)
    raise ModelFileError(
        f"{name}: was adapted from the weights {record.learner!r} (SHA-256 "
        f"{record.learner_sha256[:12]}), which are not among those shipped. Name their file with --weights."
    )


def _with_surroundings(model: AdaptedModel, path: Path) -> AdaptedModel:
    """The model with what its file says surrounds its readings; a file of an earlier version says nothing."""
    around = model.record.appraisal
    if not around:
        return model
    settings = read_settings(around.get("settings"), path.name)
    try:
        outlook = TypeAdapter(Outlook).validate_python(around.get("outlook"))
    except ValidationError as error:
        raise ModelFileError(f"{path.name}: the description of its outlook is wrong. Adapt again.") from error
    appraiser = restored(model.classifier, settings, read_appraiser_tensors(path))
    return replace(model, classifier=model.classifier.with_appraiser(appraiser), outlook=outlook)


def asking(
    model: AdaptedModel, coverage: float | None = None, prevalence: Mapping[str, float] | None = None
) -> AdaptedModel:
    """The model asked for another coverage of its sets, or told the share of each class; None leaves it.

    Raises:
        WorkbenchError: see `workbench.adaptation.appraiser.asking`.
    """
    classifier = asking_classifier(model.classifier, coverage, prevalence)
    appraiser = appraiser_of(classifier)
    if appraiser is None or model.outlook is None:
        return replace(model, classifier=classifier)
    return replace(model, classifier=classifier, outlook=replace(model.outlook, promise=appraiser.promise))


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


def against_condition(record: ClassifierRecord, scan: Scan) -> Scan:
    """The scan, with a finding where its header names another body part than most of the support's do."""
    if not record.body_part or not scan.body_part or scan.body_part == record.body_part:
        return scan
    return scan.with_findings(
        Finding(
            "other-body-part",
            Severity.WARNING,
            f"Its header names another body part ({scan.body_part}) than the labelled scans' "
            f"({record.body_part}).",
            "Check that it belongs to this condition.",
        )
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
