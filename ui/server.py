"""The door in front of everything: who may ask, for what, and with which headers it is answered.

Gradio's own routes trust more than a page with patients on it should: any file of the upload folder by
its address, any origin once the host is not local, no security headers. Every request therefore passes
`Gate` first, which finds out who asks and lets through only the few routes that are needed.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui import forms
from ui.headers import FORMS, headers_for, with_headers
from ui.limits import Meter
from ui.pagekeys import PageKeys
from ui.serving import Serving
from workbench.errors import SignInError, without_words
from workbench.service import accounts
from workbench.service.kinds import Actor
from workbench.store.database import Store

_LOG = logging.getLogger(__name__)
HEADER = "x-workbench"
"""Scripts of the page send it with every change: no form and no other site can."""
_PAGES = frozenset({"/", "/config", "/theme.css", "/favicon.ico", "/manifest.json"})
_API = frozenset(
    f"/gradio_api/{name}"
    for name in (
        "app_id",
        "cancel",
        "heartbeat",
        "info",
        "login_check",
        "queue/data",
        "queue/join",
        "reset",
        "startup-events",
    )
)
_STATIC = ("/assets/", "/static/", "/svelte/")
_FOLDERS = (*_STATIC, "/api/v1/", "/files/", "/gradio_api/heartbeat/")
_OPEN = ("/login", "/oidc/", "/health", "/favicon.ico", *_STATIC)
"""What is answered to anybody."""
_SAFE = frozenset({"GET", "HEAD"})
_ENDED = "You are not signed in, or no longer. Reload the page."


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    said: str


class Gate:
    """ASGI middleware around the whole application.

    Args:
        app: what answers a request that may pass; finds who asks by `actor_of`.
        store: where sign-ins and tokens are.
        serving: how it is served.
    """

    def __init__(self, app: ASGIApp, store: Store, serving: Serving) -> None:
        self._app = app
        self._store = store
        self._serving = serving
        self._pages = PageKeys()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in scope["headers"]}
        path, method = str(scope["path"]), str(scope["method"])
        secure = self._serving.secure
        refusal = self._misdirected(path, method, headers)
        actor: Actor | None = None
        by_token = False
        extra: tuple[tuple[bytes, bytes], ...] = ()
        if refusal is None:
            actor, by_token = await self._who(path, headers)
            if actor is None and path == "/" and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
                await forms.onwards()(scope, receive, with_headers(send, "/login", secure))
                return
            if actor is None and path == "/" and method in _SAFE and not self._serving.login:
                actor, extra = await self._welcome()
            refusal = self._unwanted(path, method, headers, actor, by_token)
        if refusal is not None and refusal.status == 401 and (path == "/" or path.startswith(FORMS)):
            to_login = ((b"location", b"/login"), (b"cache-control", b"no-store"))
            await _answer(send, 303, b"", (*headers_for(path, secure), *to_login))
            return
        if refusal is not None:
            await _refuse(send, path, refusal, secure)
            return
        meter = self._meter(path, headers, receive)
        if path.startswith("/gradio_api/") and actor is not None:
            receive_more, known = await self._pages.check(scope, meter, actor)
        else:
            receive_more, known = meter.receive, True
        if not known:
            await _refuse(send, path, _Refusal(404, "There is nothing here."), secure)
            return
        scope.setdefault("state", {}).update(actor=actor, by_token=by_token)
        await self._pass(scope, receive_more, with_headers(send, path, secure, extra), meter)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, meter: Meter) -> None:
        """Let the application answer, unless the request overruns its limits first."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            if meter.overrun is None or started:
                started = True
                await send(message)

        try:
            if meter.overrun is None:
                await self._app(scope, receive, watched)
        except Exception as error:
            # Answered by `ui.api.problems` already; uvicorn would log the message, too.
            if meter.overrun is None:
                _LOG.error("A request failed: %s", without_words(error))
        if meter.overrun is not None and not started:
            refusal = _Refusal(meter.overrun.status, str(meter.overrun))
            await _refuse(send, str(scope["path"]), refusal, self._serving.secure)

    def _misdirected(self, path: str, method: str, headers: dict[str, str]) -> _Refusal | None:
        """What can be said before it is known who asks."""
        if _without_port(headers.get("host", "")) not in self._serving.hosts:
            return _Refusal(421, "This name is not served here. The server's --allow-host adds one.")
        if not self._same_origin(path, headers):
            return _Refusal(403, "Requests from other sites are not answered.")
        known = path in _PAGES or path.rstrip("/") in _API or path.startswith((*_FOLDERS, *FORMS, "/health"))
        # No dots: nothing below is reached by climbing.
        if not known or "/../" in path or path.endswith("/.."):
            return _Refusal(404, "There is nothing here.")
        return None

    def _unwanted(
        self, path: str, method: str, headers: dict[str, str], actor: Actor | None, by_token: bool
    ) -> _Refusal | None:
        """What must be refused knowing who asks."""
        if actor is None and not path.startswith(_OPEN):
            return _Refusal(401, _ENDED)
        if method in _SAFE or by_token:
            return None
        # A browser says where a change comes from; whoever does not must send the header.
        told = headers.get("origin") is not None or headers.get("sec-fetch-site") == "same-origin"
        needs_header = path.startswith("/api/")
        if headers.get(HEADER) != "1" and (needs_header or not told):
            return _Refusal(403, "A change with the sign-in cookie needs the header X-Workbench: 1.")
        return None

    async def _who(self, path: str, headers: dict[str, str]) -> tuple[Actor | None, bool]:
        """Who asks, and whether a token says so."""
        if path.startswith(_STATIC):
            return None, False
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and path.startswith(("/api/v1/", "/files/")):
            return await run_in_threadpool(accounts.actor_of_token, self._store, token.strip()), True
        cookie = read_cookie(headers.get("cookie", ""), self._serving.cookie)
        if cookie is None:
            return None, False
        timeouts = self._serving.timeouts if self._serving.login else accounts.WITHOUT_LOGIN
        return await run_in_threadpool(accounts.actor_of, self._store, cookie, timeouts), False

    async def _welcome(self) -> tuple[Actor, tuple[tuple[bytes, bytes], ...]]:
        """Without login, whoever opens the page on this machine is signed in as its one person."""

        def enter() -> tuple[Actor, str]:
            actor = accounts.local_actor(self._store)
            return actor, accounts.sign_in(self._store, actor.user_id, how="this machine")

        actor, value = await run_in_threadpool(enter)
        return actor, ((b"set-cookie", cookie_header(self._serving, value).encode()),)

    def _same_origin(self, path: str, headers: dict[str, str]) -> bool:
        origin = headers.get("origin")
        scheme = "https" if self._serving.secure else "http"
        if origin is not None and origin.lower() != f"{scheme}://{headers['host']}".lower():
            return False
        # A link from elsewhere may open a page, nothing more.
        site = headers.get("sec-fetch-site", "none")
        navigates = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") != "iframe"
        return site in ("none", "same-origin") or (
            navigates and not path.startswith(("/api/", "/files/", "/gradio_api/"))
        )

    def _meter(self, path: str, headers: dict[str, str], receive: Receive) -> Meter:
        limits = self._serving.limits
        declared = int(length) if (length := headers.get("content-length", "")).isdecimal() else None
        if path.startswith("/api/v1/imports/") and path.endswith("/files"):
            return Meter(receive, limits.upload, declared, limits.pause, None)
        most = limits.page if path.startswith("/gradio_api/") else limits.body
        return Meter(receive, most, declared, limits.pause, limits.patience)


