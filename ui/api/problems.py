"""Typed errors as problem+json (RFC 9457)."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from workbench.errors import NotAllowed, NotFound, QuotaExceeded, SignInError, StaleEdit, WorkbenchError

_STATUS = ((SignInError, 401), (NotAllowed, 403), (NotFound, 404), (StaleEdit, 409), (QuotaExceeded, 413))


def install(app: FastAPI) -> None:
    """Make the application answer errors so."""
    app.add_exception_handler(WorkbenchError, _typed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _defect)


def status_of(error: WorkbenchError) -> int:
    """The HTTP status of a typed error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 422)


def problem(status: int, title: str, errors: list[str] | None = None) -> Response:
    """An answer that says what is wrong."""
    content: dict[str, object] = {"title": title, "status": status}
    if errors:
        content["errors"] = errors
    return JSONResponse(content, status, media_type="application/problem+json")


def _typed(request: Request, error: Exception) -> Response:
    assert isinstance(error, WorkbenchError)
    return problem(status_of(error), str(error))


def _invalid(request: Request, error: Exception) -> Response:
    # Where and why, and never what was sent: it may name a patient.
    assert isinstance(error, RequestValidationError)
    told = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    if all(one["loc"][0] == "path" for one in error.errors()):
        return problem(404, "There is no such thing, or it is not yours.")
    return problem(422, "What was sent is not what this expects; see errors.", told)


def _defect(request: Request, error: Exception) -> Response:
    return problem(
        500, "Something went wrong in the workbench itself. Tell whoever runs it; its log says where."
    )


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = problem(error.status_code, str(error.detail))
    response.headers.update(error.headers or {})
    return response
