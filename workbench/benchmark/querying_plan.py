"""The plan of the querying benchmark (``querying.yaml``)."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.errors import PlanError
from workbench.querying.simulation import TaskSpec


class QueryingPlan(BaseModel):
    """The whole benchmark.

    Attributes:
        name: of the run.
        weights, method: the encoder, and what adapts on it after every batch of labels.
        conditions: held out from encoder and policy.
        strategies: see `workbench.querying.strategies`.
        baseline: the strategy that all are compared with.
        batches: labels asked for at a time.
        budget: labels asked for in all.
        episodes: tasks of each condition, the same for every strategy.
        outlook_tasks: of each condition, on which `workbench.querying.outlook` is tried.
        start, pool, held_out, share, seed: see `workbench.querying.simulation.TaskSpec`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    weights: str = "general"
    method: str = "linear-probe"
    conditions: tuple[str, ...]
    strategies: tuple[str, ...]
    baseline: str = "random"
    batches: tuple[int, ...] = (5,)
    budget: Annotated[int, Field(ge=1)] = 30
    episodes: Annotated[int, Field(ge=2)] = 100
    start: Annotated[int, Field(ge=1)] = 1
    pool: Annotated[int, Field(ge=1)] = 200
    held_out: Annotated[int, Field(ge=1)] = 40
    share: Annotated[float, Field(gt=0, lt=1)] = 0.4
    outlook_tasks: Annotated[int, Field(ge=1)] = 20
    seed: int = 0

    @model_validator(mode="after")
    def _whole(self) -> QueryingPlan:
        if self.baseline not in self.strategies:
            raise ValueError(f"baseline: {self.baseline!r} is not one of the strategies")
        if any(batch < 1 or self.budget % batch for batch in self.batches):
            raise ValueError(f"batches: each must divide the budget of {self.budget}")
        return self

    @property
    def spec(self) -> TaskSpec:
        """How tasks are drawn."""
        return TaskSpec(self.start, self.pool, self.held_out, self.share, self.seed)

    def labels(self, batch: int) -> tuple[int, ...]:
        """Numbers of labels asked for at the points of a curve, 0 first."""
        return tuple(range(0, self.budget + 1, batch))


def read_querying(path: Path | None = None) -> QueryingPlan:
    """The plan in a YAML file, or the one that comes with the workbench.

    Raises:
        PlanError: naming the file and the field.
    """
    name = path.name if path else "querying.yaml"
    try:
        text = (
            path.read_text(encoding="utf-8")
            if path
            else resources.files("workbench.benchmark").joinpath(name).read_text(encoding="utf-8")
        )
        return QueryingPlan.model_validate(yaml.safe_load(text))
    except FileNotFoundError as error:
        raise PlanError(f"{name}: there is no such file.") from error
    except yaml.YAMLError as error:
        raise PlanError(f"{name}: is not valid YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise PlanError(f"{name}: {where}: {first['msg']}.") from error
