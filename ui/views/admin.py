"""The admin screen: people, workers and room, how long things are kept, the trail, and one's own tokens."""

from __future__ import annotations

import math
from dataclasses import fields

import gradio as gr
from gradio.blocks import Block

from ui.render import account, site
from ui.state import Action, At, Context
from ui.views.base import Updates, View, Wiring, html, screen
from workbench.errors import SupportError
from workbench.service import accounts, oversight, retention
from workbench.service.kinds import Role
from workbench.service.retention import Rules

_GB = 1_000_000_000
_QUOTA_AT_MOST = 100_000


class AdminView(View):
    """See the module's description."""

    name = "admin"

    def __init__(self, context: Context) -> None:
        self._context = context
        with screen(self.name) as self.column:
            self.head = html("wb-admin-head")
            with gr.Row(elem_classes="wb-site-grid"):
                with gr.Column(elem_classes="wb-site-stack", min_width=0):
                    self.people = html("wb-admin-people")
                    self.retention = html("wb-admin-retention")
                with gr.Column(elem_classes="wb-site-stack", min_width=0):
                    self.health = html("wb-admin-health")
                    self.tokens = html("wb-admin-tokens")
            self.trail = html("wb-admin-trail")

    def components(self) -> list[Block]:
        """See `View`."""
        return [self.head, self.people, self.retention, self.health, self.tokens, self.trail]

    def show(self, at: At) -> Updates:
        """See `View`."""
        store, actor = self._context.store, at.actor
        shown: dict[Block, object] = dict.fromkeys(self.components(), "")
        admin = actor.role is Role.ADMIN
        shown[self.head] = site.head(admin)
        shown[self.tokens] = account.tokens(self._own_tokens(at), "")
        if admin:
            shown[self.people] = self._people(at, "")
            shown[self.retention] = site.retention(retention.rules(store, actor), None)
            shown[self.health] = site.health(oversight.health(store, actor))
            shown[self.trail] = site.trail(oversight.trail(store, actor), None)
        return shown

    def wire(self, on: Wiring) -> None:
        """See `View`."""
        on.on(self.people, self._of_people)
        on.on(self.retention, self._of_retention)
        on.on(self.trail, self._of_trail)
        on.on(self.tokens, self._of_tokens)

    def _people(self, at: At, opened: str) -> str:
        store = self._context.store
        held = accounts.users(store, at.actor)
        return site.people(held, at.actor.user_id, opened, oversight.site_quota(store), self._context.login)

    def _own_tokens(self, at: At) -> tuple[accounts.TokenInfo, ...]:
        return accounts.tokens(self._context.store, at.actor)

    def _of_people(self, at: At, action: Action) -> Updates | None:
        store, actor = self._context.store, at.actor
        match action.name:
            case "form":
                return {self.people: self._people(at, action.value)}
            case "shut":
                return {self.people: self._people(at, "")}
            case "add-user":
                role, name = _role(action), action.text("name")
                made = accounts.create_user(
                    store, actor, name, role, _password(action), action.text("display")
                )
                at.desk.say(f"{made.name} may sign in now.")
            case "change-user":
                accounts.set_role(store, actor, action.value, _role(action))
                accounts.set_quota(store, actor, action.value, _quota(action.text("quota")))
                at.desk.say("Saved.")
            case "set-password":
                accounts.set_password(store, actor, action.value, _password(action))
                at.desk.say("The password is set. Tell it in person.")
            case "close" | "reopen":
                accounts.deactivate(store, actor, action.value, active=action.name == "reopen")
                at.desk.say("The account is open." if action.name == "reopen" else "The account is closed.")
            case _:
                pass
        return None

    def _of_retention(self, at: At, action: Action) -> Updates | None:
        store, actor = self._context.store, at.actor
        if action.name == "keep":
            days = {one.name: _days(action.text(one.name)) for one in fields(Rules)}
            retention.set_rules(store, actor, Rules(**days))
            at.desk.say("Saved. The rules act within a day.")
        elif action.name == "dry-run":
            found = retention.preview(store, actor)
            return {self.retention: site.retention(retention.rules(store, actor), found)}
        return None

    def _of_trail(self, at: At, action: Action) -> Updates | None:
        store, actor = self._context.store, at.actor
        what, who = action.text("what"), action.text("who")
        match action.name:
            case "filter-trail":
                return {self.trail: site.trail(oversight.trail(store, actor, what, who), None)}
            case "older" if action.value.isdecimal():
                page = oversight.trail(store, actor, what, who, int(action.value))
                return {self.trail: site.trail(page, None)}
            case "verify-trail":
                verdict = oversight.verify_trail(store, actor)
                return {self.trail: site.trail(oversight.trail(store, actor, what, who), verdict)}
            case _:
                return None

    def _of_tokens(self, at: At, action: Action) -> Updates | None:
        store, actor = self._context.store, at.actor
        match action.name:
            case "token":
                days = action.text("days")
                if not days.isdecimal() or int(days) < 1:
                    raise SupportError("Say for how many days the token holds: a whole number from 1.")
                fresh = accounts.issue_token(store, actor, action.text("name"), float(days))
                return {self.tokens: account.tokens(self._own_tokens(at), fresh)}
            case "revoke":
                accounts.revoke_token(store, actor, action.value)
                at.desk.say("The token holds no more.")
            case _:
                pass
        return None


def _days(text: str) -> int:
    if not text.isdecimal():
        raise SupportError("Days are whole numbers; 0 keeps things for good.")
    return int(text)


def _role(action: Action) -> Role:
    try:
        return Role(action.text("role"))
    except ValueError:
        raise SupportError("Choose a role of the list.") from None


def _password(action: Action) -> str:
    """As typed: blanks at its ends belong to it."""
    held = action.fields.get("password", ())
    return held[0] if held else ""


def _quota(text: str) -> int | None:
    """Bytes from gigabytes; None where the field is empty."""
    if not text:
        return None
    try:
        amount = float(text.replace(",", "."))
    except ValueError:
        amount = math.nan
    if not 0 < amount <= _QUOTA_AT_MOST:
        raise SupportError(f"A quota is a number of gigabytes above 0 and up to {_QUOTA_AT_MOST}, or empty.")
    return int(amount * _GB)
