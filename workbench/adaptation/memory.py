"""A memory of conditions: what is needed to adapt to each again, and nothing else.

A scan is remembered as its embedding by the meta-trained encoder, with its label, the keyed hashes of scan
and patient, and the population it is from; no pixels, names or numbers. Classes and conditions can be added
without the scans of the old ones, removed, and every change undone. Methods that read frozen embeddings
adapt to a remembered condition exactly as they would to its scans, so that adding one leaves all others as
they were, bit for bit. Called by `workbench continual`.

The memory is a value: every change makes a new one. In the file, blocks of embeddings are stored once, and
each version lists those it consists of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from workbench.adaptation.model import AdaptedModel, scan_key
from workbench.data.examples import Example, Features, Support
from workbench.errors import ModelFileError, SupportError
from workbench.imaging.modality import UNKNOWN_MODALITY, modality_group
from workbench.learners.auto import choice_of
from workbench.learners.base import Learner
from workbench.learners.files import FORMAT, ClassifierRecord, LoadedLearner, read_tensors, write_tensors
from workbench.learners.options import plain

KIND = "condition-memory"
FIRST = "first"
"""Name of a condition's population where none is given."""


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """What a block says about itself; see `Block`."""

    condition: str
    label: str
    population: str
    modality: str
    patients: tuple[str, ...]
    scans: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Scans of one class of one condition that were added together; never changed.

    Attributes:
        record: condition, class, population, DICOM modality, and the keyed hashes of patients and scans.
        embeddings: float32 ``(n, d)``.
    """

    record: BlockRecord
    embeddings: Tensor


@dataclass(frozen=True, slots=True)
class Version:
    """One state of a memory.

    Attributes:
        said: what was done to reach it, in words.
        blocks: numbers of the blocks it consists of.
    """

    said: str
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """What a memory's file says about itself; learner and learner_sha256 name the weights that embedded."""

    learner: str
    learner_sha256: str
    blocks: tuple[BlockRecord, ...]
    versions: tuple[Version, ...]
    notice: str = "For research use. Not for diagnostic use."
    kind: str = KIND
    format: int = FORMAT


