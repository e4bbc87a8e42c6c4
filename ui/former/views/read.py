"""Step 4: drop new scans and read each."""

from __future__ import annotations

import gradio as gr
from gradio.blocks import Block

from ui.former.render import reading as render
from ui.former.session import Case, Session
from ui.former.views.base import Updates, View, drop_zone, html, region_inputs, text
from workbench.imaging.display import WINDOW_PRESETS, default_window
from workbench.imaging.scan import Units

AS_STORED = "As stored"
CUSTOM = "Custom"


class ReadView(View):
    """See the module's description."""

    def __init__(self) -> None:
        with (
            gr.Column(elem_id="wb-view-read", elem_classes="wb-view", visible=False) as self.column,
            gr.Row(elem_classes="wb-reader"),
        ):
            with gr.Column(elem_classes="wb-card wb-left", min_width=0):
                self.drop = drop_zone("wb-drop-new", "New scans")
                self.region = region_inputs("wb-region-new")
                self.offer = gr.Button(
                    "Read the demo’s new scans", visible=False, size="sm", elem_id="wb-offer"
                )
                self.said = text("wb-read-said")
                self.worklist = html("wb-worklist")
                self.exports = text("wb-exports")
            with gr.Column(elem_classes="wb-middle", min_width=0):
                self.viewer = text("wb-viewer")
                with gr.Column(elem_classes="wb-controls", visible=False, min_width=0) as self.controls:
                    self.slice = gr.Slider(1, 2, 1, step=1, label="Slice", elem_id="wb-slice")
                    self.preset = gr.Radio(
                        [AS_STORED],
                        value=AS_STORED,
                        label="Window",
                        elem_id="wb-preset",
                        elem_classes="wb-chips",
                    )
                    with gr.Row(elem_classes="wb-sliders"):
                        self.centre = gr.Slider(0, 1, 0.5, label="Level (centre)", elem_id="wb-centre")
                        self.width = gr.Slider(0, 1, 1, label="Width", elem_id="wb-width")
            with gr.Column(elem_classes="wb-right-side", min_width=0):
                self.reading = html("wb-reading")

    def components(self) -> list[Block]:
        """See `View`."""
        parts = [self.drop, self.offer, self.said, self.worklist, self.exports, self.viewer, self.reading]
        return [*parts, self.slice, self.preset, self.centre, self.width, self.controls]

    def show(self, session: Session) -> Updates:
        """See `View`."""
        return {
            self.said: "",
            self.offer: gr.Button(visible=bool(session.offered)),
            self.worklist: render.worklist(session),
            self.exports: render.exports(session),
            **self.image(session),
            self.reading: render.reading(session),
            **self._settings(session.case),
        }

    def image(self, session: Session) -> Updates:
        """The picture alone, while a slider moves."""
        return {self.viewer: render.viewer(session)}

    def _settings(self, case: Case | None) -> Updates:
        if case is None:
            return {self.controls: gr.Column(visible=False)}
        slices = case.held.scan.pixels.shape[0]
        return {
            self.controls: gr.Column(visible=True),
            self.slice: gr.Slider(
                minimum=1,
                maximum=max(2, slices),
                value=case.slice_index + 1,
                visible=slices > 1,
                label=f"Slice, 1 to {slices}",
            ),
            **self.window(case),
        }

    def window(self, case: Case) -> Updates:
        """Preset, level and width of a case, over what its values span."""
        centre, width = case.window or default_window(case.held.scan, case.slice_index)
        low, high = _span(case)
        low, high = min(low, centre), max(high, centre)
        step = 1.0 if high - low > 50 else round((high - low) / 200, 6) or 0.001
        unit = " (HU)" if case.held.scan.units is Units.HOUNSFIELD else ""
        return {
            self.preset: gr.Radio(choices=presets(case), value=preset_of(case)),
            self.centre: gr.Slider(minimum=low, maximum=high, value=centre, step=step, label=f"Level{unit}"),
            self.width: gr.Slider(
                minimum=step,
                maximum=max(width, 1.5 * (high - low)),
                value=width,
                step=step,
                label=f"Width{unit}",
            ),
        }


def presets(case: Case) -> list[str]:
    """Windows offered for a scan: presets are in Hounsfield units and mean nothing elsewhere."""
    named = list(WINDOW_PRESETS) if case.held.scan.units is Units.HOUNSFIELD else []
    return [AS_STORED, *named, CUSTOM]


def preset_of(case: Case) -> str:
    """Which of them the scan is looked at with."""
    if case.window is None:
        return AS_STORED
    return next((name for name, window in WINDOW_PRESETS.items() if window == case.window), CUSTOM)


def _span(case: Case) -> tuple[float, float]:
    scan = case.held.scan
    if scan.units is Units.HOUNSFIELD:
        return -1024.0, 2048.0
    if scan.value_range is not None:
        return scan.value_range
    return float(scan.pixels.min()), float(scan.pixels.max())
