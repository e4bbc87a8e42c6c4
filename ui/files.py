"""Files that the page and programs fetch; each is given to who may look at its condition only."""

from __future__ import annotations

import json
import struct
from dataclasses import fields

from fastapi import APIRouter, Response

from ui.api.base import RESPONSES, Data, Id, Who, binary
from workbench.service import reading, trays
from workbench.service.kinds import SlicePixels

# A browser may keep what never changes, for the sign-in it was fetched under.
_KEEP = {"cache-control": "private, max-age=3600, immutable", "vary": "cookie, authorization"}


def router() -> APIRouter:
    """The routes under ``/files``."""
    routes = APIRouter(tags=["files"], responses=RESPONSES)

    @routes.get(
        "/preview/{scan_id}", response_class=Response, summary="A scan's thumbnail",
        responses=binary("image/jpeg", "JPEG."),
    )  # fmt: skip
    def preview(store: Data, actor: Who, scan_id: Id) -> Response:
        """As JPEG; never for reading."""
        return Response(trays.preview(store, actor, scan_id), media_type="image/jpeg", headers=_KEEP)

    @routes.get(
        "/slice/{scan_id}/{index}", response_class=Response, summary="The values of a slice",
        responses=binary("application/octet-stream", "4-byte little-endian length, JSON header, pixels."),
    )  # fmt: skip
    def slice_of(store: Data, actor: Who, scan_id: Id, index: int) -> Response:
        """Physical value = stored * `slope` + `intercept`; one channel is uint16, three are uint8 RGB."""
        found = trays.slice_pixels(store, actor, scan_id, index)
        return Response(packed(found), media_type="application/octet-stream", headers=_KEEP)

    @routes.get(
        "/evidence/{scan_id}", response_class=Response, summary="Where the evidence lies",
        responses=binary("image/jpeg", "JPEG: the case with the evidence laid over it."),
    )  # fmt: skip
    def evidence(store: Data, actor: Who, scan_id: Id) -> Response:
        """As JPEG, once asked for. It is not proof."""
        return Response(reading.evidence(store, actor, scan_id), media_type="image/jpeg")

    return routes


def packed(found: SlicePixels) -> bytes:
    """A slice as one message: length of the header, header as JSON, pixels; the header padded to 4 bytes."""
    about = {f.name: getattr(found, f.name) for f in fields(found) if f.name != "data"}
    header = json.dumps(about, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 4)
    return struct.pack("<I", len(header)) + header + found.data
