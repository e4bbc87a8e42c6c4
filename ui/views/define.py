"""The define screen: a condition, its classes, whose scans, what is expected, and who shares it."""

from __future__ import annotations

from dataclasses import replace

from gradio.blocks import Block

from ui.render import define as render
from ui.state import Action, At, Context
from ui.views.base import Updates, View, Wiring, html, screen
from workbench.errors import StaleEdit, SupportError
from workbench.service import conditions
from workbench.service.kinds import Draft, Level

_EVERYBODY = "everybody"


class DefineView(View):
    """See the module's description."""

    name = "define"

    def __init__(self, context: Context) -> None:
        self._context = context
        with screen(self.name) as self.column:
            self.form = html("wb-define-form")
            self.sharing = html("wb-define-sharing")

    def components(self) -> list[Block]:
        """See `View`."""
        return [self.form, self.sharing]

    def show(self, at: At) -> Updates:
        """See `View`."""
        desk, condition = at.desk, at.condition
        draft = desk.draft or (condition.draft if condition is not None else Draft(""))
        revision = desk.revision
        if condition is not None and desk.draft is None:
            revision = condition.revision
        parent = None
        if desk.extending is not None:
            parent = conditions.get(self._context.store, at.actor, desk.extending)
        return {
            self.form: render.page(draft, condition, parent, revision, desk.stale),
            self.sharing: "" if condition is None else render.sharing(condition),
        }

    def wire(self, on: Wiring) -> None:
        """See `View`."""
        on.on(self.form, self._edit)
        on.on(self.sharing, self._manage)

    def _edit(self, at: At, action: Action) -> None:
        desk = at.desk
        if action.name == "back":
            desk.drop_draft()
            if at.condition is None:
                desk.leave()
            return
        draft = _draft(action, desk.draft or (at.condition.draft if at.condition is not None else Draft("")))
        if action.text("revision").isdecimal():
            desk.revision = int(action.text("revision"))
        if action.name == "add-class":
            desk.draft = replace(draft, classes=(*draft.classes, ""), prevalence=None)
        elif action.name == "remove-class" and action.value.isdecimal():
            kept = tuple(name for i, name in enumerate(draft.classes) if i != int(action.value))
            desk.draft = replace(draft, classes=kept, prevalence=None)
        elif action.name == "theirs":
            desk.drop_draft()
        elif action.name in ("save", "mine"):
            if action.name == "mine" and at.condition is not None:
                desk.revision = at.condition.revision
            desk.draft = draft  # what was typed stays, if it is refused
            self._save(at, draft)

    def _save(self, at: At, draft: Draft) -> None:
        store, desk = self._context.store, at.desk
        draft = replace(draft, prevalence=_checked(draft.prevalence))
        if at.condition is not None:
            try:
                conditions.edit(store, at.actor, at.condition.id, draft, desk.revision)
            except StaleEdit:
                desk.stale = True
                raise
            desk.drop_draft()
            desk.say("Saved.")
            return
        if desk.extending is not None:
            made = conditions.extend(store, at.actor, desk.extending, draft)
        else:
            made = conditions.create(store, at.actor, draft)
        desk.drop_draft()
        desk.go("scans", made.id)

    def _manage(self, at: At, action: Action) -> None:
        store, desk, condition = self._context.store, at.desk, at.opened
        if action.name == "share":
            level = Level.EDIT if action.text("level") == "edit" else Level.READ
            if not action.text("who"):
                raise SupportError("Type the name the other person signs in with.")
            conditions.share(store, at.actor, condition.id, action.text("who"), level)
            desk.say("Shared.")
        elif action.name == "unshare":
            name = "*" if action.value == _EVERYBODY else action.value
            conditions.share(store, at.actor, condition.id, name, None)
            desk.say("No longer shared.")
        elif action.name == "extend":
            desk.begin(replace(condition.draft, title="", parent=condition.id), condition.id)
        elif action.name in ("archive", "restore"):
            conditions.archive(store, at.actor, condition.id, action.name == "archive")
            desk.say("Archived." if action.name == "archive" else "Back on the worklist.")
        elif action.name == "delete":
            conditions.delete(store, at.actor, condition.id)
            desk.leave()
            desk.last = None
            desk.say("Deleted.")


def _draft(action: Action, before: Draft) -> Draft:
    """What the form holds; a share that is no number is said when it is saved."""
    shares = action.texts("prevalence")
    cost = _number(action.text("miss_cost"))
    return replace(
        before,
        title=action.text("title"),
        classes=action.texts("class"),
        modality=action.text("modality"),
        body_part=action.text("body_part").upper(),
        population=action.text("population"),
        prevalence=tuple(_share(one) for one in shares) if any(shares) else None,
        miss_cost=2.0 ** max(-5.0, min(5.0, 0.0 if cost is None else cost)),
    )


def _share(text: str) -> float:
    number = _number(text)
    return -1.0 if number is None else number / 100.0


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ".").rstrip("% "))
    except ValueError:
        return None


def _checked(shares: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Shares as they are stored.

    Raises:
        SupportError: one is missing, or they do not make up the whole.
    """
    if shares is None:
        return None
    if min(shares) < 0 or abs(sum(shares) - 1.0) > 0.005:
        raise SupportError(
            "The expected shares must be given for every class and sum to 100 %, or be left empty."
        )
    return tuple(share / sum(shares) for share in shares)
