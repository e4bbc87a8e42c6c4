"""A training plan: one file that describes a meta-training run completely.

Read by `workbench train`, stored beside the checkpoints and inside the weights it makes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from workbench.backbones import BackboneSpec
from workbench.data.augment import Augmentation
from workbench.data.episodes import EpisodeSpec
from workbench.errors import PlanError
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Optimisation


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MethodPlan(_Part):
    """Which learner, with which settings.

    Attributes:
        name: of the learner, e.g. ``prototypical``.
        options: its settings; see the method's options class.
    """

    name: str
    options: dict[str, Any] = {}


class ProceduralPlan(_Part):
    """Drawn conditions that widen the distribution of tasks.

    Attributes:
        images: how many images to draw; 0 for none.
        seed: of the drawing.
    """

    images: Annotated[int, Field(ge=0)] = 0
    seed: int = 0


class DataPlan(_Part):
    """Which conditions train, validate and test. Conditions, not images, are split.

    Attributes:
        meta_train, meta_validation, meta_test: names of dataset cards. Sets that share an origin must
            stand on the same side.
        procedural: drawn conditions added to meta-training.
        limit: at most so many images per class are used in meta-training; 0 for all.
        checksums: of the decoded cohorts, filled in when the run starts.
    """

    meta_train: tuple[str, ...] = ()
    meta_validation: tuple[str, ...] = ()
    meta_test: tuple[str, ...] = ()
    procedural: ProceduralPlan = ProceduralPlan()
    limit: Annotated[int, Field(ge=0)] = 0
    checksums: dict[str, str] = {}

    @model_validator(mode="after")
    def _disjoint(self) -> DataPlan:
        sides = (set(self.meta_train), set(self.meta_validation), set(self.meta_test))
        for first, second in ((0, 1), (0, 2), (1, 2)):
            both = sorted(sides[first] & sides[second])
            if both:
                raise ValueError(f"condition {both[0]!r} stands on two sides of the split")
        if not self.meta_train and not self.procedural.images:
            raise ValueError("meta_train names no condition")
        return self


class ValidationPlan(_Part):
    """Meta-validation: episodes on held-out conditions at every checkpoint.

    Attributes:
        episodes: per condition.
        shots, queries: of each episode; all classes of the condition are used.
        limit: at most so many images per class are embedded.
        patience: stop after so many checkpoints without improvement; 0 never stops early.
    """

    episodes: Annotated[int, Field(ge=1)] = 50
    shots: Annotated[int, Field(ge=1)] = 5
    queries: Annotated[int, Field(ge=1)] = 10
    limit: Annotated[int, Field(ge=10)] = 60
    patience: Annotated[int, Field(ge=0)] = 0


class Plan(_Part):
    """See the module's description.

    Attributes:
        name: of the run and of the weights it makes.
        seed: decides initialisation, episodes and augmentation.
        method: see `MethodPlan`.
        backbone, recipe: sizes and channels must agree.
        start: name or file of weights whose backbone training starts from; empty for a fresh one.
        data: see `DataPlan`.
        episodes: how training episodes are drawn (for learners trained on episodes).
        batch: episodes per step, or images per step for learners trained on labelled images.
        steps: of the outer loop.
        checkpoint_every: steps between checkpoints; a killed run loses no more than these.
        optimisation: of the outer loop; its `steps` follows the plan's.
        augmentation: of training images; None for none.
        precision: ``auto`` takes bfloat16 where the processor computes it natively.
        validation: see `ValidationPlan`.
    """

    name: str = Field(pattern=r"^[\w][\w.\-]*$")
    seed: int = 0
    method: MethodPlan
    backbone: BackboneSpec = BackboneSpec()
    recipe: Recipe = Recipe()
    start: str = ""
    data: DataPlan
    episodes: EpisodeSpec = EpisodeSpec()
    batch: Annotated[int, Field(ge=1)] = 8
    steps: Annotated[int, Field(ge=1)] = 1000
    checkpoint_every: Annotated[int, Field(ge=1)] = 100
    optimisation: Optimisation = Optimisation()
    augmentation: Augmentation | None = Augmentation()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    validation: ValidationPlan = ValidationPlan()

    @field_validator("backbone", "recipe", "episodes", "optimisation", "augmentation", mode="before")
    @classmethod
    def _known_fields(cls, value: Any, info: Any) -> Any:
        kind = _DATACLASSES[info.field_name]
        if isinstance(value, dict):
            unknown = sorted(set(value) - set(kind.__dataclass_fields__))
            if unknown:
                raise ValueError(
                    f"unknown field {unknown[0]!r}; known: {', '.join(kind.__dataclass_fields__)}"
                )
        return value

    @model_validator(mode="after")
    def _agree(self) -> Plan:
        if (self.backbone.size, self.backbone.channels) != (self.recipe.size, self.recipe.channels):
            raise ValueError("backbone and recipe must agree in size and channels")
        if self.backbone.neck and self.augmentation is not None:
            raise ValueError(
                "a backbone with a neck trains on embeddings computed once; set augmentation to null"
            )
        return self


_DATACLASSES: dict[str, Any] = {
    "backbone": BackboneSpec,
    "recipe": Recipe,
    "episodes": EpisodeSpec,
    "optimisation": Optimisation,
    "augmentation": Augmentation,
}


def read_plan(path: Path) -> Plan:
    """A plan from a YAML file.

    Raises:
        PlanError: naming the file and the field.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PlanError(f"{path.name}: there is no such file.") from error
    except yaml.YAMLError as error:
        raise PlanError(f"{path.name}: is not valid YAML: {error}") from error
    return parse_plan(values, path.name)


def parse_plan(values: object, source: str) -> Plan:
    """A plan from plain values; `source` names them in errors.

    Raises:
        PlanError: naming the source and the field.
    """
    try:
        return Plan.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise PlanError(f"{source}: {where}: {first['msg']}.") from error


def write_plan(plan: Plan) -> str:
    """A plan as YAML, complete with its defaults."""
    return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
