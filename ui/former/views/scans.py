"""Step 2: drop scans into the tray of their class."""

from __future__ import annotations

import gradio as gr
from gradio.blocks import Block

from ui.former.render import tray as trays
from ui.former.render.markup import notice
from ui.former.session import MAX_CLASSES, Session
from ui.former.views.base import Updates, View, drop_zone, html, region_inputs, text
from ui.former.work import missing

_INTRO = """
<div class="wb-lead wb-row"><h2>Labelled scans</h2>
<p>DICOM, NIfTI, PNG, JPEG, BMP, TIFF, or zips of them. A series becomes one volume; scans of one patient
count once.</p></div>"""


class ScansView(View):
    """See the module's description."""

    def __init__(self) -> None:
        self.panels: list[gr.Column] = []
        self.heads: list[gr.HTML] = []
        self.drops: list[gr.File] = []
        self.regions: list[list[gr.Textbox]] = []
        self.trays: list[gr.HTML] = []
        with gr.Column(elem_id="wb-view-scans", elem_classes="wb-view", visible=False) as self.column:
            text(value=_INTRO)
            self.note = text()
            with gr.Row(elem_classes="wb-trays"):
                for index in range(MAX_CLASSES):
                    with gr.Column(elem_classes="wb-card wb-tray", visible=False, min_width=0) as panel:
                        self.heads.append(html(f"wb-head-{index}"))
                        self.drops.append(drop_zone(f"wb-drop-{index}", "Scans of this class"))
                        self.regions.append(region_inputs(f"wb-region-{index}"))
                        self.trays.append(html(f"wb-tray-{index}"))
                    self.panels.append(panel)
            with gr.Row(elem_classes="wb-foot"):
                self.summary = text("wb-scans-summary")
                self.forward = gr.Button(
                    "Continue", variant="primary", elem_id="wb-scans-forward", elem_classes="wb-main"
                )

    def components(self) -> list[Block]:
        """See `View`."""
        parts: list[Block] = [
            *self.heads,
            *self.drops,
            *self.trays,
            self.summary,
            self.forward,
            self.note,
        ]
        return [*parts, *self.panels]

    def show(self, session: Session) -> Updates:
        """See `View`."""
        shown: dict[Block, object] = {
            self.panels[i]: gr.Column(visible=i < len(session.trays)) for i in range(MAX_CLASSES)
        }
        for index in range(len(session.trays)):
            shown |= self.tray(session, index)
        return {**shown, **self.footer(session), self.note: notice("info", session.note)}

    def tray(self, session: Session, index: int) -> dict[Block, object]:
        """One class's tray."""
        tray = session.trays[index]
        return {self.heads[index]: trays.heading(tray, index), self.trays[index]: trays.body(tray)}

    def footer(self, session: Session) -> Updates:
        """What is missing, and whether one may go on."""
        said = missing(session)
        return {self.summary: trays.summary(session, said), self.forward: gr.Button(interactive=not said)}
