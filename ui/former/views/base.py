"""What every screen has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import gradio as gr
from gradio.blocks import Block

from ui.former.session import Session

Updates = Mapping[Block, object]
"""New values and properties by component, as Gradio takes them from a handler."""

# A click on any element with data-action inside an HTML component reaches Python with its action and value.
ACTIONS_JS = """
element.addEventListener('click', (event) => {
  const found = event.target.closest('[data-action]');
  if (found && element.contains(found) && !found.disabled)
    trigger('click', { action: found.dataset.action, value: found.dataset.value || '' });
});
"""


def html(elem_id: str, value: str = "") -> gr.HTML:
    """An HTML component whose buttons reach Python."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=ACTIONS_JS, apply_default_css=False, padding=False)


def text(elem_id: str | None = None, value: str = "") -> gr.HTML:
    """An HTML component that is only looked at."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=None, apply_default_css=False, padding=False)


def drop_zone(elem_id: str, label: str) -> gr.File:
    """Where files are dropped or chosen; what was dropped moves to a tray at once, so it stays empty."""
    return gr.File(label=label, file_count="multiple", elem_id=elem_id, elem_classes="wb-drop", height=104)


def region_inputs(elem_id: str) -> list[gr.Textbox]:
    """Slices and box to be read of the scans dropped beside; see `workbench.imaging.region.parse_region`."""
    with gr.Accordion("Read a part only", open=False, elem_id=elem_id, elem_classes="wb-region"):
        return [
            gr.Textbox(label=label, placeholder=example, elem_id=f"{elem_id}-{key}", max_lines=1)
            for key, label, example in (
                ("slices", "Slices, first:last", "10:40"),
                ("box", "Box, rows,columns", "20:80,30:90"),
            )
        ]


class View(ABC):
    """A screen.

    Attributes:
        column: holds it; one is visible at a time.
    """

    column: gr.Column

    @abstractmethod
    def components(self) -> list[Block]:
        """Everything `show` may change."""

    @abstractmethod
    def show(self, session: Session) -> Updates:
        """What the components show now."""
