"""Users and tokens, for administrators and for oneself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from ui.api.base import Body, Data, Id, Who
from workbench.errors import NotAllowed
from workbench.service import accounts
from workbench.service.accounts import TokenInfo
from workbench.service.kinds import Role, UserInfo

routes = APIRouter(tags=["people"])
Password = Annotated[str, Field(max_length=1024, description="12 characters or more.")]


class UserIn(Body):
    """Somebody who shall be able to sign in."""

    name: Annotated[str, Field(max_length=120, examples=["j.doe"])]
    role: Role = Role.READER
    password: Password = ""
    display: Annotated[str, Field(max_length=120, description="Shown to others and on labels.")] = ""


class UserEdit(Body):
    """What shall change of a user; what is left out stays."""

    role: Role | None = None
    password: Password | None = None
    active: bool | None = None


class QuotaIn(Body):
    """How much somebody's conditions may hold."""

    bytes: Annotated[int | None, Field(ge=0, description="null for the site's default.")]


class TokenIn(Body):
    """A token that shall be made."""

    name: Annotated[str, Field(max_length=120, description="What will use it.", examples=["nightly import"])]
    days: Annotated[float | None, Field(gt=0, description="Until it ends; null for never.")] = 90.0


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token's value; it is not shown again."""

    token: str


@routes.get("/users", summary="List users")
def list_users(store: Data, actor: Who) -> tuple[UserInfo, ...]:
    """Everybody who may sign in, with what they hold; for administrators."""
    return accounts.users(store, actor)


@routes.post("/users", status_code=201, summary="Add a user")
def create_user(store: Data, actor: Who, body: UserIn) -> UserInfo:
    """Somebody new; for administrators. Without a password they sign in by OpenID Connect only."""
    return accounts.create_user(store, actor, body.name, body.role, body.password, body.display)


@routes.patch("/users/{user_id}", summary="Change a user")
def edit_user(store: Data, actor: Who, user_id: Id, body: UserEdit) -> UserInfo:
    """Another role or password, or close and open the account, all or nothing; for administrators."""
    return accounts.edit_user(store, actor, user_id, body.role, body.password, body.active)


@routes.put("/users/{user_id}/quota", summary="Set a quota")
def set_quota(store: Data, actor: Who, user_id: Id, body: QuotaIn) -> UserInfo:
    """How much this person's conditions may hold; for administrators."""
    return accounts.set_quota(store, actor, user_id, body.bytes)


@routes.get("/tokens", summary="List tokens")
def list_tokens(store: Data, actor: Who) -> tuple[TokenInfo, ...]:
    """Your own, never their values; an administrator sees everybody's."""
    return accounts.tokens(store, actor)


@routes.post("/tokens", status_code=201, summary="Make a token")
def issue_token(request: Request, store: Data, actor: Who, body: TokenIn) -> NewToken:
    """A token with your rights. Its value is shown this once. A token makes no further ones."""
    if request.state.by_token:
        raise NotAllowed("A token cannot make another. Sign in, or use `workbench tokens issue`.")
    return NewToken(accounts.issue_token(store, actor, body.name, body.days))


@routes.delete("/tokens/{token_id}", status_code=204, summary="Revoke a token")
def revoke_token(store: Data, actor: Who, token_id: Id) -> None:
    """End it now."""
    accounts.revoke_token(store, actor, token_id)
