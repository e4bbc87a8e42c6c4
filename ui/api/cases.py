"""Cases: what a version reads in them, and what people think of it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from ui.api.base import Body, Data, Id, Who
from ui.api.scans import ClassId
from workbench.service import reading
from workbench.service.kinds import CaseInfo, JobInfo

routes = APIRouter(tags=["cases"])


class OwnIn(Body):
    """Your own reading, before the model's is shown."""

    class_id: Annotated[ClassId | None, Field(description="null for unsure.")]


class VerdictIn(Body):
    """Whether you agree with the model's reading."""

    verdict: Literal["agree", "disagree", "unsure"]


class SupportIn(Body):
    """What a case is labelled as when it moves to the labelled scans."""

    class_id: Annotated[ClassId | None, Field(description="null leaves it to be labelled.")] = None


@routes.get("/conditions/{condition_id}/cases", summary="List cases")
def list_cases(store: Data, actor: Who, condition_id: Id, own_first: bool = False) -> tuple[CaseInfo, ...]:
    """Newest first, with the active version's readings; `own_first` conceals those you have no reading of."""
    return reading.cases(store, actor, condition_id, own_first)


@routes.put("/scans/{scan_id}/own", status_code=204, summary="Give your own reading")
def give_own(store: Data, actor: Who, scan_id: Id, body: OwnIn) -> None:
    """What you read in a case before the model's reading is shown."""
    reading.give_own(store, actor, scan_id, body.class_id)


@routes.put("/scans/{scan_id}/verdict", status_code=204, summary="Agree or disagree")
def give_verdict(store: Data, actor: Who, scan_id: Id, body: VerdictIn) -> None:
    """Goes on record; changes neither reading nor model."""
    reading.give_verdict(store, actor, scan_id, body.verdict)


@routes.post("/scans/{scan_id}/support", status_code=204, summary="Move a case to the labelled scans")
def into_support(store: Data, actor: Who, scan_id: Id, body: SupportIn | None = None) -> None:
    """The next version will know it; its patient's other cases are no new cases then, and say so."""
    reading.into_support(store, actor, scan_id, (body or SupportIn()).class_id)


@routes.post("/scans/{scan_id}/evidence", status_code=202, summary="Ask where the evidence lies")
def ask_evidence(store: Data, actor: Who, scan_id: Id) -> JobInfo:
    """A picture is made of it, at /files/evidence/{scan_id}. It is not proof."""
    return reading.ask_evidence(store, actor, scan_id)
