"""The page: the screens in their frame, and what happens when something is pressed.

Handlers learn who asks from the request, look up that tab's desk, do what was asked through the service, and
answer with what the screen then shows. While something runs in the background a timer asks for it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import gradio as gr
from gradio.blocks import Block

from ui.render import frame
from ui.server import actor_of
from ui.state import SCREENS, Action, At, Context, Desk, Desks, Notice
from ui.views.adapt import AdaptView
from ui.views.admin import AdminView
from ui.views.base import Handler, Updates, View, html, text
from ui.views.define import DefineView
from ui.views.evaluate import EvaluateView
from ui.views.label import LabelView
from ui.views.read import ReadView
from ui.views.scans import ScansView
from ui.views.worklist import WorklistView
from workbench.errors import NotFound, SignInError, WorkbenchError, without_words
from workbench.service import conditions, work
from workbench.service.kinds import Actor, ConditionInfo, JobInfo, Role

_LOG = logging.getLogger(__name__)
_TICK_SECONDS = 1.0
_DEFECT = (
    "Something went wrong in the workbench itself; what you did before is kept. Reload the page. If it "
    "happens again, tell whoever runs it."
)
_FREE = frozenset({"worklist", "define", "admin"})


class Page:
    """Builds the Gradio application.

    Args:
        context: the store, and what is set up beside it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._desks = Desks()
        with gr.Blocks(title="Few-shot diagnosis workbench", analytics_enabled=False) as self.blocks:
            self.top = html("wb-top")
            with gr.Row(elem_id="wb-shell"):
                self.rail = html("wb-rail")
                with gr.Column(elem_id="wb-main", min_width=0):
                    self.views: dict[str, View] = {
                        view.name: view
                        for view in (
                            WorklistView(context),
                            DefineView(context),
                            ScansView(context),
                            LabelView(context),
                            AdaptView(context),
                            ReadView(context),
                            EvaluateView(context),
                            AdminView(context),
                        )
                    }
            self.said = html("wb-said")
            text(value=frame.keys())
            self.timer = gr.Timer(_TICK_SECONDS, active=False)
            self._wire()
        self.blocks.queue(default_concurrency_limit=16, max_size=256)

    def on(self, component: gr.HTML, handler: Handler) -> None:
        """See `ui.views.base.Wiring`."""

        def handle(event: gr.EventData, request: gr.Request) -> Updates:
            return self._answer(request, handler, _action(event))

        self._listen(component.click, handle)

    def show(self, at: At, whole: bool = True) -> Updates:
        """The frame, and everything on the screen somebody is at.

        Args:
            at: who is where.
            whole: also say which column is visible and what the notice is; not while a timer ticks.
        """
        desk, view = at.desk, self.views[at.screen]
        busy = bool(at.jobs) or (at.screen == "worklist" and self._anything_runs(at))
        shown: dict[Block, object] = {
            self.top: frame.top(at, self._context.login),
            self.rail: frame.rail(at),
            self.timer: gr.Timer(active=busy),
            **view.show(at),
        }
        if whole:
            shown[self.said] = frame.said(desk.notice)
            desk.notice = None
        if desk.painted != at.screen:
            shown |= {v.column: gr.Column(visible=v is view) for v in self.views.values()}
            desk.painted = at.screen
        return shown

    @property
    def _outputs(self) -> list[Block]:
        parts: list[Block] = [self.top, self.rail, self.said, self.timer]
        for view in self.views.values():
            parts += [view.column, *view.components()]
        return parts

    def _wire(self) -> None:
        self._listen(self.blocks.load, self._load)
        self._listen(self.timer.tick, self._tick, "once")
        self.on(self.top, self._go)
        self.on(self.rail, self._go)
        self.on(self.said, lambda at, action: None)
        for view in self.views.values():
            view.wire(self)

    def _listen(
        self, event: Callable[..., object], handle: Callable[..., Updates], mode: str = "multiple"
    ) -> None:
        event(
            handle,
            None,
            self._outputs,
            show_progress="hidden",
            api_visibility="private",
            trigger_mode=mode,
        )

    def _load(self, request: gr.Request) -> Updates:
        return self._answer(request, self._open, Action("open"))

    def _tick(self, request: gr.Request) -> Updates:
        return self._answer(request, lambda at, action: self.show(at, whole=False), Action("tick"))

    def _answer(self, request: gr.Request, handler: Handler, action: Action) -> Updates:
        """Do what was asked, and say what the screen then shows; errors become a line on the screen."""
        try:
            actor = actor_of(request)
        except SignInError as error:
            return {self.said: frame.said(Notice("warning", str(error))), self.timer: gr.Timer(active=False)}
        desk = self._desks.of(actor, request.session_hash or "")
        with desk.lock:  # two presses in a row are answered in their order
            return self._done(actor, desk, handler, action)

    def _done(self, actor: Actor, desk: Desk, handler: Handler, action: Action) -> Updates:
        try:
            before = (desk.screen, desk.condition_id)
            changed = handler(self._at(actor, desk), action)
            if changed is not None:
                return changed
            if before != (desk.screen, desk.condition_id):
                conditions.remember(self._context.store, actor, desk.condition_id, desk.screen)
        except SignInError as error:
            return {self.said: frame.said(Notice("warning", str(error)))}
        except WorkbenchError as error:
            desk.say(str(error), "warning")
        except Exception as error:
            _LOG.error("A handler of the page failed: %s", without_words(error))
            desk.say(_DEFECT, "refused")
        try:
            return self.show(self._at(actor, desk))
        except Exception as error:
            _LOG.error("A screen cannot be shown: %s", without_words(error))
            return {self.said: frame.said(Notice("refused", _DEFECT)), self.timer: gr.Timer(active=False)}

    def _at(self, actor: Actor, desk: Desk) -> At:
        """Where somebody is now; what was taken away meanwhile leads back to the worklist."""
        condition: ConditionInfo | None = None
        running: tuple[JobInfo, ...] = ()
        store = self._context.store
        if desk.condition_id is not None:
            try:
                # Jobs first: one that ends in between has its effect in what is read after, and no further
                # tick is needed to show it.
                running = work.of_condition(store, actor, desk.condition_id)
                condition = conditions.get(store, actor, desk.condition_id)
            except NotFound as error:
                desk.leave()
                desk.last = None
                desk.say(str(error), "warning")
        if condition is None and (
            desk.screen not in _FREE or (desk.screen == "define" and desk.draft is None)
        ):
            desk.screen = "worklist"
        return At(actor, condition, desk.screen, desk, running)

    def _open(self, at: At, action: Action) -> None:
        """Resume where the person was when the page was last open."""
        desk = at.desk
        desk.painted = ""
        condition_id, where = conditions.place(self._context.store, at.actor)
        if condition_id is not None and where in SCREENS:
            desk.go(where, condition_id)

    def _go(self, at: At, action: Action) -> None:
        """Go to a screen, or say that the reader's name was set."""
        desk = at.desk
        if action.name == "named":
            desk.say("Your labels and opinions now carry this name.")
            return
        if action.name != "go" or action.value not in SCREENS:
            return
        if action.value == "admin" and at.actor.role is not Role.ADMIN:
            return
        if action.value == "worklist":
            desk.leave()
            return
        desk.drop_draft()
        desk.go(action.value)

    def _anything_runs(self, at: At) -> bool:
        found = conditions.mine(self._context.store, at.actor)
        return any(work.of_condition(self._context.store, at.actor, one.id) for one in found)


def _action(event: gr.EventData) -> Action:
    """What was pressed; anything may be sent, so nothing but text is taken."""
    data = event._data if isinstance(event._data, dict) else {}
    fields = data.get("fields")
    held = {
        str(name): tuple(str(one) for one in values)
        for name, values in (fields.items() if isinstance(fields, dict) else ())
        if isinstance(values, list)
    }
    return Action(str(data.get("action", "")), str(data.get("value", "")), held)
