"""Conditions: define, edit, share, put away."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from ui.api.base import STALE, Body, Data, Id, Who
from workbench.service import conditions
from workbench.service.kinds import ConditionInfo, Draft, Level

routes = APIRouter(tags=["conditions"])


class ConditionIn(Body):
    """A condition as somebody defines it."""

    title: Annotated[str, Field(min_length=1, max_length=200, description="What it is called.")]
    classes: Annotated[
        tuple[str, ...],
        Field(min_length=2, max_length=8, description="Names; the first is the finding looked for."),
    ] = ("condition", "no condition")
    modality: Annotated[str, Field(max_length=16, description="DICOM code, or empty for any.")] = ""
    body_part: Annotated[str, Field(max_length=64)] = ""
    population: Annotated[str, Field(max_length=10_000, description="A note on whose scans these are.")] = ""
    prevalence: Annotated[
        list[float] | None,
        Field(description="Expected share of each class among those to be read, summing to 1."),
    ] = None
    miss_cost: Annotated[
        float, Field(gt=0, description="How many false alarms one miss of the first class weighs.")
    ] = 1.0
    method: Annotated[str, Field(max_length=64, description="Of adaptation; empty for the default.")] = ""
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "title": "Osteoporosis of the knee",
                    "classes": ["osteoporosis", "normal"],
                    "modality": "DX",
                    "body_part": "KNEE",
                    "prevalence": [0.3, 0.7],
                    "miss_cost": 5,
                }
            ]
        },
    )

    def draft(self, parent: str | None = None) -> Draft:
        """As the service takes it."""
        return Draft(
            title=self.title,
            classes=self.classes,
            modality=self.modality,
            body_part=self.body_part,
            population=self.population,
            prevalence=None if self.prevalence is None else tuple(self.prevalence),
            miss_cost=self.miss_cost,
            method=self.method,
            parent=parent,
        )


class ConditionEdit(ConditionIn):
    """All of a condition, as it shall be."""

    revision: Annotated[int, Field(description="Of the condition that was looked at.")]


class ShareIn(Body):
    """Who may open a condition, and how."""

    name: Annotated[str, Field(max_length=120, description="Signs in with it; * for everybody.")]
    level: Annotated[Level | None, Field(description="read (look and label) or edit; null ends it.")] = (
        Level.READ
    )


class ArchiveIn(Body):
    """Whether a condition is put away."""

    archived: bool


@routes.get("/conditions", summary="List conditions")
def list_conditions(store: Data, actor: Who, archived: bool = False) -> tuple[ConditionInfo, ...]:
    """Your own and those shared with you, last edited first; `archived` lists those put away, too."""
    return conditions.mine(store, actor, archived)


@routes.post("/conditions", status_code=201, summary="Define a condition")
def create_condition(store: Data, actor: Who, body: ConditionIn) -> ConditionInfo:
    """A new condition of your own."""
    return conditions.create(store, actor, body.draft())


@routes.get("/conditions/{condition_id}", summary="One condition")
def get_condition(store: Data, actor: Who, condition_id: Id) -> ConditionInfo:
    """How it stands, and what comes next."""
    return conditions.get(store, actor, condition_id)


@routes.put("/conditions/{condition_id}", summary="Edit a condition", responses=STALE)
def edit_condition(store: Data, actor: Who, condition_id: Id, body: ConditionEdit) -> ConditionInfo:
    """Change it. A class keeps its labels if it keeps its name, or its place under a new name."""
    return conditions.edit(store, actor, condition_id, body.draft(), body.revision)


@routes.delete("/conditions/{condition_id}", status_code=204, summary="Delete a condition")
def delete_condition(store: Data, actor: Who, condition_id: Id) -> None:
    """Remove it with its scans, labels, versions and readings. The audit trail keeps that it was."""
    conditions.delete(store, actor, condition_id)


@routes.put("/conditions/{condition_id}/archived", summary="Put a condition away")
def archive_condition(store: Data, actor: Who, condition_id: Id, body: ArchiveIn) -> ConditionInfo:
    """Take it off the worklist, or put it back. Nothing is removed."""
    return conditions.archive(store, actor, condition_id, body.archived)


@routes.put("/conditions/{condition_id}/shares", summary="Share a condition")
def share_condition(store: Data, actor: Who, condition_id: Id, body: ShareIn) -> ConditionInfo:
    """Let somebody else in, or out."""
    return conditions.share(store, actor, condition_id, body.name, body.level)


@routes.post("/conditions/{condition_id}/extend", status_code=201, summary="Extend a condition")
def extend_condition(store: Data, actor: Who, condition_id: Id, body: ConditionIn) -> ConditionInfo:
    """A new condition that begins with this one's labelled scans: another population, or another class."""
    return conditions.extend(store, actor, condition_id, body.draft(condition_id))


@routes.post("/demo", status_code=202, summary="Try the demonstration")
def start_demo(store: Data, actor: Who) -> ConditionInfo:
    """A condition to try the workbench with; a job fills it with scans."""
    return conditions.start_demo(store, actor)[0]