def actor_of(request: Request | gr.Request) -> Actor:
    """Who asks, as the gate found out by cookie or token before anything else saw the request.

    Raises:
        SignInError: nobody is signed in any more.
    """
    actor = getattr(request.state, "actor", None)
    if not isinstance(actor, Actor):
        raise SignInError(_ENDED)
    return actor


def cookie_of(request: Request | gr.Request, serving: Serving) -> str:
    """Value of the sign-in cookie of a request; empty where it has none."""
    return read_cookie(request.headers.get("cookie", ""), serving.cookie) or ""


def read_cookie(header: str, name: str) -> str | None:
    """Value of one cookie of a Cookie header."""
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return None
    return morsel.value if morsel is not None else None


def cookie_header(serving: Serving, value: str) -> str:
    """Set-Cookie that signs a browser in, or out with an empty value."""
    secure = "; Secure" if serving.secure else ""
    gone = "" if value else "; Max-Age=0"
    return f"{serving.cookie}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{gone}"


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


async def _refuse(send: Send, path: str, refusal: _Refusal, secure: bool) -> None:
    """Plain words for people, problem+json (RFC 9457) for programs."""
    if path.startswith(("/api/", "/files/")):
        kind = b"application/problem+json"
        body = json.dumps({"title": refusal.said, "status": refusal.status}).encode()
    else:
        kind, body = b"text/plain; charset=utf-8", refusal.said.encode()
    challenge = ((b"www-authenticate", b"Bearer"),) if refusal.status == 401 else ()
    headers = (
        (b"content-type", kind),
        (b"cache-control", b"no-store"),
        *headers_for(path, secure),
        *challenge,
    )
    await _answer(send, refusal.status, body, headers)


async def _answer(send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
