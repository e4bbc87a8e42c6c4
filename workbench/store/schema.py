"""The tables. Identifiers are opaque 32-digit hexadecimal names; times are UTC seconds since 1970.

Nothing here identifies a patient: scans carry pseudonymous keys, and file names are not kept. Rows that say
who did or thought what (labels, opinions, audit) are added to and never changed.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

COUNTER = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up plain integers only."""
EVERYBODY = "*"
"""Stands for every signed-in person in `Share.user_id`."""


def new_id() -> str:
    """An identifier that says nothing and cannot be guessed."""
    return secrets.token_hex(16)


class Base(DeclarativeBase):
    """Common base; JSON columns hold what a dataclass of the library serialises to."""

    type_annotation_map = {float: Float(53), dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012


def _id() -> Mapped[str]:
    return mapped_column(String(32), primary_key=True, default=new_id)


def _now() -> Mapped[float]:
    return mapped_column(Float(53), default=time.time)


class User(Base):
    """Somebody who may sign in.

    Attributes:
        name: signs in with it; unique, lower case.
        display: how the person is shown, and the reader's name on labels.
        role: ``reader``, ``editor`` or ``admin``.
        password: Argon2 hash; empty where the person signs in elsewhere (OpenID Connect), or not at all.
        subject: ``issuer|sub`` of OpenID Connect.
        quota: bytes this person's conditions may hold; None for the site's default.
    """

    __tablename__ = "users"
    id: Mapped[str] = _id()
    name: Mapped[str] = mapped_column(String(120), unique=True)
    display: Mapped[str] = mapped_column(String(120), default="")
    role: Mapped[str] = mapped_column(String(16), default="reader")
    password: Mapped[str] = mapped_column(String(200), default="")
    subject: Mapped[str | None] = mapped_column(String(300), unique=True)
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    quota: Mapped[int | None] = mapped_column(BigInteger)
    created: Mapped[float] = _now()


class SignIn(Base):
    """A browser that is signed in: the SHA-256 of its cookie, and where the person is in the workbench."""

    __tablename__ = "sign_ins"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    reader: Mapped[str] = mapped_column(String(120), default="")
    created: Mapped[float] = _now()
    seen: Mapped[float] = _now()


class Place(Base):
    """Where somebody was last, so that a closed tab or another machine resumes there."""

    __tablename__ = "places"
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    condition_id: Mapped[str | None] = mapped_column(ForeignKey("conditions.id", ondelete="SET NULL"))
    screen: Mapped[str] = mapped_column(String(16), default="worklist")


class ApiToken(Base):
    """A token for the HTTP API: its SHA-256, whose rights it has, until when."""

    __tablename__ = "api_tokens"
    id: Mapped[str] = _id()
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[float] = _now()
    expires: Mapped[float | None] = mapped_column(Float(53))
    used: Mapped[float | None] = mapped_column(Float(53))


class FailedSignIn(Base):
    """A wrong password, for throttling; `key` is a digest of the name or of the address."""

    __tablename__ = "failed_sign_ins"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[float] = _now()


class Condition(Base):
    """An imaging condition somebody works on.

    Attributes:
        prevalence: expected share of each class among those to be read, in class order; None where unknown.
        miss_cost: how many false alarms one miss of the first class weighs, above 0.
        parent_id: the condition it extends to another population or class.
        revision: counts edits; two people who edit the same revision cannot both succeed.
    """

    __tablename__ = "conditions"
    id: Mapped[str] = _id()
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    modality: Mapped[str] = mapped_column(String(16), default="")
    body_part: Mapped[str] = mapped_column(String(64), default="")
    population: Mapped[str] = mapped_column(Text, default="")
    prevalence: Mapped[list[Any] | None]
    miss_cost: Mapped[float] = mapped_column(Float(53), default=1.0)
    method: Mapped[str] = mapped_column(String(64), default="")
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("conditions.id", ondelete="SET NULL"))
    demo: Mapped[bool] = mapped_column(Boolean, default=False)
    created: Mapped[float] = _now()
    edited: Mapped[float] = _now()
    archived: Mapped[float | None] = mapped_column(Float(53))
    revision: Mapped[int] = mapped_column(Integer)
    classes: Mapped[list[ConditionClass]] = relationship(
        order_by="ConditionClass.position", cascade="all, delete-orphan"
    )
    __mapper_args__ = {"version_id_col": revision}  # noqa: RUF012


