"""The HTTP API: what the page does, for programs. Thin: each route calls one function of the service."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from fastapi import APIRouter, FastAPI

from ui.api import problems, site
from ui.api.base import RESPONSES, Given
from ui.limits import Uploads
from ui.serving import Serving
from ui.supervise import Workers
from workbench.evaluation.plaintext import NOTICE
from workbench.store.database import Store

DESCRIPTION = f"""{NOTICE}

Authenticate with `Authorization: Bearer TOKEN`: make a token on the account page or with
`workbench tokens issue`; it has its owner's rights. Scripts of the page use the sign-in cookie, and send
`X-Workbench: 1` with every change.

Errors are `application/problem+json` (RFC 9457); their `title` is one line for people, with the fix. What is
not yours answers 404, as what is not there. Identifiers are opaque; times are UTC seconds since 1970. Slow
work answers 202 with a job: ask for it until its `state` is `done`, `failed` or `cancelled`.
"""
try:
    VERSION = installed("fewshot-workbench")
except PackageNotFoundError:  # run from a checkout
    VERSION = "0"


def install(app: FastAPI, store: Store, serving: Serving, workers: Workers) -> None:
    """Add the routes under ``/api/v1``, ``/health``, and the handlers of errors."""
    app.state.given = Given(store, serving, workers, Uploads(serving.limits))
    problems.install(app)
    routes = APIRouter(prefix="/api/v1", responses=RESPONSES)
    for part in _parts():
        routes.include_router(part)
    app.include_router(routes)
    app.include_router(site.open_routes)


def _parts() -> tuple[APIRouter, ...]:
    from ui.api import archives, cases, conditions, imports, jobs, models, people, results, scans

    parts = (conditions, imports, archives, scans, models, cases, results, jobs, people, site)
    return tuple(part.routes for part in parts)
