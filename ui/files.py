"""Files that the page and programs fetch; each is given to who may look at its condition only."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse, StreamingResponse

from ui.api.base import RESPONSES, Data, Id, Who, binary
from workbench.service import artefacts, reading, tables, trays, versions
from workbench.service.access import require_role
from workbench.service.kinds import Role, SlicePixels
from workbench.store import audit

routes = APIRouter(prefix="/files", tags=["files"], responses=RESPONSES)
# A browser may keep what never changes, for the sign-in it was fetched under.
_KEEP = {"cache-control": "private, max-age=3600, immutable", "vary": "cookie, authorization"}


def _of(media_type: str, said: str) -> dict[str, Any]:
    return {"response_class": Response, "responses": binary(media_type, said)}


@routes.get("/preview/{scan_id}", summary="A scan's thumbnail", **_of("image/jpeg", "JPEG."))
def preview(store: Data, actor: Who, scan_id: Id) -> Response:
    """As JPEG; never for reading."""
    return Response(trays.preview(store, actor, scan_id), media_type="image/jpeg", headers=_KEEP)


@routes.get(
    "/slice/{scan_id}/{index}",
    summary="The values of a slice",
    **_of("application/octet-stream", "4-byte little-endian length, JSON header, pixels."),
)
def slice_of(store: Data, actor: Who, scan_id: Id, index: int) -> Response:
    """Physical value = stored * `slope` + `intercept`; one channel is uint16, three are uint8 RGB."""
    found = trays.slice_pixels(store, actor, scan_id, index)
    return Response(packed(found), media_type="application/octet-stream", headers=_KEEP)


@routes.get(
    "/evidence/{scan_id}",
    summary="Where the evidence lies",
    **_of("image/jpeg", "JPEG: the case with the evidence laid over it."),
)
def evidence(store: Data, actor: Who, scan_id: Id) -> Response:
    """As JPEG, once asked for. It is not proof."""
    return Response(reading.evidence(store, actor, scan_id), media_type="image/jpeg")


@routes.get(
    "/artefact/{artefact_id}", summary="A file to take away", **_of("application/octet-stream", "The file.")
)
def artefact(store: Data, actor: Who, artefact_id: Id) -> Response:
    """Always as a download: nothing in it runs here."""
    about, path = artefacts.taken(store, actor, artefact_id)
    return FileResponse(path, media_type=about.media_type, filename=about.name)


@routes.get(
    "/model/{version_id}",
    summary="An adapted model",
    **_of("application/octet-stream", "safetensors, as `workbench predict` takes it."),
)
def model(store: Data, actor: Who, version_id: Id) -> Response:
    """The file that `workbench predict` and `workbench evaluate` take."""
    number, path = versions.model_file(store, actor, version_id)
    return FileResponse(
        path, media_type="application/octet-stream", filename=f"model-version-{number}.safetensors"
    )


@routes.get(
    "/readings/{condition_id}.{form}", summary="Readings as a table", **_of("text/csv", "CSV, or JSON.")
)
def readings(store: Data, actor: Who, condition_id: Id, form: Literal["csv", "json"]) -> Response:
    """One row for each case; no cell of the CSV is taken for a formula."""
    made, media_type = (
        (tables.readings_csv, "text/csv; charset=utf-8")
        if form == "csv"
        else (tables.readings_json, "application/json")
    )
    name = {"content-disposition": f'attachment; filename="readings.{form}"'}
    return Response(made(store, actor, condition_id), media_type=media_type, headers=name)


@routes.get("/audit", summary="The audit trail", **_of("application/x-ndjson", "JSON, one line each."))
def audit_trail(store: Data, actor: Who) -> Response:
    """Oldest first, each line with its digest; for administrators. It names no patient and no file."""
    require_role(actor, Role.ADMIN)
    with store.session() as session:
        audit.record(session, actor.user_id, "audit.export", "audit")

    def lines() -> Iterator[str]:
        for line in audit.export(store):
            yield line + "\n"

    name = {"content-disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=name)


def packed(found: SlicePixels) -> bytes:
    """A slice as one message: length of the header, header as JSON, pixels; the header padded to 4 bytes."""
    about = {f.name: getattr(found, f.name) for f in fields(found) if f.name != "data"}
    header = json.dumps(about, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 4)
    return struct.pack("<I", len(header)) + header + found.data
