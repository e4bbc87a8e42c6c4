"""The label screen: a tray worked by keys beside a large view, and how readers agree."""

from __future__ import annotations

import gradio as gr
from gradio.blocks import Block

from ui.render import label as render
from ui.render.scans import hints
from ui.state import Action, At, Context
from ui.views.base import Updates, View, Wiring, html, screen, text
from workbench.service import labels, suggesting, trays, work
from workbench.service.kinds import Level, SuggestedScans


class LabelView(View):
    """See the module's description."""

    name = "label"

    def __init__(self, context: Context) -> None:
        self._context = context
        with screen(self.name) as self.column:
            self.head = html("wb-label-head")
            self.keys = html("wb-label-keys")
            with gr.Column(elem_id="wb-label-frame", min_width=0):
                self.tray = html("wb-label-tray")
                text("wb-label-view", render.viewer())
                self.side = html("wb-label-side")

    def components(self) -> list[Block]:
        """See `View`."""
        return [self.head, self.keys, self.tray, self.side]

    def show(self, at: At) -> Updates:
        """See `View`."""
        store, condition, desk = self._context.store, at.opened, at.desk
        scans = trays.scans(store, at.actor, condition.id)
        several = condition.shared or condition.disputed or any(scan.readers > 1 for scan in scans)
        agreement = labels.agreement(store, at.actor, condition.id) if several else None
        suggested = (
            suggesting.suggested(store, at.actor, condition.id) if condition.version else SuggestedScans()
        )
        return {
            self.head: render.head(condition, scans),
            self.keys: render.keys(condition, scans, desk.tray),
            self.tray: render.tray(condition, scans, desk.tray, desk.undone),
            self.side: render.side(
                condition, scans, agreement, suggested, at.job("suggest"), hints(condition, scans)
            ),
        }

    def wire(self, on: Wiring) -> None:
        """See `View`."""
        for part in (self.head, self.keys, self.tray, self.side):
            on.on(part, self._pressed)

    def _pressed(self, at: At, action: Action) -> None:
        store, desk, condition = self._context.store, at.desk, at.opened
        if action.name == "on":
            desk.go("adapt")
        elif action.name == "back":
            desk.go("scans")
        elif action.name == "show" and action.value in render.FILTERS:
            desk.tray = action.value
        elif action.name == "jump":
            desk.tray = "all"
        elif action.name == "undo":
            scan_id = labels.undo(store, at.actor, condition.id)
            if scan_id is None:
                desk.say("There is no label of yours to take back.", "info")
            else:
                desk.undone = f"{scan_id}:{int(desk.undone.partition(':')[2] or 0) + 1}"
        elif action.name == "settle" and condition.level is not Level.READ:
            scan_id, _, class_id = action.value.partition(":")
            labels.settle(store, at.actor, scan_id, class_id)
        elif action.name == "hints":
            count = labels.accept_hints(store, at.actor, condition.id)
            desk.say(f"{count} labelled as their folders say.")
        elif action.name == "suggest":
            suggesting.next_to_label(store, at.actor, condition.id)
        elif action.name == "cancel":
            work.cancel(store, at.actor, action.value)
