"""Signing in and out, and one's own account: plain forms that work without JavaScript.

There is no set-up over the web: the first administrator is made on the server
(``workbench users add NAME --role admin``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup
from sqlalchemy import select

from ui import forms
from ui.server import actor_of, cookie_header, cookie_of
from ui.serving import Serving
from workbench.errors import SignInError, WorkbenchError
from workbench.service import accounts
from workbench.service.kinds import Actor
from workbench.store.database import Store
from workbench.store.schema import User

_FIRST = "Nobody can sign in yet. On the server, make the first user: workbench users add NAME --role admin"
Text = Annotated[str, Form(max_length=2048)]


def router(store: Store, serving: Serving) -> APIRouter:
    """The routes; without login there is only the way back to the page."""
    routes = APIRouter(include_in_schema=False)
    if not serving.login:

        @routes.get("/login")
        def no_login() -> Response:
            return _to("/")

        return routes

    @routes.get("/login")
    def ask(request: Request) -> Response:
        if _actor(request) is not None:
            return forms.onwards()
        return _ask(store, serving, "" if _somebody(store) else _FIRST)

    @routes.post("/login")
    def sign_in(request: Request, name: Text = "", password: Text = "") -> Response:
        address = request.client.host if request.client is not None else ""
        try:
            user = accounts.authenticate(store, name, password, address)
            value = accounts.sign_in(store, user.id)
        except SignInError as error:
            return _ask(store, serving, str(error), status=403)
        old = cookie_of(request, serving)
        if old:
            accounts.sign_out(store, old)
        return _with_cookie(_to("/"), serving, value)

    @routes.post("/logout")
    def sign_out(request: Request) -> Response:
        accounts.sign_out(store, cookie_of(request, serving))
        return _with_cookie(_to("/login"), serving, "")

    @routes.post("/logout/everywhere")
    def sign_out_everywhere(request: Request) -> Response:
        accounts.sign_out_everywhere(store, actor_of(request))
        return _with_cookie(_to("/login"), serving, "")

    @routes.get("/account")
    def account(request: Request) -> Response:
        return _account(store, actor_of(request))

    @routes.post("/account/password")
    def change_password(request: Request, old: Text = "", new: Text = "", again: Text = "") -> Response:
        actor = actor_of(request)
        address = request.client.host if request.client is not None else ""
        try:
            if new != again:
                raise WorkbenchError("The new password was not typed the same way twice.")
            accounts.change_password(store, actor, old, new, address)
        except WorkbenchError as error:
            return _account(store, actor, str(error), status=422)
        return _with_cookie(_to("/"), serving, accounts.sign_in(store, actor.user_id))

    @routes.post("/account/tokens")
    def issue(request: Request, name: Text = "", days: Text = "90") -> Response:
        actor = actor_of(request)
        try:
            value = accounts.issue_token(store, actor, name, float(days) if days.isdecimal() else 0.0)
        except WorkbenchError as error:
            return _account(store, actor, str(error), status=422)
        return _account(store, actor, token=value)

    @routes.post("/account/tokens/revoke")
    def revoke(request: Request, token: Text = "") -> Response:
        actor = actor_of(request)
        try:
            accounts.revoke_token(store, actor, token)
        except WorkbenchError as error:
            return _account(store, actor, str(error), status=404)
        return _to("/account")

    return routes


def _ask(store: Store, serving: Serving, problem: str = "", status: int = 200) -> Response:
    body = forms.said(problem) + Markup(
        '<form method="post" action="/login">{}{}<button type="submit">Sign in</button></form>'
    ).format(
        forms.field("name", "Name", complete="username"),
        forms.field("password", "Password", "password", "current-password"),
    )
    if serving.provider is not None:
        body += Markup('<a class="button quiet" href="/oidc/start">Sign in with {}</a>').format(
            serving.provider.title
        )
    body += Markup('<p class="small">Forgotten the password? An administrator can give you another one.</p>')
    return forms.page("Sign in", body, status)


def _account(store: Store, actor: Actor, problem: str = "", token: str = "", status: int = 200) -> Response:
    rows = Markup("").join(
        Markup(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>"
            '<form method="post" action="/account/tokens/revoke">'
            '<input type="hidden" name="token" value="{}">'
            '<button class="quiet" type="submit">Revoke</button></form></td></tr>'
        ).format(one.name, _day(one.expires, "never"), _day(one.used, "not yet"), one.id)
        for one in accounts.tokens(store, actor)
        if one.user == actor.name
    )
    listed = Markup(
        "<table><thead><tr><th>For</th><th>Ends</th><th>Last used</th><td></td></tr></thead>"
        "<tbody>{}</tbody></table>"
    ).format(rows)
    fresh = Markup(
        '<p class="said good" role="status">The token, shown this once: <code>{}</code></p>'
    ).format(token)
    body = (
        forms.said(problem)
        + (fresh if token else Markup())
        + Markup(
            '<p>Signed in as {} ({}). <a href="/">Back to the workbench</a></p>'
            '<form method="post" action="/logout/everywhere"><button class="quiet" type="submit">'
            "Sign out everywhere</button></form><h2>Change the password</h2>"
            '<form method="post" action="/account/password">{}{}{}'
            '<button type="submit">Change the password</button></form>'
            "<h2>Tokens for programs</h2>"
            "<p>A program that holds a token may do what you may, over the HTTP API.</p>{}"
            '<form method="post" action="/account/tokens"><div class="row"><div>{}</div><div>{}</div></div>'
            '<button type="submit">Make a token</button></form>'
        ).format(
            actor.name,
            actor.role.value,
            forms.field("old", "Password now", "password", "current-password"),
            forms.field("new", "New password, 12 characters or more", "password", "new-password"),
            forms.field("again", "New password again", "password", "new-password"),
            listed if rows else Markup(),
            forms.field("name", "What it is for"),
            forms.field("days", "Days it is valid", "number", value="90"),
        )
    )
    return forms.page("Your account", body, status, wide=True)


def _somebody(store: Store) -> bool:
    with store.read() as session:
        asked = select(User.id).where(User.active, User.name != accounts.LOCAL).limit(1)
        return session.scalar(asked) is not None


def _actor(request: Request) -> Actor | None:
    try:
        return actor_of(request)
    except SignInError:
        return None


def _to(path: str) -> Response:
    return RedirectResponse(path, status_code=303)


def _with_cookie(response: Response, serving: Serving, value: str) -> Response:
    response.headers.append("set-cookie", cookie_header(serving, value))
    return response


def _day(at: float | None, otherwise: str) -> str:
    return otherwise if at is None else datetime.fromtimestamp(at, UTC).date().isoformat()