class ConditionClass(Base):
    """A class of a condition; the first is the finding looked for."""

    __tablename__ = "classes"
    id: Mapped[str] = _id()
    condition_id: Mapped[str] = mapped_column(ForeignKey("conditions.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(120))


class Share(Base):
    """Who else may open a condition; `level` is ``read`` (look and label) or ``edit``."""

    __tablename__ = "shares"
    condition_id: Mapped[str] = mapped_column(
        ForeignKey("conditions.id", ondelete="CASCADE"), primary_key=True
    )
    user_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    level: Mapped[str] = mapped_column(String(8), default="read")


class Blob(Base):
    """A content-addressed file."""

    __tablename__ = "blobs"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[float] = _now()


class ScanRow(Base):
    """A scan of a condition after ingest: de-identified pixels and what was found about them.

    Attributes:
        number: counts from 1 within the condition; what the scan is called on screen and in exports.
        role: ``support`` (to be labelled) or ``case`` (to be read).
        blob, preview: SHA-256 of the scan's file (`workbench.service.scanfile`) and of its JPEG thumbnail.
        patient: pseudonymous key; the identity where the file names no patient.
        identity: keyed hash of the pixels; equal for copies.
        copy: digest that exact copies share.
        findings: of reading it, as JSON.
        beside: findings from comparing it with the other scans to be labelled of its condition, as JSON.
        hint: class name its folder suggests, empty where none does.
        batch: the import job it came with.
        removed: when somebody took it out, or None.
    """

    __tablename__ = "scans"
    id: Mapped[str] = _id()
    condition_id: Mapped[str] = mapped_column(ForeignKey("conditions.id", ondelete="CASCADE"), index=True)
    number: Mapped[int]
    role: Mapped[str] = mapped_column(String(8))
    blob: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    preview: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    bytes: Mapped[int] = mapped_column(BigInteger)
    slices: Mapped[int]
    rows: Mapped[int]
    columns: Mapped[int]
    channels: Mapped[int]
    modality: Mapped[str] = mapped_column(String(16))
    body_part: Mapped[str] = mapped_column(String(64), default="")
    units: Mapped[str] = mapped_column(String(16))
    patient: Mapped[str] = mapped_column(String(128))
    identity: Mapped[str] = mapped_column(String(128))
    copy: Mapped[str] = mapped_column(String(128))
    findings: Mapped[list[Any]]
    beside: Mapped[list[Any]] = mapped_column(JSON, default=list)
    hint: Mapped[str] = mapped_column(String(120), default="")
    batch: Mapped[str | None] = mapped_column(String(32), index=True)
    uploader_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    created: Mapped[float] = _now()
    removed: Mapped[float | None] = mapped_column(Float(53))
    __table_args__ = (UniqueConstraint("condition_id", "number"),)


class Label(Base):
    """What a reader said a scan is, at one moment; the last one of a reader counts.

    Attributes:
        class_id: None for unsure, or for a withdrawn label.
        withdrawn: whether this takes the reader's label back.
        settles: whether it settles a disagreement between readers.
        undoes: the row that this one takes back, or None.
    """

    __tablename__ = "labels"
    id: Mapped[int] = mapped_column(COUNTER, primary_key=True, autoincrement=True)
    scan_id: Mapped[str] = mapped_column(ForeignKey("scans.id", ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    reader: Mapped[str] = mapped_column(String(120))
    class_id: Mapped[str | None] = mapped_column(ForeignKey("classes.id", ondelete="CASCADE"))
    withdrawn: Mapped[bool] = mapped_column(Boolean, default=False)
    settles: Mapped[bool] = mapped_column(Boolean, default=False)
    undoes: Mapped[int | None] = mapped_column(COUNTER)
    at: Mapped[float] = _now()
    __table_args__ = (Index("labels_of_scan", "scan_id", "id"),)


class JobRow(Base):
    """Work that outlives whoever asked for it.

    Attributes:
        kind: ``import``, ``adapt``, ``read``, ``evidence``, ``evaluate``, ``export`` or ``suggest``.
        given: the arguments, as JSON of the kind's dataclass.
        state: ``queued``, ``running``, ``done``, ``failed`` or ``cancelled``.
        done, total, said: progress; `said` is one line for people.
        attempts: how often a worker took it.
        priority: lower goes first; see `workbench.store.turns`.
        worker: name of the process that took it last.
        lease: token of the worker that holds it; its effect is written only under this token.
        leased_until: when another worker may take it; of a queued job, not to be taken before then.
        cancel: somebody wants it stopped.
        outcome: what came of it, as JSON of the kind's dataclass.
        error: one line for people.
    """

    __tablename__ = "jobs"
    id: Mapped[str] = _id()
    kind: Mapped[str] = mapped_column(String(16))
    condition_id: Mapped[str | None] = mapped_column(
        ForeignKey("conditions.id", ondelete="CASCADE"), index=True
    )
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    given: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(12), default="queued")
    priority: Mapped[int] = mapped_column(Integer, default=0)
    done: Mapped[int] = mapped_column(Integer, default=0)
    total: Mapped[int] = mapped_column(Integer, default=0)
    said: Mapped[str] = mapped_column(String(200), default="")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    worker: Mapped[str] = mapped_column(String(64), default="")
    lease: Mapped[str] = mapped_column(String(32), default="")
    leased_until: Mapped[float] = mapped_column(Float(53), default=0.0)
    cancel: Mapped[bool] = mapped_column(Boolean, default=False)
    outcome: Mapped[dict[str, Any] | None]
    error: Mapped[str] = mapped_column(Text, default="")
    created: Mapped[float] = _now()
    started: Mapped[float | None] = mapped_column(Float(53))
    finished: Mapped[float | None] = mapped_column(Float(53))
    __table_args__ = (
        Index("jobs_waiting", "state", "priority", "created"),
        Index("jobs_served", "user_id", "started"),
    )


class Version(Base):
    """An adapted model of a condition.

    Attributes:
        number: counts from 1 within the condition.
        model: SHA-256 of the model file.
        result: what the screen says of it (`workbench.service.kinds.AdaptResult`), as JSON.
        support: the labelled scans it stands on, in the model's order: pairs of scan and class identifier.
        job_id: the job that made it; a job makes one version at most.
        active: whether new cases are read by it; one at a time.
    """

    __tablename__ = "versions"
    id: Mapped[str] = _id()
    condition_id: Mapped[str] = mapped_column(ForeignKey("conditions.id", ondelete="CASCADE"), index=True)
    number: Mapped[int]
    model: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    method: Mapped[str] = mapped_column(String(64))
    result: Mapped[dict[str, Any]]
    support: Mapped[list[Any]]
    job_id: Mapped[str] = mapped_column(String(32), unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    active: Mapped[bool] = mapped_column(Boolean, default=True)
    created: Mapped[float] = _now()
    __table_args__ = (UniqueConstraint("condition_id", "number"),)


class ReadingRow(Base):
    """What one version said about one scan (`workbench.service.kinds.ShownReading`), as JSON."""

    __tablename__ = "readings"
    id: Mapped[str] = _id()
    scan_id: Mapped[str] = mapped_column(ForeignKey("scans.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), index=True)
    reading: Mapped[dict[str, Any]]
    evidence: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"))
    created: Mapped[float] = _now()
    __table_args__ = (UniqueConstraint("scan_id", "version_id"),)


class Opinion(Base):
    """What a person thought of a case.

    Attributes:
        kind: ``own`` (a class, before the model's reading was shown) or ``verdict``.
        value: a class identifier, or ``agree``, ``disagree`` or ``unsure``.
    """

    __tablename__ = "opinions"
    id: Mapped[int] = mapped_column(COUNTER, primary_key=True, autoincrement=True)
    scan_id: Mapped[str] = mapped_column(ForeignKey("scans.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    reader: Mapped[str] = mapped_column(String(120))
    kind: Mapped[str] = mapped_column(String(8))
    value: Mapped[str] = mapped_column(String(32))
    at: Mapped[float] = _now()


class Artefact(Base):
    """A file somebody may take away: report, table, bundle; `kind` says which."""

    __tablename__ = "artefacts"
    id: Mapped[str] = _id()
    condition_id: Mapped[str] = mapped_column(ForeignKey("conditions.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[str | None] = mapped_column(String(32), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    name: Mapped[str] = mapped_column(String(120))
    media_type: Mapped[str] = mapped_column(String(100))
    blob: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    created: Mapped[float] = _now()
    __table_args__ = (UniqueConstraint("job_id", "kind", "name"),)


class AuditRow(Base):
    """One line of the audit trail; `digest` chains it to the line before (`workbench.store.audit`)."""

    __tablename__ = "audit"
    seq: Mapped[int] = mapped_column(COUNTER, primary_key=True, autoincrement=False)
    at: Mapped[float]
    actor: Mapped[str] = mapped_column(String(120))
    action: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(32), default="")
    object_id: Mapped[str] = mapped_column(String(64), default="")
    detail: Mapped[dict[str, Any]]
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))


class Setting(Base):
    """A setting of the whole site, by name."""

    __tablename__ = "settings"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