@dataclass(frozen=True, slots=True, eq=False)
class ConditionMemory:
    """See the module's description.

    Attributes:
        learner, learner_sha256: title and digest of the weights that embedded.
        blocks: of all versions.
        versions: oldest first; the last is the present one.
    """

    learner: str
    learner_sha256: str
    blocks: tuple[Block, ...] = ()
    versions: tuple[Version, ...] = (Version("Empty."),)

    @property
    def present(self) -> tuple[Block, ...]:
        """Blocks of the present version."""
        return tuple(self.blocks[number] for number in self.versions[-1].blocks)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names, in the order in which they were added."""
        return tuple(dict.fromkeys(block.record.condition for block in self.present))

    def classes(self, condition: str) -> tuple[str, ...]:
        """Class names of a condition, in the order in which they were added."""
        return tuple(dict.fromkeys(block.record.label for block in self._of(condition)))

    def counts(self, condition: str) -> dict[str, int]:
        """Scans of each class."""
        found = dict.fromkeys(self.classes(condition), 0)
        for block in self._of(condition):
            found[block.record.label] += len(block.record.scans)
        return found

    def populations(self, condition: str) -> tuple[str, ...]:
        """Populations of a condition, in the order in which they were added."""
        return tuple(dict.fromkeys(block.record.population for block in self._of(condition)))

    def population_of(self, condition: str) -> tuple[str, ...]:
        """Population of each scan of `support`."""
        return tuple(b.record.population for b in self._of(condition) for _ in b.record.scans)

    def support(self, condition: str) -> Support:
        """What a learner adapts to.

        Raises:
            SupportError: there is no such condition, or it has one class only.
        """
        blocks, classes = self._of(condition), self.classes(condition)
        labels = [classes.index(b.record.label) for b in blocks for _ in b.record.scans]
        return Support(
            Features(torch.cat([block.embeddings for block in blocks])),
            torch.tensor(labels, dtype=torch.int64),
            classes,
            tuple(patient for block in blocks for patient in block.record.patients),
        )

    def remove(self, condition: str, label: str | None = None) -> ConditionMemory:
        """Without a condition, or one of its classes.

        Raises:
            SupportError: there is no such condition or class.
        """
        gone = [b for b in self._of(condition) if label is None or b.record.label == label]
        if not gone:
            raise SupportError(f"Condition {condition!r} has no class {label!r}.")
        what = f"{condition!r}" if label is None else f"class {label!r} of {condition!r}"
        kept = tuple(n for n in self.versions[-1].blocks if self.blocks[n] not in gone)
        return replace(self, versions=(*self.versions, Version(f"Removed {what}.", kept)))

    def undo(self) -> ConditionMemory:
        """The version before; what was added since is gone from the file as well.

        Raises:
            SupportError: there is no version before.
        """
        if len(self.versions) < 2:
            raise SupportError("There is nothing to undo.")
        return replace(self, versions=self.versions[:-1])._pruned()

    def without_history(self) -> ConditionMemory:
        """The present version alone: what was removed is gone from the file, and nothing can be undone."""
        return replace(self, versions=self.versions[-1:])._pruned()

    def _pruned(self) -> ConditionMemory:
        used = sorted({number for version in self.versions for number in version.blocks})
        place = {old: new for new, old in enumerate(used)}
        versions = tuple(replace(v, blocks=tuple(place[n] for n in v.blocks)) for v in self.versions)
        return replace(self, blocks=tuple(self.blocks[n] for n in used), versions=versions)

    def _of(self, condition: str) -> tuple[Block, ...]:
        found = tuple(block for block in self.present if block.record.condition == condition)
        if not found:
            known = ", ".join(map(repr, self.conditions)) or "none"
            raise SupportError(f"There is no condition {condition!r}. Known: {known}.")
        return found


def remember(
    memory: ConditionMemory | None,
    loaded: LoadedLearner,
    condition: str,
    examples: Sequence[Example],
    population: str = FIRST,
) -> ConditionMemory:
    """Add labelled scans: of a new condition, or further classes, patients or a population of a known one.

    Args:
        memory: to add to; None for a new one.
        loaded: weights that embed; the same for the whole memory.
        condition: its name.
        examples: labelled scans; those remembered already are left out.
        population: site or scanner the scans are from.

    Raises:
        SupportError: the memory was made with other weights, the method reads no frozen embeddings, a scan is
            remembered under another label, modalities are mixed, or nothing is new.
    """
    known = memory or ConditionMemory(loaded.record.title, loaded.sha256)
    check_learner(known, loaded)
    mine = [b for b in known.present if b.record.condition == condition]
    labels = {scan: block.record.label for block in mine for scan in block.record.scans}
    fresh: list[tuple[str, Example]] = []
    for example in examples:
        key = scan_key(example.scan)
        if key in labels and labels[key] != example.label:
            raise SupportError(
                f"{example.scan.provenance.source} is labelled {example.label!r}; it is remembered as "
                f"{labels[key]!r}. Remove that class or leave the scan out."
            )
        if key not in labels:
            labels[key] = example.label
            fresh.append((key, example))
    if not fresh:
        raise SupportError(f"Every scan given for {condition!r} is remembered already.")
    modalities = [b.record.modality for b in mine] + [e.scan.modality for _, e in fresh]
    modality = _one_modality(modalities, condition)
    added = []
    for label in dict.fromkeys(example.label for _, example in fresh):
        chosen = [(key, example) for key, example in fresh if example.label == label]
        images = loaded.learner.recipe.batch([example.scan for _, example in chosen])
        record = BlockRecord(
            condition,
            label,
            population,
            modality,
            tuple(e.patient for _, e in chosen),
            tuple(k for k, _ in chosen),
        )
        added.append(Block(record, loaded.learner.features(images)))
    said = f"Added {len(fresh)} scans of {', '.join(repr(b.record.label) for b in added)} to {condition!r}."
    numbers = range(len(known.blocks), len(known.blocks) + len(added))
    version = Version(said, (*known.versions[-1].blocks, *numbers))
    return replace(known, blocks=(*known.blocks, *added), versions=(*known.versions, version))


def recall(memory: ConditionMemory, condition: str, loaded: LoadedLearner) -> AdaptedModel:
    """Adapt to a remembered condition; the model is like one adapted to its scans.

    Raises:
        SupportError: there is no such condition, it has one class only, or the learner does not fit.
    """
    check_learner(memory, loaded)
    support = memory.support(condition)
    blocks = [block.record for block in memory.present if block.record.condition == condition]
    classifier = loaded.learner.adapt(support)
    choice = choice_of(classifier)
    record = ClassifierRecord(
        method=loaded.learner.name,
        options=plain(loaded.learner.settings),
        learner=loaded.record.title,
        learner_sha256=loaded.sha256,
        classes=support.classes,
        shots=tuple(support.shots[name] for name in support.classes),
        support_sha256=support.digest,
        modality=_one_modality([b.modality for b in blocks], condition),
        support_patients=tuple(sorted({patient for b in blocks for patient in b.patients})),
        support_scans=tuple(sorted({scan for b in blocks for scan in b.scans})),
        choice=choice.why if choice is not None else "",
    )
    return AdaptedModel(classifier, record, support)


def check_learner(memory: ConditionMemory, loaded: LoadedLearner) -> None:
    """Whether a learner reads what a memory holds.

    Raises:
        SupportError: other weights, or a method that reads images.
    """
    if loaded.sha256 != memory.learner_sha256:
        raise SupportError(
            f"The memory was made with the weights {memory.learner!r} (SHA-256 "
            f"{memory.learner_sha256[:12]}), not with those given ({loaded.sha256[:12]}). Name them with "
            "--weights."
        )
    if _makes_features(loaded.learner) is not Learner.features:
        raise SupportError(
            f"{loaded.learner.name} does not read frozen embeddings, which are all that is remembered. "
            "Choose another method, such as auto or prototypical."
        )


def save_memory(memory: ConditionMemory, path: Path) -> None:
    """Write a memory, whole or not at all."""
    record = MemoryRecord(
        memory.learner, memory.learner_sha256, tuple(b.record for b in memory.blocks), memory.versions
    )
    tensors = {f"block.{number}": block.embeddings for number, block in enumerate(memory.blocks)}
    # safetensors does not hold nothing at all.
    tensors["version"] = torch.tensor([len(memory.versions)])
    write_tensors(path, tensors, TypeAdapter(MemoryRecord).dump_python(record, mode="json"))


def load_memory(path: Path) -> ConditionMemory:
    """Read a memory.

    Raises:
        ModelFileError: the file is missing, damaged or of another kind.
    """
    tensors, meta = read_tensors(path, KIND)
    try:
        record: MemoryRecord = TypeAdapter(MemoryRecord).validate_python(meta)
        blocks = tuple(Block(b, tensors[f"block.{n}"]) for n, b in enumerate(record.blocks))
        fits = all(len(b.embeddings) == len(b.record.scans) == len(b.record.patients) for b in blocks)
        named = [number for version in record.versions for number in version.blocks]
        fits = fits and bool(record.versions) and all(0 <= number < len(blocks) for number in named)
    except (ValidationError, KeyError) as error:
        raise ModelFileError(f"{path.name}: its description is wrong. Use a copy of it.") from error
    if not fits:
        raise ModelFileError(f"{path.name}: its blocks do not fit its description. Use a copy of it.")
    return ConditionMemory(record.learner, record.learner_sha256, blocks, record.versions)


def _makes_features(learner: Learner) -> Callable[..., Any]:
    return type(learner).features


def _one_modality(found: Sequence[str], condition: str) -> str:
    known = sorted(set(found) - {UNKNOWN_MODALITY})
    if len({modality_group(code) for code in known}) > 1:
        listed = ", ".join(known)
        raise SupportError(f"The scans of {condition!r} are of mixed modalities: {listed}. Keep one.")
    return known[0] if known else UNKNOWN_MODALITY
