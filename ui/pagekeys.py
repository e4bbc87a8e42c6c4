"""Ties the key of an open page to whoever opened it.

Gradio tells pages apart by a key that the browser draws (`session_hash`), and sends a page's updates to
whoever names its key. Here the first person to use a key owns it, and nobody else is answered under it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from urllib.parse import parse_qs

from starlette.types import Message, Receive, Scope

from ui.limits import Meter
from workbench.service.kinds import Actor

_KEPT = 20_000


class PageKeys:
    """Who owns which key; the longest unused are forgotten."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, str] = OrderedDict()

    async def check(self, scope: Scope, meter: Meter, actor: Actor) -> tuple[Receive, bool]:
        """Whether a request names no key, or one that is the actor's own.

        Returns:
            where the body can be received (again), and the answer.
        """
        keys = parse_qs(str(scope.get("query_string", b""), "latin-1")).get("session_hash", [])
        path = str(scope["path"])
        if path.startswith("/gradio_api/heartbeat/"):
            keys.append(path.rstrip("/").rpartition("/")[2])
        receive: Receive = meter.receive
        if scope["method"] == "POST":
            receive, body = await _buffered(meter)
            keys += _key_in(body)
        return receive, all(self._owned(key, actor.user_id) for key in keys)

    def _owned(self, key: str, user_id: str) -> bool:
        owner = self._owners.setdefault(key, user_id)
        self._owners.move_to_end(key)
        while len(self._owners) > _KEPT:
            self._owners.popitem(last=False)
        return owner == user_id


def _key_in(body: bytes) -> list[str]:
    try:
        given = json.loads(body)
    except ValueError:
        return []
    key = given.get("session_hash") if isinstance(given, dict) else None
    return [key] if isinstance(key, str) else []


async def _buffered(meter: Meter) -> tuple[Receive, bytes]:
    """The whole body, and a `receive` that gives it once more."""
    messages: list[Message] = []
    while True:
        message = await meter.receive()
        messages.append(message)
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
    body = b"".join(m.get("body", b"") for m in messages if m["type"] == "http.request")

    async def again() -> Message:
        return messages.pop(0) if messages else await meter.receive()

    return again, body
