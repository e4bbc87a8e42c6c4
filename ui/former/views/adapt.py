"""Step 3: adapt, and see what the adapted model can be expected to do."""

from __future__ import annotations

import gradio as gr
from gradio.blocks import Block

from ui.former.render.estimate import estimate
from ui.former.render.markup import esc, notice
from ui.former.session import Session
from ui.former.views.base import Updates, View, text
from ui.former.work import Engine

_INTRO = """
<div class="wb-lead"><h2>Adapt</h2>
<p>The meta-trained model adapts to your labelled scans. It is then tried on each of your patients in turn,
every time adapted to the others only.</p></div>"""
_NOTHING = (
    '<div class="wb-estimate wb-empty"><p>The estimate appears here: how many of your own patients are read '
    "right by a model that has not seen them.</p></div>"
)


class AdaptView(View):
    """See the module's description."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with (
            gr.Column(elem_id="wb-view-adapt", elem_classes="wb-view", visible=False) as self.column,
            gr.Row(elem_classes="wb-two wb-narrow-first"),
        ):
            with gr.Column(elem_classes="wb-card", scale=2, min_width=0):
                text(value=_INTRO)
                self.note = text()
                self.shots = text()
                with gr.Accordion("Method", open=False, elem_classes="wb-fold"):
                    self.method = gr.Radio(
                        [(self.label(name), name) for name in engine.methods],
                        value=engine.default_method,
                        show_label=False,
                        container=False,
                        elem_id="wb-method",
                        elem_classes="wb-list",
                    )
                self.adapt = gr.Button("Adapt", variant="primary", elem_id="wb-adapt", elem_classes="wb-main")
                self.said = text("wb-adapt-said")
            with gr.Column(elem_classes="wb-card", scale=4, min_width=0):
                self.estimate = text("wb-estimate", _NOTHING)
                with gr.Row(elem_classes="wb-actions wb-end"):
                    self.save = text()
                    self.forward = gr.Button(
                        "Read new scans", variant="primary", visible=False, elem_id="wb-adapt-forward"
                    )

    def label(self, method: str) -> str:
        """How a method is offered."""
        if method == "auto":
            spoken = "Automatic"
        else:
            spoken = method.replace("-", " ").capitalize() if len(method) > 4 else method.upper()
        return f"{spoken} (default)" if method == self._engine.default_method else spoken

    def components(self) -> list[Block]:
        """See `View`."""
        return [
            self.note,
            self.shots,
            self.method,
            self.adapt,
            self.said,
            self.estimate,
            self.save,
            self.forward,
        ]

    def show(self, session: Session) -> Updates:
        """See `View`."""
        adapted = session.adapted
        rows = "".join(
            f'<li><span class="wb-swatch wb-class-{i}"></span><b>{esc(tray.name)}</b>'
            f"<span>{tray.patients} patient{'' if tray.patients == 1 else 's'}</span></li>"
            for i, tray in enumerate(session.trays)
        )
        save = '<a class="wb-button wb-quiet" href="/export/model.safetensors" download>Save model</a>'
        return {
            self.note: notice("info", session.note),
            self.shots: f'<ul class="wb-shots">{rows}</ul>',
            self.method: session.method or self._engine.default_method,
            self.adapt: gr.Button(
                "Adapt again" if adapted else "Adapt",
                variant="secondary" if adapted else "primary",
                interactive=True,
            ),
            self.said: "",
            self.estimate: estimate(adapted) if adapted else _NOTHING,
            self.save: save if adapted else "",
            self.forward: gr.Button(visible=adapted is not None),
        }
