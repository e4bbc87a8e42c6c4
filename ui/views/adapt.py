"""The adapt screen: one button, what came of it, and the versions so far."""

from __future__ import annotations

import gradio as gr
from gradio.blocks import Block

from ui.render import result, versions
from ui.state import Action, At, Context
from ui.views.base import Updates, View, Wiring, html, screen
from workbench.service import adapting, trays, work
from workbench.service import versions as service
from workbench.service.kinds import JobInfo, Level, VersionInfo

METHODS = (
    *("auto", "prototypical", "simpleshot", "linear-probe", "baseline-plus-plus", "mahalanobis", "matching"),
    *("siamese", "committee", "fine-tune", "from-scratch", "maml", "anil", "boil", "alfa", "reptile"),
    *("meta-sgd", "meta-curvature", "meta-lstm", "oml"),
)
"""Every method by name; naming them here keeps what computes out of the page's process."""


class AdaptView(View):
    """See the module's description."""

    name = "adapt"

    def __init__(self, context: Context) -> None:
        self._context = context
        with screen(self.name) as self.column:
            self.head = html("wb-adapt-head")
            with gr.Row(elem_classes="wb-adapt-grid"):
                with gr.Column(elem_classes="wb-adapt-side", min_width=0):
                    self.support = html("wb-adapt-support")
                    self.versions = html("wb-adapt-versions")
                with gr.Column(elem_classes="wb-adapt-main", min_width=0):
                    self.result = html("wb-adapt-result")

    def components(self) -> list[Block]:
        """See `View`."""
        return [self.head, self.support, self.versions, self.result]

    def show(self, at: At) -> Updates:
        """See `View`."""
        condition, desk, store = at.opened, at.desk, self._context.store
        held = service.all(store, at.actor, condition.id)
        shown = _named(held, desk.version) or _active(held)
        beside = _named(held, desk.against)
        may_edit = condition.level is not Level.READ
        main = result.nothing(condition)
        if shown is not None:
            scans = {scan.id: scan for scan in trays.scans(store, at.actor, condition.id, "support")}
            compared = versions.side_by_side(shown, beside) if beside is not None and beside != shown else ""
            main = compared + result.result(shown, scans)
        job = at.job("adapt")
        return {
            self.head: result.head(),
            self.support: result.ingredients(condition, METHODS, job, None if job else self._last(at)),
            self.versions: versions.listed(
                held,
                shown.id if shown else None,
                beside.id if beside else None,
                may_edit,
            ),
            self.result: main,
        }

    def wire(self, on: Wiring) -> None:
        """See `View`."""
        for component in (self.head, self.support, self.versions, self.result):
            on.on(component, self._do)

    def _last(self, at: At) -> JobInfo | None:
        """The adaptation that was asked for last."""
        asked = work.of_condition(self._context.store, at.actor, at.opened.id, unfinished=False)
        return next((one for one in asked if one.kind == "adapt"), None)

    def _do(self, at: At, action: Action) -> Updates | None:
        store, desk = self._context.store, at.desk
        match action.name:
            case "adapt":
                desk.version = desk.against = None
                adapting.start(store, at.actor, at.opened.id, action.text("method"))
            case "cancel":
                work.cancel(store, at.actor, action.value)
            case "version":
                desk.version = action.value
                desk.against = None if desk.against == action.value else desk.against
            case "compare":
                desk.against = None if desk.against == action.value else action.value
            case "activate":
                made = service.activate(store, at.actor, action.value)
                desk.version = made.id
                desk.say(f"Version {made.number} is in use now. Cases are read by it.")
            case "look":
                desk.look(action.value)
            case "screen":
                desk.go(action.value)
            case _:
                pass
        return None


def _named(held: tuple[VersionInfo, ...], version_id: str | None) -> VersionInfo | None:
    return next((one for one in held if one.id == version_id), None)


def _active(held: tuple[VersionInfo, ...]) -> VersionInfo | None:
    return next((one for one in held if one.active), None)
