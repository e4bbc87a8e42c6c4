"""Jobs: how work in the background goes, and stopping it."""

from __future__ import annotations

from fastapi import APIRouter

from ui.api.base import Data, Id, Who
from workbench.service import work
from workbench.service.kinds import JobInfo

routes = APIRouter(tags=["jobs"])


@routes.get("/jobs/{job_id}", summary="One job")
def get_job(store: Data, actor: Who, job_id: Id) -> JobInfo:
    """How far it is; `error` says in one line why it failed."""
    return work.job(store, actor, job_id)


@routes.post("/jobs/{job_id}/cancel", summary="Stop a job")
def cancel_job(store: Data, actor: Who, job_id: Id) -> JobInfo:
    """Ask for it to be stopped; it may end first."""
    return work.cancel(store, actor, job_id)


@routes.get("/conditions/{condition_id}/jobs", summary="Jobs of a condition")
def list_jobs(store: Data, actor: Who, condition_id: Id, unfinished: bool = True) -> tuple[JobInfo, ...]:
    """Newest first; those that wait or run only, unless `unfinished` is false."""
    return work.of_condition(store, actor, condition_id, unfinished)
