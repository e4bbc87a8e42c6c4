"""Step 1: name the condition and its classes, or take the demonstration."""

from __future__ import annotations

import gradio as gr
from gradio.blocks import Block

from ui.former.session import MAX_CLASSES, MIN_CLASSES, Session
from ui.former.views.base import Updates, View, html, text

_INTRO = """
<div class="wb-lead"><h2>Which condition?</h2>
<p>Name it and its classes. A handful of labelled scans of each class is enough to adapt; a shot is a patient,
so ten scans of ten patients teach more than ten scans of one.</p></div>"""
_DEMO = """
<div class="wb-lead"><h2>Nothing at hand?</h2>
<p>The demonstration fills in a small condition with labelled scans, ready to adapt, and new
scans to read.</p></div>"""


class ConditionView(View):
    """See the module's description."""

    def __init__(self) -> None:
        with (
            gr.Column(elem_id="wb-view-condition", elem_classes="wb-view") as self.column,
            gr.Row(elem_classes="wb-two"),
        ):
            with gr.Column(elem_classes="wb-card", scale=3):
                text(value=_INTRO)
                self.title = gr.Textbox(
                    label="Condition",
                    placeholder="e.g. osteoporosis on knee radiographs",
                    max_lines=1,
                    elem_id="wb-title",
                    autofocus=True,
                )
                with gr.Column(elem_classes="wb-names"):
                    self.names = [
                        gr.Textbox(
                            label=f"Class {index + 1}",
                            max_lines=1,
                            visible=index < MIN_CLASSES,
                            elem_id=f"wb-name-{index}",
                        )
                        for index in range(MAX_CLASSES)
                    ]
                with gr.Row(elem_classes="wb-actions"):
                    self.more = gr.Button("Add a class", elem_id="wb-more", size="sm", variant="secondary")
                    self.fewer = gr.Button(
                        "Remove the last class", elem_id="wb-fewer", size="sm", variant="secondary"
                    )
                self.said = html("wb-condition-said")
                with gr.Row(elem_classes="wb-actions wb-end"):
                    self.forward = gr.Button(
                        "Continue",
                        variant="primary",
                        elem_id="wb-condition-forward",
                        elem_classes="wb-main",
                    )
            with gr.Column(elem_classes="wb-card wb-side", scale=2):
                text(value=_DEMO)
                with gr.Row(elem_classes="wb-actions"):
                    self.demo = gr.Button("Try the demo", variant="secondary", elem_id="wb-demo")
                self.demo_said = html("wb-demo-said")
                with gr.Row(elem_classes="wb-actions"):
                    self.reset = gr.Button(
                        "Start over", variant="secondary", size="sm", visible=False, elem_id="wb-reset"
                    )

    def components(self) -> list[Block]:
        """See `View`."""
        buttons = [self.more, self.fewer, self.demo, self.reset, self.forward]
        return [self.title, *self.names, *buttons, self.said, self.demo_said]

    def show(self, session: Session) -> Updates:
        """See `View`."""
        count = len(session.trays)
        names: dict[Block, object] = {
            box: gr.Textbox(value=session.trays[i].name if i < count else "", visible=i < count)
            for i, box in enumerate(self.names)
        }
        return {
            self.title: session.title,
            **names,
            **self.counts(count),
            self.said: "",
            self.demo_said: "",
            self.reset: gr.Button(visible=bool(session.title)),
        }

    def counts(self, count: int) -> Updates:
        """Which of the buttons that change the number of classes can be pressed."""
        return {
            self.more: gr.Button(interactive=count < MAX_CLASSES),
            self.fewer: gr.Button(interactive=count > MIN_CLASSES),
        }
