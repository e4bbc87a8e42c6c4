"""Adaptation and its versions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from ui.api.base import Body, Data, Id, Who
from workbench.service import adapting, versions
from workbench.service.kinds import JobInfo, VersionInfo

routes = APIRouter(tags=["adapting"])


class AdaptIn(Body):
    """How to adapt."""

    method: Annotated[str, Field(max_length=64, description="Empty for the condition's own.")] = ""


@routes.post("/conditions/{condition_id}/adapt", status_code=202, summary="Adapt")
def adapt(store: Data, actor: Who, condition_id: Id, body: AdaptIn | None = None) -> JobInfo:
    """Make a version from the labels that count now. Asked again while one waits, it is the same job."""
    return adapting.start(store, actor, condition_id, (body or AdaptIn()).method)


@routes.get("/conditions/{condition_id}/versions", summary="List versions")
def list_versions(store: Data, actor: Who, condition_id: Id) -> tuple[VersionInfo, ...]:
    """Newest first, each with what can be expected of it and the interval of every figure."""
    return versions.all(store, actor, condition_id)


@routes.post("/versions/{version_id}/activate", summary="Go back to a version")
def activate_version(store: Data, actor: Who, version_id: Id) -> VersionInfo:
    """Read new cases by this version from now on."""
    return versions.activate(store, actor, version_id)
