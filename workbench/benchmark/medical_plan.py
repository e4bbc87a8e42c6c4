"""The plan of the medical benchmark (``medical.yaml``), and the training plans that follow from it."""

from __future__ import annotations

from enum import Enum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.benchmark.results import Key, digest
from workbench.data.episodes import EpisodeSpec
from workbench.errors import PlanError
from workbench.imaging.recipe import Recipe
from workbench.training.plan import Plan, parse_plan


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Base(Enum):
    """What a row stands on; see the comment in ``medical.yaml``."""

    NECK = "neck"
    FRESH_NECK = "fresh-neck"
    ENCODER = "encoder"
    RAW_PIXELS = "raw-pixels"
    RANDOM = "random-encoder"
    CLASSICAL = "classical"
    UNTRAINED = "untrained-network"

    @property
    def of_fold(self) -> bool:
        """Whether it rests on the fold's encoder."""
        return self in (Base.NECK, Base.FRESH_NECK, Base.ENCODER)


class NetworkPlan(_Part):
    """A network that has seen nothing.

    Attributes:
        name, width: see `workbench.backbones.BackboneSpec`.
    """

    name: str = "conv4"
    width: int = 32


class RowPlan(_Part):
    """One method in the table.

    Attributes:
        label: what it is called there.
        method, options: see `workbench.training.plan.MethodPlan`.
        base: see `Base`.
        backbone: name and width of the network of a row on ``untrained-network``.
        episodes: fewer than everybody, where an adaptation takes long; 0 for as many.
        steps: of finishing, fewer than everybody, where a step takes long; 0 for as many.
        plotted: whether it has a line in the plot.
        left_out: why it is not computed, said in its place; empty if it is.
    """

    label: str
    method: str
    options: dict[str, Any] = {}
    base: Base
    backbone: NetworkPlan = NetworkPlan()
    episodes: Annotated[int, Field(ge=0)] = 0
    steps: Annotated[int, Field(ge=0)] = 0
    plotted: bool = False
    left_out: str = ""


class EncoderPlan(_Part):
    """How the encoder of a fold is trained.

    Attributes:
        also: datasets trained on beside the conditions of the other folds.
        plan: of `workbench train`, without its name and the split.
    """

    also: tuple[str, ...] = ()
    plan: dict[str, Any]


class FinishingPlan(_Part):
    """How every meta-learned row is trained on a fold's encoder.

    Attributes:
        without: conditions that cannot give such episodes.
        plan: of `workbench train`, without its name, method, start and the split.
    """

    without: tuple[str, ...] = ()
    plan: dict[str, Any]


class EvaluationPlan(_Part):
    """How rows are measured.

    Attributes:
        shots: support patients per class.
        episodes: of each cell.
        queries: images per class that an episode reads, at most.
        seed: of the episodes, the same for every row.
    """

    shots: tuple[int, ...]
    episodes: Annotated[int, Field(ge=1)]
    queries: Annotated[int, Field(ge=1)]
    seed: int = 0


