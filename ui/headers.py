"""Security headers, by what a path answers with."""

from __future__ import annotations

from starlette.types import Message, Send

# The page's own scripts are inline, and Gradio compiles its HTML templates with `new Function`.
_PAGE = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-src 'self'; frame-ancestors 'none'"
)
_FORM = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# Files are taken away, not shown; if a browser shows one all the same, it runs nothing.
_FILE = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_COMMON = (
    (b"x-content-type-options", b"nosniff"),
    # Not `no-referrer`: browsers would send forms with `Origin: null`.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), usb=()"),
    (b"x-robots-tag", b"noindex"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")
_CORS = b"access-control-"
FORMS = ("/login", "/logout", "/account", "/oidc/")
"""Paths of plain pages and forms."""


def headers_for(path: str, secure: bool) -> tuple[tuple[bytes, bytes], ...]:
    """What every answer to a path carries, an error too."""
    policy = _PAGE
    if path.startswith("/files/"):
        policy = _FILE
    elif path.startswith((*FORMS, "/api/", "/health")):
        policy = _FORM
    own = ((b"content-security-policy", policy.encode()), (b"x-frame-options", b"DENY"))
    return (*own, *_COMMON, *((_HSTS,) if secure else ()))


def with_headers(send: Send, path: str, secure: bool, extra: tuple[tuple[bytes, bytes], ...] = ()) -> Send:
    """A `send` that puts them on; what the application set of these, and of CORS, is dropped.

    Nothing is stored by browsers or proxies, except what says that it is private and immutable.
    """
    ours = headers_for(path, secure)
    names = {name for name, _ in ours}

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in ((n.lower(), v) for n, v in message.get("headers", []))
                if name not in names and not name.startswith(_CORS) and name != b"server"
            ]
            if not _may_be_stored(path, int(message["status"])):
                kept = [(name, value) for name, value in kept if name != b"cache-control"]
                kept.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*kept, *ours, *extra]}
        await send(message)

    return guarded


def _may_be_stored(path: str, status: int) -> bool:
    stored = ("/assets/", "/static/", "/svelte/", "/files/preview/", "/files/slice/")
    return status in (200, 206, 304) and path.startswith(stored)
