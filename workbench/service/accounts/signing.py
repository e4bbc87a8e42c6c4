"""Signing in and out. A cookie is 256 random bits; the store keeps its SHA-256 only.

A sign-in ends when nothing was asked for a while, after half a day in any case, when the person signs out,
changes the password or is closed. Signing in always makes a new cookie.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, or_, select

from workbench.errors import SignInError
from workbench.service.accounts import passwords, throttle
from workbench.service.kinds import Actor, Role
from workbench.store.audit import record
from workbench.store.database import Store
from workbench.store.schema import SignIn, User

_WRONG = "The name or the password is wrong."


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds after which a sign-in ends: without being used, and in any case."""

    idle: float = 30 * 60.0
    absolute: float = 12 * 3600.0


TIMEOUTS = Timeouts()
WITHOUT_LOGIN = Timeouts(idle=30 * 24 * 3600.0, absolute=365 * 24 * 3600.0)
"""Of the browsers of a run without login: they only tell readers apart."""


def digest_of(secret: str) -> str:
    """SHA-256 of a cookie or token: it is random, so that no salt and no slow hash are needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def person(user: User, reader: str = "") -> Actor:
    """A user as somebody who asks."""
    shown = user.display or user.name
    return Actor(user.id, user.name, Role(user.role), reader or shown)


def authenticate(store: Store, name: str, password: str, address: str) -> User:
    """The user with this name and password; both outcomes take the same time and the same words.

    Args:
        store: where users are.
        name: as typed; case and blanks around it do not matter.
        password: as typed.
        address: where the attempt comes from, for throttling.

    Raises:
        SignInError: name or password is wrong, the account is closed, or attempts come too fast.
    """
    name = name.strip().lower()[:120]
    with store.session() as session:
        counted = throttle.attempt(session, name, address)
        user = session.scalar(select(User).where(User.name == name))
        stored = user.password if user is not None and user.active else ""
    if not passwords.matches(stored, password):
        with store.session() as session:
            record(session, "system", "user.refused", "user", user.id if user is not None else "", {})
        raise SignInError(_WRONG)
    assert user is not None
    renewed = passwords.hashed(password) if passwords.is_outdated(stored) else ""
    with store.session() as session:
        throttle.succeeded(session, name, address, counted)
        kept = session.get_one(User, user.id)
        if renewed and kept.password == stored:
            kept.password = renewed
    return kept


def sign_in(store: Store, user_id: str, how: str = "password") -> str:
    """A new cookie value for a person who has shown who they are.

    Raises:
        SignInError: the account is closed.
    """
    value = secrets.token_urlsafe(32)
    now = time.time()
    with store.session() as session:
        user = session.get(User, user_id)
        if user is None or not user.active:
            raise SignInError("This account is closed. Ask an administrator.")
        session.execute(delete(SignIn).where(_over(now, WITHOUT_LOGIN)))
        session.add(SignIn(digest=digest_of(value), user_id=user_id, created=now, seen=now))
        record(session, user_id, "user.sign_in", "user", user_id, {"how": how})
    return value


def actor_of(store: Store, cookie: str | None, timeouts: Timeouts = TIMEOUTS) -> Actor | None:
    """Who is signed in with this cookie, None where nobody is; counts as use."""
    if not cookie:
        return None
    now = time.time()
    digest = digest_of(cookie)
    with store.read() as session:
        row = session.execute(
            select(SignIn, User)
            .join(User, User.id == SignIn.user_id)
            .where(SignIn.digest == digest, User.active)
        ).one_or_none()
        if row is None:
            return None
        entry, user = row
        if now - entry.seen > timeouts.idle or now - entry.created > timeouts.absolute:
            return None
        seen, actor = entry.seen, person(user, entry.reader)
    # Once in a while is enough, and spares the database a write with every request.
    if now - seen > min(60.0, timeouts.idle / 10):
        with store.session() as session:
            found = session.get(SignIn, digest)
            if found is not None:
                found.seen = now
    return actor


def sign_out(store: Store, cookie: str) -> None:
    """End this sign-in."""
    with store.session() as session:
        entry = session.get(SignIn, digest_of(cookie))
        if entry is not None:
            record(session, entry.user_id, "user.sign_out", "user", entry.user_id, {})
            session.delete(entry)


def sign_out_everywhere(store: Store, actor: Actor) -> None:
    """End all sign-ins of a person, this one too."""
    with store.session() as session:
        session.execute(delete(SignIn).where(SignIn.user_id == actor.user_id))
        record(session, actor.user_id, "user.sign_out_everywhere", "user", actor.user_id, {})


def set_reader(store: Store, cookie: str, reader: str) -> None:
    """Sign this browser's labels with another reader's name (several people at one workstation)."""
    with store.session() as session:
        entry = session.get(SignIn, digest_of(cookie))
        if entry is not None:
            entry.reader = reader.strip()[:120]


def _over(now: float, timeouts: Timeouts) -> ColumnElement[bool]:
    return or_(SignIn.seen < now - timeouts.idle, SignIn.created < now - timeouts.absolute)
