"""What routes share: who asks, the store, and what is said of errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ConfigDict

from ui.limits import Uploads
from ui.server import actor_of
from ui.serving import Serving
from ui.supervise import Workers
from workbench.service.kinds import Actor
from workbench.store.database import Store


@dataclass(frozen=True, slots=True)
class Given:
    """What the application was built with.

    Attributes:
        uploads: under way now.
    """

    store: Store
    serving: Serving
    workers: Workers
    uploads: Uploads


class Body(BaseModel):
    """Base of what is sent: a field that is not known is refused, since it may be a slip of the pen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(BaseModel):
    """An error (RFC 9457)."""

    title: str
    status: int
    errors: list[str] = []


def _given(request: Request) -> Given:
    given = request.app.state.given
    assert isinstance(given, Given)
    return given


def _store(request: Request) -> Store:
    return _given(request).store


def _who(request: Request) -> Actor:
    return actor_of(request)


Everything = Annotated[Given, Depends(_given)]
Data = Annotated[Store, Depends(_store)]
Who = Annotated[Actor, Depends(_who)]
Id = Annotated[str, Path(pattern="^[0-9a-f]{32}$", examples=["0123456789abcdef0123456789abcdef"])]

_PROBLEM: dict[str, Any] = {"model": Problem, "content": {"application/problem+json": {}}}
RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {**_PROBLEM, "description": "Not signed in, or the token is unknown or has ended."},
    403: {**_PROBLEM, "description": "You may look at this and not do that."},
    404: {**_PROBLEM, "description": "There is no such thing, or it is not yours."},
    422: {**_PROBLEM, "description": "What was sent cannot be used; the title says why and what to do."},
}
STALE: dict[int | str, dict[str, Any]] = {
    409: {**_PROBLEM, "description": "Somebody else edited it meanwhile; nothing was changed. Look again."}
}
FULL: dict[int | str, dict[str, Any]] = {
    413: {**_PROBLEM, "description": "It would pass what one request, one person or the site may hold."},
    429: {**_PROBLEM, "description": "Too many uploads are under way; try again in a moment."},
}


def binary(media_type: str, said: str) -> dict[int | str, dict[str, Any]]:
    """What a route that answers with bytes says of them."""
    return {
        200: {
            "description": said,
            "content": {media_type: {"schema": {"type": "string", "format": "binary"}}},
        }
    }
