"""The scans screen."""

from __future__ import annotations

from gradio.blocks import Block

from ui.state import At, Context
from ui.views.base import Updates, View, Wiring, html, screen


class ScansView(View):
    """See the module's description."""

    name = "scans"

    def __init__(self, context: Context) -> None:
        self._context = context
        with screen(self.name) as self.column:
            self.body = html("wb-scans")

    def components(self) -> list[Block]:
        """See `View`."""
        return [self.body]

    def show(self, at: At) -> Updates:
        """See `View`."""
        return {self.body: ""}

    def wire(self, on: Wiring) -> None:
        """See `View`."""
