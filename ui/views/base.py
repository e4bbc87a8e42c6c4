"""What every screen has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol

import gradio as gr
from gradio.blocks import Block

from ui.state import Action, At
from ui.theme import ASSETS

Updates = Mapping[Block, object]
"""New values and properties by component, as Gradio takes them from a handler."""

Handler = Callable[[At, Action], Updates | None]
"""Does what was asked. Returns None to have the whole screen shown anew, or only what changes."""

ACTIONS_JS = (ASSETS / "actions.js").read_text(encoding="utf-8")
"""Runs once for every component whose buttons and forms reach Python; says there which do."""


def html(elem_id: str, value: str = "") -> gr.HTML:
    """An HTML component whose buttons and forms reach Python."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=ACTIONS_JS, apply_default_css=False, padding=False)


def text(elem_id: str | None = None, value: str = "") -> gr.HTML:
    """An HTML component that is only looked at."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=None, apply_default_css=False, padding=False)


def screen(name: str) -> gr.Column:
    """The column that holds a screen; the page shows one at a time."""
    return gr.Column(elem_id=f"wb-view-{name}", elem_classes="wb-view", visible=False, min_width=0)


class Wiring(Protocol):
    """How a screen listens; the page is one."""

    def on(self, component: gr.HTML, handler: Handler) -> None:
        """Have a handler called with what is pressed inside a component made by `html`."""


class View(ABC):
    """A screen.

    Attributes:
        name: one of `ui.state.SCREENS`.
        column: holds it; made by `screen`.
    """

    name: str
    column: gr.Column

    @abstractmethod
    def components(self) -> list[Block]:
        """Everything `show` and the handlers may change."""

    @abstractmethod
    def show(self, at: At) -> Updates:
        """What the components show now. While something runs, called every second."""

    @abstractmethod
    def wire(self, on: Wiring) -> None:
        """Listen to the components."""
