"""The door in front of Gradio: who may ask, for what, and with which headers it is answered.

Gradio's own routes trust more than a page with patients on it should: any file of the upload folder by
its address, any origin once the host is not local, no security headers. Everything therefore passes
`Gate` first, and only the few routes that the page needs are let through.
"""

from __future__ import annotations

import json
import os
import secrets
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.former.session import Session, Sessions

UPLOAD = "/gradio_api/upload"
_PAGES = frozenset({"/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/health"})
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
        "upload",
        "upload_progress",
    )
)
_FOLDERS = ("/assets/", "/static/", "/svelte/", "/export/", "/gradio_api/heartbeat/")
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})

# The page's own scripts are inline, and Gradio compiles its HTML templates with `new Function`.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), usb=()"),
)


class Gate:
    """ASGI middleware around the whole application.

    Args:
        app: what answers a request that may pass.
        sessions: where the cookie's id is looked up.
        cookie: its name; it carries the port, because browsers share cookies between ports.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions, cookie: str) -> None:
        self._app = app
        self._sessions = sessions
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in scope["headers"]}
        path, method = str(scope["path"]), str(scope["method"])
        if not _host_is_local(headers.get("host", "")):
            await _refuse(send, 421, "This address is not served here.")
            return
        if not _same_origin(headers):
            await _refuse(send, 403, "Requests from other sites are not answered.")
            return
        if not _allowed(path):
            await _refuse(send, 404, "There is nothing here.")
            return
        session = self._sessions.find(read_cookie(headers.get("cookie", ""), self._cookie))
        extra: tuple[tuple[bytes, bytes], ...] = ()
        if session is None and path == "/" and method == "GET":
            session = self._sessions.new()
            value = f"{self._cookie}={session.key}; Path=/; HttpOnly; SameSite=Strict"
            extra = ((b"set-cookie", value.encode()),)
        if path.startswith(UPLOAD) and session is None:
            await _refuse(send, 403, "The session has ended. Reload the page.")
            return
        guarded = _with_headers(send, extra, keep=path.startswith(("/assets/", "/static/")))
        if path == UPLOAD and session is not None:
            guarded = _claiming(guarded, session)
        await self._app(scope, receive, guarded)


def read_cookie(header: str, name: str) -> str | None:
    """Value of one cookie of a Cookie header."""
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return None
    return morsel.value if morsel is not None else None


def claim(session: Session, paths: list[str]) -> None:
    """Make uploaded files the session's own by a link in its private folder.

    Gradio names an upload after its content, so that two people who upload the same file share a path;
    what is remembered here belongs to one session only.
    """
    for path in paths:
        source = Path(path)
        own = session.private("uploads") / secrets.token_hex(12)
        try:
            os.link(source, own)
        except OSError:
            continue
        session.uploads[path] = own


def _host_is_local(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name in _LOCAL_HOSTS


def _same_origin(headers: dict[str, str]) -> bool:
    origin = headers.get("origin")
    if origin is not None and origin not in (f"http://{headers['host']}", f"https://{headers['host']}"):
        return False
    # A link from elsewhere may open the page itself, nothing more.
    site = headers.get("sec-fetch-site", "none")
    return site in ("none", "same-origin") or headers.get("sec-fetch-mode") == "navigate"


def _allowed(path: str) -> bool:
    return path in _PAGES or path.rstrip("/") in _API or path.startswith(_FOLDERS)


def _with_headers(send: Send, extra: tuple[tuple[bytes, bytes], ...], keep: bool) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = {name for name, _ in _HEADERS}
            dropped = ours | {b"access-control-allow-origin", b"access-control-allow-credentials"}
            kept = [(n, v) for n, v in message.get("headers", []) if n.lower() not in dropped]
            if not keep:
                kept = [(n, v) for n, v in kept if n.lower() != b"cache-control"]
                kept.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*kept, *_HEADERS, *extra]}
        await send(message)

    return guarded


def _claiming(send: Send, session: Session) -> Send:
    """Watch the answer to an upload, a JSON list of paths, and claim the files before it leaves."""
    body = bytearray()
    status = 0

    async def guarded(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = int(message["status"])
        elif message["type"] == "http.response.body" and status == 200:
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                claim(session, [str(path) for path in json.loads(bytes(body))])
        await send(message)

    return guarded


async def _refuse(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
