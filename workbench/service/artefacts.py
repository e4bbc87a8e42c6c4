"""Files that people may take away: kept with what made them, given only to whoever may see the condition."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.errors import NotFound
from workbench.service.access import level_of
from workbench.service.kinds import Actor, ArtefactInfo
from workbench.store import audit
from workbench.store.database import Store
from workbench.store.schema import Artefact, Blob


@dataclass(frozen=True, slots=True)
class Made:
    """A file that a job has made.

    Attributes:
        kind: what it is: ``evaluation``, ``report``, ``card``, ``bundle`` or ``results``.
        name: for the person's disk; of the condition's making, never a file's that was given.
        media_type: of its content.
        content: the bytes, or the file that holds them.
    """

    kind: str
    name: str
    media_type: str
    content: bytes | Path


def keep(
    store: Store, session: Session, made: Made, condition_id: str, job_id: str | None, user_id: str
) -> Artefact:
    """Store a file in the caller's transaction, with a line in the audit trail."""
    digest = store.blobs.put(made.content, session)
    row = Artefact(
        condition_id=condition_id,
        job_id=job_id,
        kind=made.kind,
        name=made.name,
        media_type=made.media_type,
        blob=digest,
        user_id=user_id,
    )
    session.add(row)
    session.flush()
    detail = {"kind": made.kind, "media_type": made.media_type, "sha256": digest}
    audit.record(session, user_id, "artefact.make", "artefact", row.id, detail)
    return row


def of_condition(
    store: Store, actor: Actor, condition_id: str, kind: str = "", job_id: str = ""
) -> tuple[ArtefactInfo, ...]:
    """The files of a condition, newest first.

    Args:
        store, actor, condition_id: whose.
        kind: only of this kind; see `Made`.
        job_id: only what this job made.

    Raises:
        NotFound: there is no such condition, or not for the actor.
    """
    with store.read() as session:
        level_of(session, actor, condition_id)
        query = select(Artefact, Blob.size).join(Blob, Blob.sha256 == Artefact.blob)
        query = query.where(Artefact.condition_id == condition_id)
        if kind:
            query = query.where(Artefact.kind == kind)
        if job_id:
            query = query.where(Artefact.job_id == job_id)
        rows = session.execute(query.order_by(Artefact.created.desc(), Artefact.name)).all()
        return tuple(_info(row, size) for row, size in rows)


def with_jobs(session: Session, condition_id: str, kind: str) -> list[tuple[str, ArtefactInfo]]:
    """The files of one kind with the jobs that made them, by name; the caller has checked access."""
    rows = session.execute(
        select(Artefact, Blob.size)
        .join(Blob, Blob.sha256 == Artefact.blob)
        .where(Artefact.condition_id == condition_id, Artefact.kind == kind, Artefact.job_id.is_not(None))
        .order_by(Artefact.name)
    ).all()
    return [(row.job_id or "", _info(row, size)) for row, size in rows]


def taken(store: Store, actor: Actor, artefact_id: str) -> tuple[ArtefactInfo, Path]:
    """What a file is and where its content lies, for somebody who takes it away; recorded in the trail.

    Raises:
        NotFound: there is no such file, or not for the actor.
    """
    with store.session() as session:
        row = session.get(Artefact, artefact_id)
        if row is None:
            raise NotFound("There is no such file, or it is not shared with you.")
        level_of(session, actor, row.condition_id, what="file")
        blob = session.get_one(Blob, row.blob)
        audit.record(session, actor.user_id, "artefact.take", "artefact", row.id, {"kind": row.kind})
        return _info(row, blob.size), store.blobs.path(row.blob)


def _info(row: Artefact, size: int) -> ArtefactInfo:
    return ArtefactInfo(row.id, row.kind, row.name, row.media_type, size, row.created)
