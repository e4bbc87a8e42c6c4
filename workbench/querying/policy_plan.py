"""The plan of a query policy's meta-training: one file that describes the run completely."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from workbench.errors import PlanError

Count = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PolicyPlan(_Part):
    """See the module's description.

    Attributes:
        name: of the run.
        seed: decides everything that is drawn.
        weights: shipped name or file of the encoder.
        method: learner that adapts after each label.
        meta_train, meta_validation: names of dataset cards the policy learns from, and those its best moment
            is chosen on.
        meta_test: held out; nothing here reads them.
        limit: images of each class, at most.
        pool, held_out: see `workbench.querying.simulation.TaskSpec`.
        varied: share of the tasks made from a variation of a condition; see `workbench.querying.variation`.
        labels: picks of each walk.
        walks: from the same task; each is judged against the others.
        tasks: of each update.
        updates: in all.
        passes: over the walks of an update; 1 is REINFORCE, more is PPO.
        clip, entropy_bonus: see `workbench.querying.policy_gradient.surrogate`.
        discount: of later gains.
        learning_rate: of Adam.
        width: of the network.
        every: updates between validations and checkpoints.
        validation_tasks: of each meta-validation condition.
        outlook_tasks: of each condition, to which the line of `workbench.querying.outlook` is fitted.
    """

    name: str = Field(pattern=r"^[\w][\w.\-]*$")
    seed: int = 0
    weights: str = "general"
    method: str = "linear-probe"
    meta_train: tuple[str, ...]
    meta_validation: tuple[str, ...]
    meta_test: tuple[str, ...] = ()
    limit: Count = 250
    pool: Count = 120
    held_out: Count = 60
    varied: float = Field(default=0.7, ge=0, le=1)
    labels: Count = 20
    walks: Annotated[int, Field(ge=2)] = 4
    tasks: Count = 8
    updates: Count = 120
    passes: Count = 4
    clip: float = Field(default=0.2, gt=0)
    entropy_bonus: float = Field(default=0.002, ge=0)
    discount: float = Field(default=0.9, ge=0, le=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    width: Count = 32
    every: Count = 10
    validation_tasks: Count = 10
    outlook_tasks: Count = 8

    @model_validator(mode="after")
    def _apart(self) -> PolicyPlan:
        sides = [set(self.meta_train), set(self.meta_validation), set(self.meta_test)]
        for first, second in ((0, 1), (0, 2), (1, 2)):
            if both := sorted(sides[first] & sides[second]):
                raise ValueError(f"condition {both[0]!r} stands on two sides of the split")
        return self


def read_policy_plan(path: Path) -> PolicyPlan:
    """A plan from a YAML file.

    Raises:
        PlanError: naming the file and the field.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return PolicyPlan.model_validate(values)
    except FileNotFoundError as error:
        raise PlanError(f"{path.name}: there is no such file.") from error
    except yaml.YAMLError as error:
        raise PlanError(f"{path.name}: is not valid YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the plan"
        raise PlanError(f"{path.name}: {where}: {first['msg']}.") from error


def write_policy_plan(plan: PolicyPlan) -> str:
    """A plan as YAML, complete with its defaults."""
    return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
