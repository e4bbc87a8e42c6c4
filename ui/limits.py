"""How much a request may send, how many uploads run at once, and how long a silent client is waited for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from ui.serving import Limits


class Overrun(Exception):
    """A request sent more, or took longer, than it may.

    Attributes:
        status: HTTP status to answer with.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Meter:
    """Watches what arrives of one request; past a limit the application sees the client go.

    Args:
        receive: where the body comes from.
        most: bytes it may have.
        declared: what Content-Length says, None where it does not.
        pause: seconds to wait for the next piece.
        patience: seconds for the whole body, None for any.
    """

    def __init__(
        self, receive: Receive, most: int, declared: int | None, pause: float, patience: float | None
    ) -> None:
        self._receive = receive
        self._most = most
        self._pause = pause
        self._until = None if patience is None else asyncio.get_running_loop().time() + patience
        self._taken = 0
        self._whole = False
        self.overrun: Overrun | None = None
        if declared is not None and declared > most:
            self.overrun = _too_large(most)

    async def receive(self) -> Message:
        """The next message, as ASGI's `receive`."""
        if self.overrun is not None:
            return {"type": "http.disconnect"}
        if self._whole:
            return await self._receive()  # waits for the client to go, as long as it likes
        wait = self._pause
        if self._until is not None:
            wait = min(wait, self._until - asyncio.get_running_loop().time())
        try:
            message = await asyncio.wait_for(self._receive(), max(wait, 0.001))
        except TimeoutError:
            self.overrun = Overrun(408, "The request took too long to arrive.")
            return {"type": "http.disconnect"}
        if message["type"] == "http.request":
            self._taken += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._taken > self._most:
                self.overrun = _too_large(self._most)
                return {"type": "http.disconnect"}
        return message


class Uploads:
    """Counts uploads under way."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running: Counter[str] = Counter()

    @contextmanager
    def one(self, user_id: str) -> Iterator[None]:
        """Hold a place while an upload runs; called from the event loop only.

        Raises:
            HTTPException: this person, or the site, has as many under way as it may (429).
        """
        if (
            self._running[user_id] >= self._limits.uploads_each
            or self._running.total() >= self._limits.uploads
        ):
            raise HTTPException(
                429,
                "Too many uploads are under way. Send this one again when another has ended.",
                {"retry-after": "5"},
            )
        self._running[user_id] += 1
        try:
            yield
        finally:
            self._running[user_id] -= 1
            if not self._running[user_id]:
                del self._running[user_id]


def _too_large(most: int) -> Overrun:
    size = f"{most >> 20} MB" if most >= 1 << 20 else f"{most >> 10} kB"
    return Overrun(413, f"One request may send {size} at most. Send the files in several.")
