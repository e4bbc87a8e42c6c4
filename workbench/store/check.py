"""Looks a whole store over: database, files and audit trail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select, text

from workbench.errors import StoreError
from workbench.store import audit
from workbench.store.database import Store
from workbench.store.schema import Blob


@dataclass(frozen=True, slots=True)
class Health:
    """What was found.

    Attributes:
        database: what is wrong with SQLite's file, or which rows refer to missing ones.
        files: how many there should be.
        damaged: digests of those that are missing or hold something else.
        trail: of the audit trail.
    """

    database: tuple[str, ...]
    files: int
    damaged: tuple[str, ...]
    trail: audit.Verdict

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.database and not self.damaged and self.trail.broken is None


def check(store: Store, head: str = "", progress: Callable[[int, int], None] = lambda d, t: None) -> Health:
    """Read everything once.

    Args:
        store: may be in use.
        head: of the audit trail, as it was noted earlier; see `workbench.store.audit.verify`.
        progress: called with files done and in all.
    """
    with store.read() as session:
        wrong = []
        if store.dialect == "sqlite":
            said = session.scalars(text("PRAGMA integrity_check")).all()
            wrong = [str(line) for line in said if line != "ok"]
            broken = session.execute(text("PRAGMA foreign_key_check")).all()
            wrong += [f"a row of {row[0]} refers to a missing one of {row[2]}" for row in broken]
    damaged = []
    with store.blobs.held(alone=False):
        with store.read() as session:
            digests = session.scalars(select(Blob.sha256)).all()
        for number, digest in enumerate(digests, start=1):
            try:
                store.blobs.verify(digest)
            except StoreError:
                damaged.append(digest)
            progress(number, len(digests))
    return Health(tuple(wrong), len(digests), tuple(damaged), audit.verify(store, head))
