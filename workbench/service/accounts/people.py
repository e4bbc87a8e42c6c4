"""Who may sign in: users, roles, passwords, quotas. Administrators and the command line manage them."""

from __future__ import annotations

import re

from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from workbench.errors import NotAllowed, NotFound, SignInError, WorkbenchError
from workbench.service.access import require_role
from workbench.service.accounts import passwords
from workbench.service.accounts.signing import authenticate, person
from workbench.service.kinds import Actor, Role, UserInfo
from workbench.store.audit import record
from workbench.store.database import Store
from workbench.store.schema import ApiToken, Condition, ScanRow, SignIn, User

LOCAL = "local"
"""Name of the one person of a run without login."""
CONSOLE = Actor("", "console", Role.ADMIN, "")
"""Whoever runs a command on the machine that holds the data directory."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,119}")


def users(store: Store, actor: Actor) -> tuple[UserInfo, ...]:
    """Everybody who may sign in, by name.

    Raises:
        NotAllowed: the actor is no administrator.
    """
    require_role(actor, Role.ADMIN)
    with store.read() as session:
        return tuple(_info(session, user) for user in session.scalars(select(User).order_by(User.name)))


def user_named(store: Store, actor: Actor, name: str) -> UserInfo:
    """One of them by name.

    Raises:
        NotAllowed: the actor is no administrator.
        NotFound: there is nobody of that name.
    """
    for user in users(store, actor):
        if user.name == name.strip().lower():
            return user
    raise NotFound(f"There is no user named {name!r}. `workbench users list` shows who there is.")


def create_user(
    store: Store,
    actor: Actor,
    name: str,
    role: Role,
    password: str = "",
    display: str = "",
    subject: str | None = None,
) -> UserInfo:
    """A new user.

    Args:
        store: where users are.
        actor: an administrator.
        name: signs in with it; letters, digits and ``. _ @ + -``.
        role: on the whole site.
        password: empty for somebody who signs in elsewhere.
        display: shown to others and on labels; the name by default.
        subject: ``issuer|sub`` of OpenID Connect.

    Raises:
        NotAllowed: the actor is no administrator.
        WorkbenchError: the name is taken or not one, or the password is too short.
    """
    require_role(actor, Role.ADMIN)
    name = name.strip().lower()
    if not _NAME.fullmatch(name) or name == LOCAL:
        raise WorkbenchError(
            f"{name!r} cannot be a user's name. Use letters, digits and . _ @ + - (and not {LOCAL!r})."
        )
    hashed = passwords.hashed(password) if password else ""
    try:
        with store.session() as session:
            user = User(
                name=name, role=role.value, password=hashed, display=display.strip()[:120], subject=subject
            )
            session.add(user)
            session.flush()
            record(session, _who(actor), "user.create", "user", user.id, {"role": role.value})
            return _info(session, user)
    except IntegrityError as error:
        raise WorkbenchError(f"There is a user named {name!r} already. Choose another name.") from error


def edit_user(
    store: Store,
    actor: Actor,
    user_id: str,
    role: Role | None = None,
    password: str | None = None,
    active: bool | None = None,
) -> UserInfo:
    """Several changes to a user, of which all are made or none; None leaves a thing as it is.

    Args:
        store, actor, user_id: whose.
        role: see `set_role`.
        password: see `set_password`.
        active: see `deactivate`.

    Raises:
        NotAllowed: the actor is no administrator, or would leave the site without one.
        NotFound: there is no such user.
        WorkbenchError: the password is too short.
    """
    require_role(actor, Role.ADMIN)
    hashed = None if password is None else passwords.hashed(password)
    with store.session() as session:
        user = _user(session, user_id)
        if role is not None:
            _give_role(session, actor, user, role)
        if hashed is not None:
            _give_password(session, actor, user, hashed)
        if active is not None:
            _open_or_close(session, actor, user, active)
        return _info(session, user)


def set_role(store: Store, actor: Actor, user_id: str, role: Role) -> UserInfo:
    """Give a user another role; counts from the next request on.

    Raises:
        NotAllowed: the actor is no administrator, or would leave the site without one.
        NotFound: there is no such user.
    """
    return edit_user(store, actor, user_id, role=role)


def set_password(store: Store, actor: Actor, user_id: str, password: str) -> None:
    """Give a user another password; ends all their sign-ins.

    Raises:
        NotAllowed: the actor is no administrator.
        NotFound: there is no such user.
        WorkbenchError: the password is too short.
    """
    edit_user(store, actor, user_id, password=password)


def change_password(store: Store, actor: Actor, old: str, new: str, address: str) -> None:
    """Change one's own password; ends all one's sign-ins, so that the caller signs in again.

    Raises:
        SignInError: the old one is wrong; throttled as signing in is.
        WorkbenchError: the new one is too short.
    """
    if authenticate(store, actor.name, old, address).id != actor.user_id:
        raise SignInError("The name or the password is wrong.")
    hashed = passwords.hashed(new)
    with store.session() as session:
        _give_password(session, actor, _user(session, actor.user_id), hashed)


def set_display(store: Store, actor: Actor, user_id: str, display: str) -> UserInfo:
    """How a person is shown, and the reader's name on labels from now on.

    Raises:
        NotAllowed: it is another's, and the actor is no administrator.
        NotFound: there is no such user.
    """
    if actor.user_id != user_id:
        require_role(actor, Role.ADMIN)
    with store.session() as session:
        user = _user(session, user_id)
        user.display = display.strip()[:120]
        record(session, _who(actor), "user.display", "user", user_id, {})
        return _info(session, user)


def set_quota(store: Store, actor: Actor, user_id: str, quota: int | None) -> UserInfo:
    """Bytes a person's conditions may hold; None for the site's default.

    Raises:
        NotAllowed: the actor is no administrator.
        NotFound: there is no such user.
        WorkbenchError: it is negative.
    """
    require_role(actor, Role.ADMIN)
    if quota is not None and quota < 0:
        raise WorkbenchError("A quota cannot be negative. Give bytes, or nothing for the site's default.")
    with store.session() as session:
        user = _user(session, user_id)
        user.quota = quota
        record(session, _who(actor), "user.quota", "user", user_id, {"bytes": quota})
        return _info(session, user)


def deactivate(store: Store, actor: Actor, user_id: str, active: bool = False) -> UserInfo:
    """Close an account (or open it again): ends its sign-ins and revokes its tokens; its conditions stay.

    Raises:
        NotAllowed: the actor is no administrator, or would leave the site without one.
        NotFound: there is no such user.
    """
    return edit_user(store, actor, user_id, active=active)


def local_actor(store: Store) -> Actor:
    """The one person of a run without login; made at the first call."""
    with store.read() as session:
        user = session.scalar(select(User).where(User.name == LOCAL))
        if user is not None:
            return person(user)
    try:
        with store.session() as session:
            user = User(name=LOCAL, role=Role.ADMIN.value, display="local reader")
            session.add(user)
            session.flush()
            record(session, user.id, "user.create", "user", user.id, {"role": Role.ADMIN.value})
            return person(user)
    except IntegrityError:  # another process was faster
        return local_actor(store)


def _give_role(session: Session, actor: Actor, user: User, role: Role) -> None:
    if role is not Role.ADMIN:
        _keep_an_admin(session, user)
    user.role = role.value
    record(session, _who(actor), "user.role", "user", user.id, {"role": role.value})


def _give_password(session: Session, actor: Actor, user: User, hashed: str) -> None:
    user.password = hashed
    session.execute(delete(SignIn).where(SignIn.user_id == user.id))
    record(session, _who(actor), "user.password", "user", user.id, {})


def _open_or_close(session: Session, actor: Actor, user: User, active: bool) -> None:
    if not active:
        _keep_an_admin(session, user)
        session.execute(delete(SignIn).where(SignIn.user_id == user.id))
        session.execute(delete(ApiToken).where(ApiToken.user_id == user.id))
    user.active = active
    record(session, _who(actor), "user.open" if active else "user.close", "user", user.id, {})


def _user(session: Session, user_id: str) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("There is no such user.")
    return user


def _keep_an_admin(session: Session, user: User) -> None:
    others = select(func.count()).where(
        User.role == Role.ADMIN.value, User.active, User.id != user.id, User.name != LOCAL
    )
    if user.role == Role.ADMIN.value and not session.scalar(others):
        raise NotAllowed("This is the only administrator. Make another one first.")


def _info(session: Session, user: User) -> UserInfo:
    used = session.scalar(
        select(func.coalesce(func.sum(ScanRow.bytes), 0))
        .join(Condition, Condition.id == ScanRow.condition_id)
        .where(Condition.owner_id == user.id)
    )
    last = session.scalar(select(func.max(SignIn.seen)).where(SignIn.user_id == user.id))
    return UserInfo(
        id=user.id,
        name=user.name,
        display=user.display or user.name,
        role=Role(user.role),
        active=user.active,
        quota=user.quota,
        used=int(used or 0),
        created=user.created,
        signed_in=last,
    )


def _who(actor: Actor) -> str:
    return actor.user_id or actor.name
