"""Settings of the whole site, as text by name."""

from __future__ import annotations

from sqlalchemy.orm import Session

from workbench.store.schema import Setting


def get(session: Session, name: str, default: str = "") -> str:
    """The setting, or `default` where nobody set it."""
    row = session.get(Setting, name)
    return default if row is None else row.value


def put(session: Session, name: str, value: str) -> None:
    """Set it, in the caller's transaction."""
    session.merge(Setting(name=name, value=value))
