"""Who did what to which object when: a trail that is added to and never changed.

Each line holds the SHA-256 of the line before, so that a line changed, removed or put in between shows. The
number and digest of the last line are kept in a setting as well, so that lines cut off at the end show too.
Whoever may write the whole database can write a new trail that agrees with itself: only a head noted
elsewhere (`Verdict.head`) tells then.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, insert, select, text
from sqlalchemy.orm import Session, SessionTransaction, sessionmaker

from workbench.store import settings
from workbench.store.schema import AuditRow

if TYPE_CHECKING:
    from workbench.store.database import Store

HEAD = "audit.head"
"""The setting: number and digest of the last line, apart by a colon."""
FIRST = "0" * 64
"""Stands for the line before the first."""
LOCK = 0x6175646974
"""PostgreSQL's advisory lock of the transaction that adds a line."""
_PENDING = "audit.pending"


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line.

    Attributes:
        seq: counts from 1.
        at: UTC seconds since 1970.
        actor: identifier of a user, or ``system``.
        action: what was done, such as ``label.set``.
        kind: of what it was done to, such as ``scan``.
        object_id: which.
        detail: what else an auditor needs; never a person's name, a file's name or a patient's key.
        previous: digest of the line before.
        digest: SHA-256 of all of the above as canonical JSON.
    """

    seq: int
    at: float
    actor: str
    action: str
    kind: str
    object_id: str
    detail: dict[str, Any]
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of verifying the trail.

    Attributes:
        lines: how many hold together from the first on.
        head: number and digest of the last of them, ``0:`` and zeros for none; worth noting elsewhere.
        broken: number of the first line that does not, or None.
        reason: why, as one sentence; empty where the trail is whole.
    """

    lines: int
    head: str
    broken: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    at: float
    actor: str
    action: str
    kind: str
    object_id: str
    detail: dict[str, Any]


def record(
    session: Session,
    actor: str,
    action: str,
    kind: str = "",
    object_id: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Add a line in the caller's transaction: both are kept, or neither.

    It is written when the transaction commits, so that nobody waits for the trail while others hold what
    they wait for.
    """
    # As it will be read again: tuples become lists, and what JSON cannot hold fails here.
    plain = json.loads(json.dumps(detail or {}, allow_nan=False))
    entry = _Entry(time.time(), actor, action, kind, object_id, plain)
    if session.in_nested_transaction():
        # Undone with its savepoint, which a line that waits for the commit would outlive.
        _append(session, [entry])
    else:
        session.info.setdefault(_PENDING, []).append(entry)


def append_at_commit(sessions: sessionmaker[Session]) -> None:
    """Make the sessions of `sessions` write what `record` was told, at their commit."""
    event.listen(sessions, "before_commit", _append_pending)
    event.listen(sessions, "after_soft_rollback", _forget_pending)


def verify(store: Store, head: str = "") -> Verdict:
    """Follow the chain from its first line.

    Args:
        store: whose trail it is.
        head: as a `Verdict` gave it earlier: that line must still be there, too.
    """
    with store.read() as session:
        return _verify(session, head)


def export(store: Store) -> Iterator[str]:
    """The trail as lines of JSON, oldest first, each with its digest."""
    with store.read() as session:
        for line in _lines(session):
            yield json.dumps(asdict(line), ensure_ascii=False, sort_keys=True)


def digest_of(line: AuditLine) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no spaces, UTF-8) of everything in `line` but `digest`."""
    content = asdict(line)
    del content["digest"]
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _append_pending(session: Session) -> None:
    if entries := session.info.pop(_PENDING, None):
        session.flush()
        _append(session, entries)


def _forget_pending(session: Session, undone: SessionTransaction) -> None:
    # Going back to a savepoint undoes nothing that waits: `record` writes at once within one.
    if not undone.nested:
        session.info.pop(_PENDING, None)


def _append(session: Session, entries: list[_Entry]) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    last = session.execute(
        select(AuditRow.seq, AuditRow.digest).order_by(AuditRow.seq.desc()).limit(1)
    ).first()
    seq, previous = (0, FIRST) if last is None else (last.seq, last.digest)
    for entry in entries:
        seq += 1
        line = AuditLine(seq, **asdict(entry), previous=previous, digest="")
        previous = digest_of(line)
        session.execute(insert(AuditRow).values(**asdict(line) | {"digest": previous}))
    settings.put(session, HEAD, f"{seq}:{previous}")
    session.flush()


def _lines(session: Session) -> Iterator[AuditLine]:
    rows = session.scalars(select(AuditRow).order_by(AuditRow.seq).execution_options(yield_per=1000))
    for row in rows:
        yield AuditLine(
            row.seq,
            row.at,
            row.actor,
            row.action,
            row.kind,
            row.object_id,
            row.detail,
            row.previous,
            row.digest,
        )
        session.expunge(row)


def _verify(session: Session, noted: str) -> Verdict:
    seq, previous = 0, FIRST
    noted_seq, _, noted_digest = noted.partition(":")
    for line in _lines(session):
        good = Verdict(seq, f"{seq}:{previous}")
        if line.seq != seq + 1:
            return _broken(good, seq + 1, f"line {seq + 1} is missing")
        if line.previous != previous:
            return _broken(good, line.seq, f"line {line.seq} does not follow line {seq} as it is now")
        if digest_of(line) != line.digest:
            return _broken(good, line.seq, f"line {line.seq} was changed")
        if str(line.seq) == noted_seq and line.digest != noted_digest:
            return _broken(good, line.seq, f"line {line.seq} is not the one that was noted")
        seq, previous = line.seq, line.digest
    good = Verdict(seq, f"{seq}:{previous}")
    kept = settings.get(session, HEAD, f"0:{FIRST}")
    for other, where in ((kept, "the setting beside it"), (noted, "the head that was noted")):
        last = other.partition(":")[0]
        if last.isdecimal() and int(last) > seq:
            return _broken(good, seq + 1, f"it ends at line {seq}, but {where} says {last}")
    if kept != good.head:
        return _broken(good, seq, "the setting beside it names another last line")
    return good


def _broken(good: Verdict, seq: int, reason: str) -> Verdict:
    return Verdict(good.lines, good.head, seq, f"The audit trail is broken: {reason}.")
