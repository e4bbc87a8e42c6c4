"""Image archives: look for studies, bring series in, send results back. Criteria travel in bodies only.

Addresses are logged, by this server or by others on the way; what is asked of an archive identifies patients.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from ui.api.base import Body, Data, Id, Who
from ui.api.imports import OptionsIn
from workbench.pacs.archive import Query, Selection, SeriesMatch, StudyMatch
from workbench.service import pacs
from workbench.service.kinds import JobInfo
from workbench.service.pacs import ArchiveInfo

routes = APIRouter(tags=["archives"])
Uid = Annotated[str, Field(max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$", examples=["1.2.840.113619.2.55.3"])]
MaybeUid = Annotated[str, Field(max_length=64, pattern=r"^([0-9]+(\.[0-9]+)*)?$")]
Name = Annotated[str, Field(max_length=40, description="In the archives file.", examples=["main"])]
Date = Annotated[str, Field(pattern=r"^([0-9]{8})?$", description="YYYYMMDD.")]


class StudiesIn(Body):
    """What to look for; one criterion or more, all of which must match."""

    archive: Name
    patient: Annotated[str, Field(max_length=64, description="Patient ID, whole.")] = ""
    accession: Annotated[str, Field(max_length=64, description="Accession number, whole.")] = ""
    since: Date = ""
    until: Date = ""
    modality: Annotated[str, Field(max_length=16)] = ""
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class SeriesIn(Body):
    """The study whose series are listed."""

    archive: Name
    study: Uid


class ChosenIn(Body):
    """A study, or one series of it."""

    study: Uid
    series: MaybeUid = ""


class RetrieveIn(Body):
    """What to bring in, for what, and how it is read."""

    archive: Name
    chosen: Annotated[tuple[ChosenIn, ...], Field(min_length=1, max_length=pacs.MOST_SELECTED)]
    role: Annotated[str, Field(description="support, case or cohort.")] = "case"
    options: OptionsIn = OptionsIn()


class SendIn(Body):
    """The studies whose cases get a structured report."""

    archive: Name
    chosen: Annotated[tuple[ChosenIn, ...], Field(min_length=1, max_length=pacs.MOST_SELECTED)]


@routes.get("/archives", summary="List archives")
def list_archives(actor: Who) -> tuple[ArchiveInfo, ...]:
    """Those of the archives file; none where the site has not described any."""
    return pacs.archives(actor)


@routes.post("/archives/studies", summary="Look for studies")
def find_studies(store: Data, actor: Who, body: StudiesIn, response: Response) -> tuple[StudyMatch, ...]:
    """Newest first. They name patients, are for the asker only, and are kept nowhere."""
    response.headers["Cache-Control"] = "no-store"
    query = Query(
        patient=body.patient,
        accession=body.accession,
        since=body.since,
        until=body.until,
        modality=body.modality,
        limit=body.limit,
    )
    return pacs.studies(store, actor, body.archive, query)


@routes.post("/archives/series", summary="List the series of a study")
def find_series(store: Data, actor: Who, body: SeriesIn, response: Response) -> tuple[SeriesMatch, ...]:
    """By number; for the asker only, and kept nowhere."""
    response.headers["Cache-Control"] = "no-store"
    return pacs.series(store, actor, body.archive, body.study)


@routes.post("/conditions/{condition_id}/retrievals", status_code=202, summary="Bring series in")
def retrieve(store: Data, actor: Who, condition_id: Id, body: RetrieveIn) -> JobInfo:
    """A job that copies them into an import, which then is a job of its own."""
    options = body.options.options()
    return pacs.retrieve(store, actor, condition_id, body.archive, _chosen(body.chosen), body.role, options)


@routes.post("/conditions/{condition_id}/results", status_code=202, summary="Send results to an archive")
def send_results(store: Data, actor: Who, condition_id: Id, body: SendIn) -> JobInfo:
    """A structured report for each image of the studies that is a case of the condition."""
    return pacs.send_results(store, actor, condition_id, body.archive, _chosen(body.chosen))


def _chosen(given: tuple[ChosenIn, ...]) -> tuple[Selection, ...]:
    return tuple(Selection(one.study, one.series) for one in given)