class MedicalPlan(_Part):
    """The whole benchmark.

    Attributes:
        name: of the runs.
        folds: conditions that are held out together.
        encoder, finishing, evaluation, rows: see there.
        chosen_on: conditions on which settings were chosen before; the page says so.
        looks: what was seen of these conditions, and decided after it, before the figures were made.
        reference: label of the row that all others are compared with.
    """

    name: str
    folds: tuple[tuple[str, ...], ...]
    encoder: EncoderPlan
    finishing: FinishingPlan
    evaluation: EvaluationPlan
    rows: tuple[RowPlan, ...]
    reference: str
    chosen_on: tuple[str, ...] = ()
    looks: str = ""

    @model_validator(mode="after")
    def _whole(self) -> MedicalPlan:
        labels = [row.label for row in self.rows]
        for what, names in (("condition", self.conditions), ("row", labels)):
            if twice := {name for name in names if list(names).count(name) > 1}:
                raise ValueError(f"{what} {min(twice)!r} occurs twice")
        if self.reference not in labels:
            raise ValueError(f"reference: there is no row {self.reference!r}")
        return self

    @property
    def conditions(self) -> tuple[str, ...]:
        """All conditions, fold by fold."""
        return tuple(name for fold in self.folds for name in fold)

    def fold_of(self, condition: str) -> int:
        """Number of the fold that holds a condition out, from 1."""
        return next(i for i, names in enumerate(self.folds, start=1) if condition in names)

    def row(self, label: str) -> RowPlan:
        """The row of that label.

        Raises:
            PlanError: listing the labels.
        """
        for row in self.rows:
            if row.label == label:
                return row
        raise PlanError(f"There is no row {label!r}. Known: {', '.join(row.label for row in self.rows)}.")

    def encoder_plan(self, fold: int) -> Plan:
        """Training plan of a fold's encoder; folds are numbered from 1."""
        given = self.encoder.plan
        data = {
            **given.get("data", {}),
            "meta_train": [*self.others(fold), *self.encoder.also],
            "meta_test": list(self.folds[fold - 1]),
        }
        name = f"{self.name}-fold{fold}"
        return parse_plan({**given, "name": name, "data": data}, f"{self.name}: encoder")

    def finishing_plan(self, row: RowPlan, fold: int, start: str) -> Plan:
        """Training plan of a meta-learned row on a fold.

        Args:
            row: which.
            fold: from 1.
            start: title of the encoder's weights.
        """
        given = self.finishing.plan
        data = {
            **given.get("data", {}),
            "meta_train": [n for n in self.others(fold) if n not in self.finishing.without],
            "meta_test": list(self.folds[fold - 1]),
        }
        values = {
            **given,
            "name": f"{self.name}-fold{fold}-{Key(row.label, '', 0).row_slug}",
            "method": {"name": row.method, "options": row.options},
            "start": start,
            "data": data,
        }
        if row.steps:
            values["steps"] = row.steps
        return parse_plan(values, f"{self.name}: {row.label}")

    def episodes_of(self, row: RowPlan) -> int:
        """Episodes that a complete cell of a row has."""
        return row.episodes or self.evaluation.episodes

    def spec(self, way: int, shot: int) -> EpisodeSpec:
        """How test episodes are drawn."""
        return EpisodeSpec(ways=way, shots=shot, queries=self.evaluation.queries, seed=self.evaluation.seed)

    def others(self, fold: int) -> tuple[str, ...]:
        """Conditions of the other folds."""
        return tuple(n for i, names in enumerate(self.folds, start=1) if i != fold for n in names)

    def decides(self, row: RowPlan, condition: str, shot: int) -> str:
        """Digest of the part of the plan that decides a cell.

        Of what is written in the plan: a setting that the program gains with a default changes nothing.
        """
        parts: list[object] = [row.method, row.options, row.base.value, shot, condition]
        parts += [self.evaluation.queries, self.evaluation.seed, self.encoder.plan["recipe"]]
        if row.base.of_fold:
            parts += [self.encoder.model_dump(), self.others(self.fold_of(condition))]
        if row.base is Base.NECK:
            parts += [self.finishing.model_dump(), *self._fewer(row)]
        elif row.base is Base.FRESH_NECK:
            parts.append(self.finishing.plan["backbone"])
        elif row.base is Base.UNTRAINED:
            parts.append(row.backbone.model_dump())
        elif row.base is Base.RANDOM:
            parts.append(self.encoder.plan["backbone"])
        return digest(parts)

    def finishes(self, row: RowPlan, fold: int) -> str:
        """Digest of the part of the plan that decides a meta-learned row's weights, but the encoder's."""
        parts = [row.method, row.options, self.finishing.model_dump(), self.others(fold)]
        return digest([*parts, *self._fewer(row)])

    @staticmethod
    def _fewer(row: RowPlan) -> tuple[int, ...]:
        """Nothing where a row has everybody's steps, so that what was measured so far still counts."""
        return (row.steps,) if row.steps else ()

    @property
    def recipe(self) -> Recipe:
        """Of the images."""
        return self.encoder_plan(1).recipe


def packaged_plan() -> MedicalPlan:
    """The plan that comes with the workbench."""
    return parse_medical(
        yaml.safe_load(resources.files(__package__).joinpath("medical.yaml").read_text(encoding="utf-8")),
        "medical.yaml",
    )


def read_medical(path: Path) -> MedicalPlan:
    """A benchmark plan from a YAML file.

    Raises:
        PlanError: naming the file and the field.
    """
    try:
        return parse_medical(yaml.safe_load(path.read_text(encoding="utf-8")), path.name)
    except yaml.YAMLError as error:
        raise PlanError(f"{path.name}: is not valid YAML: {error}") from error


def parse_medical(values: object, source: str) -> MedicalPlan:
    """A benchmark plan from plain values; the training plans that follow from it are checked, too.

    Raises:
        PlanError: naming the source and the field.
    """
    try:
        plan = MedicalPlan.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise PlanError(f"{source}: {where}: {first['msg']}.") from error
    for fold in range(1, len(plan.folds) + 1):
        plan.encoder_plan(fold)
        for row in plan.rows:
            if row.base is Base.NECK:
                plan.finishing_plan(row, fold, "")
    return plan
