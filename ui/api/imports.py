"""Imports: files become scans. Begin, send the files in one or more requests, commit."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ui import multipart
from ui.api.base import FULL, Body, Data, Everything, Id, Who
from workbench.errors import QuotaExceeded, ScanRefused, WorkbenchError
from workbench.service import imports
from workbench.service.kinds import Batch, ImportOptions, JobInfo, Refusal

routes = APIRouter(tags=["imports"])
_FILES = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "Each with its path below what was dropped as its file name.",
                        }
                    },
                }
            }
        },
    }
}


class ImportIn(Body):
    """What the scans of an import are for."""

    role: Annotated[
        str,
        Field(
            description="support (to be labelled), case (to be read) or cohort (to evaluate on).",
            examples=["support"],
        ),
    ] = "support"


class OptionsIn(Body):
    """How the files are read."""

    slices: Annotated[str, Field(max_length=200, description="Slices that matter, as 10-20.")] = ""
    box: Annotated[str, Field(max_length=200, description="Part of each slice that matters.")] = ""
    remedies: Annotated[tuple[str, ...], Field(max_length=20, description="Repairs that are allowed.")] = ()
    volume: Annotated[int | None, Field(ge=0, description="Which of several volumes in a file.")] = None
    no_preamble: Annotated[bool, Field(description="Read DICOM without its part 10 header.")] = False
    hints: Annotated[bool, Field(description="Whether a file's folder suggests its class.")] = True

    def options(self) -> ImportOptions:
        """As the service takes them."""
        return ImportOptions(self.slices, self.box, self.remedies, self.volume, self.no_preamble, self.hints)


@dataclass(frozen=True, slots=True)
class Begun:
    """An import that was reserved: `job` is its identifier, and later that of its job."""

    job: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the files of one request: how many were taken, and which were not."""

    taken: int
    bytes: int
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What identifiers the files taken so far carry, and what becomes of them."""

    said: tuple[str, ...]


@routes.post("/conditions/{condition_id}/imports", status_code=201, summary="Begin an import")
def begin_import(store: Data, actor: Who, condition_id: Id, body: ImportIn) -> Begun:
    """Reserve it; send the files next."""
    return Begun(imports.begin(store, actor, condition_id, body.role))


@routes.get("/conditions/{condition_id}/imports", summary="What came of imports")
def list_imports(store: Data, actor: Who, condition_id: Id) -> tuple[Batch, ...]:
    """Newest first, with the files that were left out and why. Names are shown to who uploaded them."""
    return imports.batches(store, actor, condition_id)


@routes.post("/imports/{job_id}/files", summary="Send files", responses=FULL, openapi_extra=_FILES)
async def send_files(request: Request, given: Everything, actor: Who, job_id: Id) -> Taken:
    """Files, folders' files (with paths as file names) or zips; a file sent again is kept once.

    Once this answers, the files are on disk. A file that cannot be taken holds up none of the others.
    """
    store, limits = given.store, given.serving.limits
    boundary = multipart.boundary_of(request.headers.get("content-type", ""))
    await run_in_threadpool(imports.check, store, actor, job_id)
    taken, size = 0, 0
    refused: list[Refusal] = []
    folder = store.data_dir / "incoming"
    folder.mkdir(mode=0o700, exist_ok=True)
    with given.uploads.one(actor.user_id):
        try:
            async with aclosing(multipart.parts(request.stream(), boundary, folder)) as parts:
                async for part in parts:
                    with part.file:
                        if taken + len(refused) >= limits.files:
                            raise QuotaExceeded(
                                f"One request may send {limits.files} files at most. Send them in several."
                            )
                        try:
                            size += await run_in_threadpool(
                                imports.take, store, actor, job_id, part.name, part.file, part.size
                            )
                            taken += 1
                        except ScanRefused as error:
                            refused.append(Refusal(error.source, error.reason, error.fix))
        except ClientDisconnect as error:
            # The gate answers where a limit was passed; otherwise nobody hears it.
            raise WorkbenchError("The upload was broken off. Send the files again.") from error
    return Taken(taken, size, tuple(refused))


@routes.get("/imports/{job_id}/identifiers", summary="What files say about people")
def look_at_files(store: Data, actor: Who, job_id: Id) -> Preview:
    """Which identifiers the files taken so far carry and what becomes of them, before anything is stored."""
    return Preview(imports.look(store, actor, job_id))


@routes.post("/imports/{job_id}/commit", status_code=202, summary="Make scans of the files")
def commit_import(store: Data, actor: Who, job_id: Id, body: OptionsIn | None = None) -> JobInfo:
    """Once this answers, it will be done; asking again changes nothing."""
    return imports.commit(store, actor, job_id, (body or OptionsIn()).options())


@routes.delete("/imports/{job_id}", status_code=204, summary="Drop an import")
def abandon_import(store: Data, actor: Who, job_id: Id) -> None:
    """Drop one that was not committed, with its files."""
    imports.abandon(store, actor, job_id)
