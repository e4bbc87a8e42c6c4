"""The worklist: what there is, how it stands, and the ways to begin."""

from __future__ import annotations

from gradio.blocks import Block

from ui.render import worklist as render
from ui.state import SCREENS, Action, At, Context
from ui.views.base import Updates, View, Wiring, html, screen
from workbench.service import conditions, work
from workbench.service.kinds import JobInfo


class WorklistView(View):
    """See the module's description."""

    name = "worklist"

    def __init__(self, context: Context) -> None:
        self._context = context
        with screen(self.name) as self.column:
            self.head = html("wb-worklist-head")
            self.body = html("wb-worklist-body")

    def components(self) -> list[Block]:
        """See `View`."""
        return [self.head, self.body]

    def show(self, at: At) -> Updates:
        """See `View`."""
        store = self._context.store
        found = conditions.mine(store, at.actor, at.desk.archived)
        running: dict[str, JobInfo] = {}
        for one in found:
            jobs = work.of_condition(store, at.actor, one.id)
            if jobs:
                running[one.id] = jobs[0]
        return {
            self.head: render.head(at.actor.role, at.desk.archived, len(found)),
            self.body: render.rows(found, running, at.desk.last, at.actor.role),
        }

    def wire(self, on: Wiring) -> None:
        """See `View`."""
        on.on(self.head, self._pressed)
        on.on(self.body, self._pressed)

    def _pressed(self, at: At, action: Action) -> None:
        store, desk = self._context.store, at.desk
        if action.name == "archived":
            desk.archived = action.value == "yes"
        elif action.name == "new":
            desk.begin()
        elif action.name == "demo":
            condition, _ = conditions.start_demo(store, at.actor)
            desk.go("scans", condition.id)
            desk.say(
                "The demo's scans are being made; they come labelled. Adapt when they are there.", "info"
            )
        elif action.name in ("archive", "restore"):
            conditions.archive(store, at.actor, action.value, action.name == "archive")
            desk.say(
                "Put away. “With archived” shows it." if action.name == "archive" else "Back on the worklist."
            )
        elif action.name == "open":
            condition_id, _, where = action.value.partition(":")
            target = where or desk.last_screen
            desk.go(target if target in SCREENS else "scans", condition_id)
