"""The site itself: who asks, and whether everything runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from ui.api.base import Body, Everything, Who
from ui.server import cookie_of
from ui.supervise import Health
from workbench.evaluation.plaintext import NOTICE
from workbench.service import accounts
from workbench.service.kinds import Actor

routes = APIRouter(tags=["site"])
open_routes = APIRouter(tags=["site"])


@dataclass(frozen=True, slots=True)
class Alive:
    """Whether the site works: `status` is ``ok``, or ``degraded`` while jobs have nobody to do them."""

    status: str
    workers: Health


@dataclass(frozen=True, slots=True)
class Me:
    """Who asks, and what everybody should know."""

    actor: Actor
    notice: str = NOTICE


@open_routes.get("/health", summary="Whether server and workers run")
def health(given: Everything, response: Response) -> Alive:
    """For a monitor: answered to anybody; 503 while no worker runs that should."""
    found = given.workers.health()
    well = found.running > 0 or found.wanted == 0
    response.status_code = 200 if well else 503
    return Alive("ok" if found.running >= found.wanted else "degraded", found)


class ReaderIn(Body):
    """Under which name this browser's labels go on record."""

    reader: Annotated[str, Field(max_length=120, description="Empty for the user's own.")]


@routes.put("/me/reader", status_code=204, summary="Sign labels with another name")
def set_reader(request: Request, given: Everything, actor: Who, body: ReaderIn) -> None:
    """For several readers at one workstation without login; counts in this browser only."""
    accounts.set_reader(given.store, cookie_of(request, given.serving), body.reader)


@routes.get("/me", summary="Who asks")
def me(actor: Who) -> Me:
    """The user whose cookie or token came with the request."""
    return Me(actor)
