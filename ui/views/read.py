"""The read screen: cases, the viewer, what the model says of a case, and what the reader says."""

from __future__ import annotations

import gradio as gr
from gradio.blocks import Block

from ui.render import case as render
from ui.render import cases as worklist
from ui.render.markup import button, heading, progress, symbol
from ui.render.scans import drop_zone
from ui.state import Action, At, Context
from ui.views.base import Updates, View, Wiring, html, screen
from workbench.service import imports, reading, trays, versions, work
from workbench.service.kinds import CaseInfo, ConditionInfo, ImportOptions, Level

_TOLD = "Names stay behind. Each is read on its own."


class ReadView(View):
    """See the module's description."""

    name = "read"

    def __init__(self, context: Context) -> None:
        self._context = context
        with screen(self.name) as self.column:
            self.empty = html("wb-read-empty")
            with gr.Row(elem_classes="wb-read-grid", elem_id="wb-read-grid"):
                with gr.Column(elem_classes="wb-read-left", min_width=0):
                    self.drop = html("wb-read-drop")
                    self.switch = html("wb-read-switch")
                    self.running = html("wb-read-job")
                    self.cases = html("wb-read-cases")
                with gr.Column(elem_classes="wb-read-middle", min_width=0):
                    self.viewer = html("wb-read-viewer")
                with gr.Column(elem_classes="wb-read-right", min_width=0):
                    self.panel = html("wb-read-panel")

    def components(self) -> list[Block]:
        """See `View`."""
        return [self.empty, self.drop, self.switch, self.running, self.cases, self.viewer, self.panel]

    def show(self, at: At) -> Updates:
        """See `View`."""
        condition, desk, store = at.opened, at.desk, self._context.store
        if not condition.version:
            nothing: dict[Block, object] = dict.fromkeys(self.components(), "")
            return {**nothing, self.empty: _not_yet(condition)}
        held = reading.cases(store, at.actor, condition.id, desk.own_first)
        chosen = _chosen(held, desk.case)
        desk.case = chosen.scan.id if chosen is not None else None
        around = self._around(at)
        jobs = "".join(progress(job) for job in at.jobs if job.kind in ("import", "read"))
        return {
            self.empty: "",
            self.drop: drop_zone(condition, "case", "Drop new scans here", _TOLD, small=True),
            self.switch: worklist.switch(desk.own_first),
            self.running: f'<div class="wb-job-slot">{jobs}</div>' if jobs else "",
            self.cases: worklist.worklist(held, desk.case, condition)
            + (worklist.taken_away(condition) if held else ""),
            self.viewer: render.viewer(chosen, around),
            self.panel: render.panel(chosen, around) if chosen is not None else render.empty(bool(held)),
        }

    def wire(self, on: Wiring) -> None:
        """See `View`."""
        for part in self.components():
            assert isinstance(part, gr.HTML)
            on.on(part, self._do)

    def _around(self, at: At) -> render.Around:
        """What a case is shown with."""
        store, desk, condition = self._context.store, at.desk, at.opened
        active = next((one for one in versions.all(store, at.actor, condition.id) if one.active), None)
        support = trays.scans(store, at.actor, condition.id, "support")
        return render.Around(
            condition.classes,
            {scan.id: scan for scan in support},
            desk.beside,
            active.result.threshold if active is not None else 0.0,
            at.job("evidence"),
            desk.overlaid,
            condition.level is not Level.READ,
        )

    def _do(self, at: At, action: Action) -> Updates | None:
        store, desk = self._context.store, at.desk
        match action.name:
            case "uploaded":
                imports.commit(store, at.actor, action.value, ImportOptions())
            case "case":
                desk.open_case(action.value)
            case "onward":
                self._onward(at)
            case "own-first":
                desk.own_first = action.ticked("own")
                desk.overlaid = False
            case "own" if desk.case is not None:
                reading.give_own(store, at.actor, desk.case, action.value or None)
            case "verdict" if desk.case is not None:
                reading.give_verdict(store, at.actor, desk.case, action.value)
            case "beside":
                desk.beside = None if desk.beside == action.value else action.value
            case "alone":
                desk.beside = None
            case "evidence" if desk.case is not None:
                reading.ask_evidence(store, at.actor, desk.case)
                desk.overlaid = True
            case "overlay":
                desk.overlaid = not desk.overlaid
            case "into-support":
                self._into_support(at, action.value)
            case "cancel":
                work.cancel(store, at.actor, action.value)
            case "screen":
                desk.go(action.value)
            case _:
                pass
        return None

    def _onward(self, at: At) -> None:
        """The next case without a verdict, from the one on the screen on, and around."""
        held = reading.cases(self._context.store, at.actor, at.opened.id, at.desk.own_first)
        here = next((one.scan.number for one in held if one.scan.id == at.desk.case), 0)
        open_to = sorted((one for one in held if not one.verdict), key=lambda one: one.scan.number)
        later = [one for one in open_to if one.scan.number > here] or open_to
        if later:
            at.desk.open_case(later[0].scan.id)
        else:
            at.desk.say("Every case has your verdict.")

    def _into_support(self, at: At, value: str) -> None:
        scan_id, _, class_id = value.partition(" ")
        reading.into_support(self._context.store, at.actor, scan_id, class_id or None)
        at.desk.open_case(None)
        at.desk.say("It is among the labelled scans now. The next adaptation learns from it.")


def _chosen(held: tuple[CaseInfo, ...], scan_id: str | None) -> CaseInfo | None:
    """The case of that identifier; else the first to be read."""
    found = next((one for one in held if one.scan.id == scan_id), None)
    return found or next(iter(worklist.in_order(held)), None)


def _not_yet(condition: ConditionInfo) -> str:
    tool = button("Go to Adapt", "screen", "adapt", kind="main")
    return (
        f'{heading("Read")}<section class="wb-empty wb-empty-tall">{symbol("read")}<h3>Nothing reads yet</h3>'
        "<p>New scans are read by an adapted version, and there is none yet. Label a few patients of each "
        "class, "
        f"then adapt.</p>{tool}</section>"
    )
