"""Learners and adapted classifiers on disk: safetensors with a JSON description, never a pickle.

A learner file holds the backbone and the method's own parameters. A classifier file holds only what
adaptation added (the head, and embeddings of the support for the nearest labelled scans) and names the
learner file it belongs to by SHA-256; it holds no pixels, no file names and no patient numbers (keyed
hashes of the support's patients and scans let the same installation refuse to evaluate on them).
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from workbench.backbones import BackboneSpec
from workbench.errors import ModelFileError, PlanError
from workbench.imaging.recipe import Recipe
from workbench.learners import learner_class
from workbench.learners.base import Classifier, Learner, Optimisation, SupportEmbeddings
from workbench.learners.options import parse, plain

FORMAT = 1
_KEY = "workbench"
_APPRAISER = "appraiser."
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class LearnerRecord:
    """Describes a learner file.

    Attributes:
        method: name of the learner.
        options: its settings as plain values.
        backbone, recipe: see there.
        title: what to call the weights, e.g. ``general``.
        plan: the training plan as YAML text, empty for untrained weights.
        conditions: names of the cohorts it was meta-trained on.
        origins: their origin keys; a cohort that shares one is not held out.
        licence: terms of the public encoder that the weights are, or were trained from; else empty.
        kind, format: of the file.
    """

    method: str
    options: dict[str, Any]
    backbone: BackboneSpec
    recipe: Recipe
    title: str = ""
    plan: str = ""
    conditions: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    licence: str = ""
    kind: str = "learner"
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class ClassifierRecord:
    """Describes a classifier file.

    Attributes:
        method: name of the learner.
        options: its settings.
        learner: title of the learner file it was adapted from.
        learner_sha256: of that file.
        classes: class names.
        shots: labelled patients per class, in the order of `classes`.
        support_sha256: digest of the support set.
        modality: of the support's scans.
        support_patients, support_scans: keyed hashes of the patients and scans of the support, by which the
            installation that adapted the model refuses to evaluate it on them; see
            `workbench.adaptation.model`.
        choice: one sentence on how the method was chosen, empty where it was given.
        body_part: that the headers of most of the support's scans name; empty where they name none.
        appraisal: what surrounds its readings, as plain values (see `workbench.adaptation.appraiser`); empty
            where nothing does, as in files of earlier versions.
        doubts: what was found doubtful about the support, in plain sentences that name no scan; see
            `workbench.adaptation.support_quality`.
        notice: what it may be used for.
        pooled_slices: how many slices of a volume its encoder of images reads, whose embeddings are averaged;
            0 where it reads what the weights file says. See `load_learner`.
        region: what was marked on the labelled scans, in words; empty where they were read whole.
        kind, format: of the file.
    """

    method: str
    options: dict[str, Any]
    learner: str
    learner_sha256: str
    classes: tuple[str, ...]
    shots: tuple[int, ...]
    support_sha256: str
    modality: str = "OT"
    support_patients: tuple[str, ...] = ()
    support_scans: tuple[str, ...] = ()
    choice: str = ""
    body_part: str = ""
    appraisal: dict[str, Any] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    notice: str = "For research use. Not for diagnostic use."
    pooled_slices: int = 0
    region: str = ""
    kind: str = "classifier"
    format: int = FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class LoadedLearner:
    """A learner with what its file says about it.

    Attributes:
        learner: in evaluation mode.
        record: of the file, with `method` and `options` as they were asked for.
        sha256: of the file.
        pooled_slices: as it was asked for; see `load_learner`.
    """

    learner: Learner
    record: LearnerRecord
    sha256: str
    pooled_slices: int = 0


def create(
    method: str,
    backbone: BackboneSpec,
    recipe: Recipe,
    optimisation: Optimisation | None = None,
    options: Mapping[str, Any] | None = None,
) -> Learner:
    """A freshly initialised learner by name.

    Raises:
        PlanError: for an unknown method or option.
    """
    kind = learner_class(method)
    parsed: object = parse(kind.options_type, options or {}, method)
    return kind(backbone, recipe, optimisation or Optimisation(), parsed)  # type: ignore[call-arg]


def save_learner(learner: Learner, path: Path, record: LearnerRecord, half: bool = False) -> None:
    """Write a learner file, whole or not at all.

    Args:
        learner: whose parameters and buffers are stored, but for layers used in meta-training only.
        path: to write.
        record: what the file says about itself.
        half: store as float16.
    """
    tensors = {
        name: value.half() if half and value.is_floating_point() else value
        for name, value in learner.state_dict().items()
        if not name.startswith("training_head.")
    }
    write_tensors(path, tensors, TypeAdapter(LearnerRecord).dump_python(record, mode="json"))


def describe(learner: Learner, title: str = "") -> LearnerRecord:
    """A record of an untrained or unsaved learner."""
    return LearnerRecord(
        method=learner.name,
        options=plain(learner.settings),
        backbone=learner.spec,
        recipe=learner.recipe,
        title=title,
    )


def load_learner(
    path: Path, method: str | None = None, options: Mapping[str, Any] | None = None, pooled_slices: int = 0
) -> LoadedLearner:
    """Read a learner file.

    Args:
        path: to read.
        method: another method on the file's backbone, instead of the file's own.
        options: settings that replace the stored (or default) ones.
        pooled_slices: have an encoder of images read this many evenly spaced slices of a volume and average
            their embeddings (`workbench.backbones.slicewise`), instead of the middle slice; 0 for what the
            file says.

    Raises:
        ModelFileError: if the file is damaged or of another kind.
        PlanError: for an unknown method or option, or pooled slices of weights that read volumes already.
    """
    tensors, meta = read_tensors(path, "learner")
    record = _validated(LearnerRecord, meta, path)
    if pooled_slices:
        record, tensors = _pooling(record, tensors, pooled_slices)
    chosen = method or record.method
    settings = {**(record.options if chosen == record.method else {}), **(options or {})}
    # The meta-training softmax is not stored; a learner loaded for adaptation has none.
    if chosen == record.method and "classes" in settings:
        settings["classes"] = 0
    learner = create(chosen, record.backbone, record.recipe, None, settings)
    wanted = learner.state_dict()
    if chosen != record.method:
        tensors = {n: t for n, t in tensors.items() if n.startswith("backbone.")}
        wanted = {n: t for n, t in wanted.items() if n.startswith("backbone.")}
    wrong = sorted(
        name
        for name in wanted.keys() | tensors.keys()
        if name not in wanted or name not in tensors or wanted[name].shape != tensors[name].shape
    )
    if wrong:
        raise ModelFileError(
            f"{path.name}: tensor {wrong[0]!r} does not fit {chosen} on {record.backbone.name}. "
            "The file is damaged or was made by another version; fetch it again."
        )
    learner.load_state_dict({n: t.to(wanted[n].dtype) for n, t in tensors.items()}, strict=False)
    learner.eval()
    return LoadedLearner(
        learner,
        replace(record, method=chosen, options=plain(learner.settings)),
        sha256_of(path),
        pooled_slices,
    )


def _pooling(
    record: LearnerRecord, tensors: Mapping[str, Tensor], slices: int
) -> tuple[LearnerRecord, dict[str, Tensor]]:
    """A file's description and tensors with the encoder of images inside `Slicewise`; nothing is added."""
    if record.recipe.volume != "middle":
        raise PlanError(f"The weights {record.title!r} read volumes already; leave out the number of slices.")
    try:
        recipe = replace(record.recipe, volume="slices", slices=slices)
    except ValueError as error:
        raise PlanError(f"Pooled slices: {error}.") from error
    inner = "backbone.trunk." if record.backbone.neck else "backbone."
    moved = {
        f"{inner}network.{name.removeprefix(inner)}" if name.startswith(inner) else name: value
        for name, value in tensors.items()
    }
    return replace(record, backbone=replace(record.backbone, slices="mean"), recipe=recipe), moved


