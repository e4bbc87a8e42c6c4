"""What comes of a condition: suggestions, evaluation on a locked cohort, and files to take away."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from ui.api.base import Body, Data, Id, Who
from workbench.service import artefacts, evaluating, exporting, suggesting
from workbench.service.exporting import Export
from workbench.service.kinds import ArtefactInfo, Evaluation, JobInfo, SuggestedScans

routes = APIRouter(tags=["results"])
MaybeId = Annotated[str, Field(pattern="^([0-9a-f]{32})?$")]


class EvaluateIn(Body):
    """Which cohort."""

    job: Annotated[
        MaybeId, Field(description="An import of role cohort; empty for cases that came in class folders.")
    ] = ""


class ExportIn(Body):
    """What shall be made."""

    what: Export
    version: Annotated[MaybeId, Field(description="Empty for the active one.")] = ""


class SuggestIn(Body):
    """How many scans."""

    count: Annotated[int, Field(ge=1, le=50)] = 5


@routes.post("/conditions/{condition_id}/suggestions", status_code=202, summary="Ask what to label next")
def suggest(store: Data, actor: Who, condition_id: Id, body: SuggestIn | None = None) -> JobInfo:
    """Which unlabelled scans would teach the active version most."""
    return suggesting.next_to_label(store, actor, condition_id, (body or SuggestIn()).count)


@routes.get("/conditions/{condition_id}/suggestions", summary="What to label next")
def get_suggestions(store: Data, actor: Who, condition_id: Id) -> SuggestedScans:
    """What was last suggested and is still unlabelled, most wanted first, with a reason each."""
    return suggesting.suggested(store, actor, condition_id)


@routes.post("/conditions/{condition_id}/evaluations", status_code=202, summary="Evaluate on a cohort")
def evaluate(store: Data, actor: Who, condition_id: Id, body: EvaluateIn | None = None) -> JobInfo:
    """Lock a cohort and have the active version read it once. The audit trail holds first what was locked."""
    return evaluating.start(store, actor, condition_id, (body or EvaluateIn()).job)


@routes.get("/conditions/{condition_id}/evaluations", summary="List evaluations")
def list_evaluations(store: Data, actor: Who, condition_id: Id) -> tuple[Evaluation, ...]:
    """Newest first; every figure with its interval and n, and how often the cohort was looked at."""
    return evaluating.evaluations(store, actor, condition_id)


@routes.post("/conditions/{condition_id}/exports", status_code=202, summary="Make a file to take away")
def export(store: Data, actor: Who, condition_id: Id, body: ExportIn) -> JobInfo:
    """A report, a version's model card, or its signed bundle; then among the artefacts."""
    return exporting.start(store, actor, condition_id, body.what, body.version)


@routes.get("/conditions/{condition_id}/artefacts", summary="List files to take away")
def list_artefacts(store: Data, actor: Who, condition_id: Id) -> tuple[ArtefactInfo, ...]:
    """Newest first; each is at /files/artefact/{artefact_id}."""
    return artefacts.of_condition(store, actor, condition_id)
