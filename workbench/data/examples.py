"""Labelled scans, and the support set a learner adapts to.

`Example` is one labelled scan of one patient; `Support` is a set of them after the recipe, ready for
`Learner.adapt`. Made by the readers in `workbench.data.folders`, by the UI and by the evaluators.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.errors import SupportError
from workbench.imaging.modality import UNKNOWN_MODALITY, modality_group
from workbench.imaging.recipe import Recipe
from workbench.imaging.scan import Scan


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One labelled scan.

    Attributes:
        scan: the scan.
        label: class name.
        patient: pseudonymous key; scans of one patient share it.
    """

    scan: Scan
    label: str
    patient: str


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Embeddings computed once by `Learner.features`, used wherever images would be embedded again.

    Attributes:
        values: float32, first dimension n.
    """

    values: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Tensor) -> Features:
        return Features(self.values[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Support:
    """The labelled images a learner adapts to.

    Attributes:
        inputs: uint8 images ``(n, *Recipe.shape)`` made by the learner's recipe, or their cached
            `Features`.
        labels: int64 ``(n,)``, indices into `classes`.
        classes: class names, at least two, each with at least one image.
        patients: pseudonymous key of each image.
        names: what to call each image on the user's own screen; never stored.
    """

    inputs: Tensor | Features
    labels: Tensor
    classes: tuple[str, ...]
    patients: tuple[str, ...]
    names: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        n = len(self.labels)
        if len(self.inputs) != n or len(self.patients) != n or (self.names and len(self.names) != n):
            raise SupportError("The support's images, labels, patients and names differ in number.")
        if len(self.classes) < 2:
            only = f" ('{self.classes[0]}')" if self.classes else ""
            raise SupportError(f"There is one class only{only}. Add scans of at least one other class.")
        present = set(self.labels.tolist())
        empty = [name for index, name in enumerate(self.classes) if index not in present]
        if empty:
            raise SupportError(
                f"No readable scan in class {', '.join(map(repr, empty))}. Add scans or remove the class."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def way(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def shots(self) -> dict[str, int]:
        """Number of patients in each class: a shot is a patient."""
        pairs = set(zip(self.labels.tolist(), self.patients, strict=True))
        counts = Counter(label for label, _ in pairs)
        return {name: counts[index] for index, name in enumerate(self.classes)}

    @property
    def digest(self) -> str:
        """SHA-256 of inputs and labels: names a support set without revealing it."""
        values = self.inputs.values if isinstance(self.inputs, Features) else self.inputs
        sha = hashlib.sha256(values.contiguous().numpy().tobytes())
        sha.update(self.labels.numpy().tobytes())
        sha.update("\x00".join(self.classes).encode())
        return sha.hexdigest()

    def subset(self, rows: Tensor) -> Support:
        """The support reduced to some rows; classes stay as they are.

        Raises:
            SupportError: if a class would be left empty.
        """
        chosen = rows.tolist()
        return Support(
            inputs=self.inputs[rows],
            labels=self.labels[rows],
            classes=self.classes,
            patients=tuple(self.patients[i] for i in chosen),
            names=tuple(self.names[i] for i in chosen) if self.names else (),
        )

    @classmethod
    def from_examples(
        cls, examples: Sequence[Example], recipe: Recipe, classes: Sequence[str] | None = None
    ) -> Support:
        """Apply the recipe to labelled scans.

        Args:
            examples: at least one for each class.
            recipe: of the learner that will adapt.
            classes: their order; sorted names where not given.

        Raises:
            SupportError: one class only, an empty class, mixed modalities, or one patient's scan given
                twice under different labels.
        """
        if not examples:
            raise SupportError("There are no readable scans. Add labelled scans of at least two classes.")
        order = tuple(classes) if classes is not None else tuple(sorted({e.label for e in examples}))
        unknown = sorted({e.label for e in examples} - set(order))
        if unknown:
            raise SupportError(f"Label {unknown[0]!r} is not one of the classes {', '.join(order)}.")
        _refuse_mixed_modalities(examples)
        _refuse_contradictions(examples)
        return cls(
            inputs=recipe.batch([e.scan for e in examples]),
            labels=torch.tensor([order.index(e.label) for e in examples], dtype=torch.int64),
            classes=order,
            patients=tuple(e.patient for e in examples),
            names=tuple(e.scan.provenance.source for e in examples),
        )


def _refuse_mixed_modalities(examples: Sequence[Example]) -> None:
    by_modality: dict[str, Example] = {}
    for example in examples:
        by_modality.setdefault(example.scan.modality, example)
    known = {m: e for m, e in by_modality.items() if m != UNKNOWN_MODALITY}
    if len({modality_group(m) for m in known}) > 1:
        parts = ", ".join(f"{m} ({e.scan.provenance.source})" for m, e in sorted(known.items()))
        raise SupportError(f"The scans are of mixed modalities: {parts}. Keep one modality per condition.")


def _refuse_contradictions(examples: Sequence[Example]) -> None:
    first: dict[str, Example] = {}
    for example in examples:
        other = first.setdefault(example.scan.provenance.sha256, example)
        if other.label != example.label:
            raise SupportError(
                f"{example.scan.provenance.source} is labelled {example.label!r}, and the same scan "
                f"({other.scan.provenance.source}) is labelled {other.label!r}. Keep one of the two."
            )
