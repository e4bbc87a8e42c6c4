"""Tokens for the HTTP API: shown once, kept as SHA-256, with their owner's rights, until they expire."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from sqlalchemy import select

from workbench.errors import NotFound, WorkbenchError
from workbench.service.accounts.signing import digest_of, person
from workbench.service.kinds import Actor, Role
from workbench.store.audit import record
from workbench.store.database import Store
from workbench.store.schema import ApiToken, User

PREFIX = "wbt_"
"""So that a leaked one is recognised."""
_DAY = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token as it can be shown again: never its value.

    Attributes:
        expires: when it ends; None for never.
        used: when it was last used, None for never.
    """

    id: str
    name: str
    user: str
    created: float
    expires: float | None
    used: float | None


def issue_token(
    store: Store, actor: Actor, name: str, days: float | None = 90.0, user_id: str | None = None
) -> str:
    """A new token; this is the only time its value can be seen.

    Args:
        store: where tokens are.
        actor: whose rights it has, or an administrator who makes it for another.
        name: what it is for.
        days: until it expires, above 0; None for never.
        user_id: for whom; the actor by default.

    Raises:
        NotFound: there is no such user, or the actor may not make tokens for others.
        WorkbenchError: it has no name, or would never have been valid.
    """
    if not name.strip():
        raise WorkbenchError("Name the token after what will use it.")
    if days is not None and days <= 0:
        raise WorkbenchError("A token must be valid for some days: give more than 0.")
    owner = user_id or actor.user_id
    value = PREFIX + secrets.token_urlsafe(32)
    with store.session() as session:
        user = session.get(User, owner)
        if user is None or not user.active or not _may(actor, owner):
            raise NotFound("There is no such user.")
        token = ApiToken(
            user_id=owner,
            name=name.strip()[:120],
            digest=digest_of(value),
            expires=None if days is None else time.time() + days * _DAY,
        )
        session.add(token)
        session.flush()
        record(session, actor.user_id or actor.name, "token.issue", "token", token.id, {"days": days})
    return value


def actor_of_token(store: Store, value: str) -> Actor | None:
    """Whose token it is; None where it is unknown, has expired, or its account is closed."""
    now = time.time()
    with store.read() as session:
        row = session.execute(
            select(ApiToken, User)
            .join(User, User.id == ApiToken.user_id)
            .where(ApiToken.digest == digest_of(value), User.active)
        ).one_or_none()
        if row is None or (row[0].expires is not None and row[0].expires < now):
            return None
        token_id, used, actor = row[0].id, row[0].used, person(row[1])
    if used is None or now - used > 60:
        with store.session() as session:
            token = session.get(ApiToken, token_id)
            if token is not None:
                token.used = now
    return actor


def tokens(store: Store, actor: Actor) -> tuple[TokenInfo, ...]:
    """One's own tokens, newest first; an administrator sees everybody's."""
    asked = (
        select(ApiToken, User.name).join(User, User.id == ApiToken.user_id).order_by(ApiToken.created.desc())
    )
    if actor.role is not Role.ADMIN:
        asked = asked.where(ApiToken.user_id == actor.user_id)
    with store.read() as session:
        return tuple(
            TokenInfo(token.id, token.name, name, token.created, token.expires, token.used)
            for token, name in session.execute(asked)
        )


def revoke_token(store: Store, actor: Actor, token_id: str) -> None:
    """End a token now.

    Raises:
        NotFound: there is no such token, or it is another's and the actor is no administrator.
    """
    with store.session() as session:
        token = session.get(ApiToken, token_id)
        if token is None or not _may(actor, token.user_id):
            raise NotFound("There is no such token.")
        session.delete(token)
        record(session, actor.user_id or actor.name, "token.revoke", "token", token_id, {})


def _may(actor: Actor, user_id: str) -> bool:
    return actor.user_id == user_id or actor.role is Role.ADMIN