def save_classifier(classifier: Classifier, path: Path, record: ClassifierRecord) -> None:
    """Write a classifier file, whole or not at all."""
    tensors = {f"head.{name}": value.contiguous() for name, value in classifier.head.tensors().items()}
    tensors["support.embeddings"] = classifier.support_embeddings.contiguous()
    tensors["support.labels"] = classifier.support_labels.contiguous()
    if classifier.appraiser is not None:
        tensors |= {f"{_APPRAISER}{name}": value for name, value in classifier.appraiser.tensors().items()}
    write_tensors(path, tensors, TypeAdapter(ClassifierRecord).dump_python(record, mode="json"))


def read_classifier_record(path: Path) -> ClassifierRecord:
    """What a classifier file says about itself.

    Raises:
        ModelFileError: if the file is damaged or of another kind.
    """
    _, meta = read_tensors(path, "classifier")
    return _validated(ClassifierRecord, meta, path)


def read_appraiser_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of what surrounds a classifier's readings; none where nothing does.

    Raises:
        ModelFileError: if the file is damaged or of another kind.
    """
    tensors, _ = read_tensors(path, "classifier")
    return {n.removeprefix(_APPRAISER): t for n, t in tensors.items() if n.startswith(_APPRAISER)}


def load_classifier(path: Path, loaded: LoadedLearner) -> Classifier:
    """Read a classifier file onto the learner it was adapted from.

    Raises:
        ModelFileError: if the file is damaged, of another kind, or made for other weights.
    """
    tensors, meta = read_tensors(path, "classifier")
    record = _validated(ClassifierRecord, meta, path)
    if record.learner_sha256 != loaded.sha256:
        raise ModelFileError(
            f"{path.name}: was adapted from other weights ({record.learner!r}, SHA-256 "
            f"{record.learner_sha256[:12]}) than the ones given ({loaded.sha256[:12]}). Pass those weights "
            "with --weights, or adapt again."
        )
    if record.method != loaded.learner.name:
        raise ModelFileError(
            f"{path.name}: is a {record.method} classifier, but the learner is {loaded.learner.name}."
        )
    head = loaded.learner.restore(
        {n.removeprefix("head."): t for n, t in tensors.items() if n.startswith("head.")}
    )
    embeddings = SupportEmbeddings(tensors["support.embeddings"])
    return Classifier(loaded.learner, head, record.classes, embeddings, tensors["support.labels"])


def write_tensors(path: Path, tensors: Mapping[str, Tensor], meta: dict[str, Any]) -> None:
    """Write safetensors with a JSON description atomically: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    try:
        stored = {
            name: value.detach().clone(memory_format=torch.contiguous_format)
            for name, value in tensors.items()
        }
        save_file(stored, temporary, metadata={_KEY: json.dumps(meta)})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a file written by `write_tensors`.

    Raises:
        ModelFileError: if it is missing, damaged, or not of the kind asked for.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError as error:
        raise ModelFileError(f"{path.name}: there is no such file.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(
            f"{path.name}: is damaged or not a safetensors file. Fetch or make it again."
        ) from error
    if not isinstance(meta, dict) or meta.get("kind") != kind:
        raise ModelFileError(f"{path.name}: is not a {kind} file of the workbench.")
    if meta.get("format") != FORMAT:
        raise ModelFileError(
            f"{path.name}: has format {meta.get('format')}, this version reads {FORMAT}. Make the file again."
        )
    return tensors, meta


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _validated(kind: type[R], meta: dict[str, Any], path: Path) -> R:
    try:
        return TypeAdapter(kind).validate_python(meta)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ModelFileError(f"{path.name}: field {where!r} of its description is wrong.") from error
