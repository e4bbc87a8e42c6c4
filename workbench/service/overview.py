"""A condition in one line: how far it is, what comes next, and how much of each class is labelled."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from workbench.imaging.modality import same_modality
from workbench.service.access import held_level
from workbench.service.kinds import Actor, AdaptResult, ClassInfo, ConditionInfo, Draft, Level
from workbench.service.serial import loaded
from workbench.service.standing import NOTHING, Standing, standings
from workbench.store.schema import EVERYBODY, Condition, ReadingRow, ScanRow, Share, User, Version

_UNEVEN = 3.0
"""From this ratio of patients between two classes on, the smaller one is named."""
_FEW = 5
"""Patients per class below which more are asked for."""


def overview(session: Session, actor: Actor, condition: Condition) -> ConditionInfo:
    """Everything the worklist and the frame of the screens show of a condition.

    Args:
        session: of the caller.
        actor: may look at it.
        condition: which.
    """
    scans = session.scalars(
        select(ScanRow).where(ScanRow.condition_id == condition.id, ScanRow.removed.is_(None))
    ).all()
    support = [scan for scan in scans if scan.role == "support"]
    cases = [scan for scan in scans if scan.role == "case"]
    known = standings(session, condition.id)
    at = [known.get(scan.id, NOTHING) for scan in support]
    classes = _classes(condition, support, at)
    version = active_version(session, condition.id)
    result = loaded(AdaptResult, version.result) if version is not None else None
    unread = _unread(session, cases, version, result)
    missing = said_missing(classes, at)
    status = _status(condition, support, at, missing, version, result)
    owner = session.get(User, condition.owner_id)
    counted = Counter(
        unlabelled=sum(not one.readers and one.settled is None for one in at),
        unsure=sum(one.unsure for one in at),
        disputed=sum(one.disputed for one in at),
    )
    return ConditionInfo(
        id=condition.id,
        draft=draft_of(condition),
        level=held_level(session, actor, condition) or Level.READ,
        owner=_shown(owner),
        classes=classes,
        status=status,
        said=_said(status, missing, classes, counted, unread, version),
        scans=len(support),
        unlabelled=counted["unlabelled"],
        unsure=counted["unsure"],
        disputed=counted["disputed"],
        cases=len(cases),
        unread=unread,
        version=version.number if version is not None else 0,
        revision=condition.revision,
        created=condition.created,
        edited=condition.edited,
        archived=condition.archived is not None,
        demo=condition.demo,
        shared=_shared(session, condition.id),
        missing=missing,
        bytes=sum(scan.bytes for scan in scans),
    )


def draft_of(condition: Condition) -> Draft:
    """The condition as it was defined."""
    return Draft(
        title=condition.title,
        classes=tuple(one.name for one in condition.classes),
        modality=condition.modality,
        body_part=condition.body_part,
        population=condition.population,
        prevalence=None if condition.prevalence is None else tuple(condition.prevalence),
        miss_cost=condition.miss_cost,
        method=condition.method,
        parent=condition.parent_id,
    )


def active_version(session: Session, condition_id: str) -> Version | None:
    """The version that new cases are read by."""
    return session.scalar(
        select(Version)
        .where(Version.condition_id == condition_id, Version.active)
        .order_by(Version.number.desc())
        .limit(1)
    )


def said_missing(classes: Sequence[ClassInfo], at: Sequence[Standing]) -> str:
    """What still stands between the labelled scans and adaptation, as one sentence, or empty."""
    empty = [one.name for one in classes if not one.scans]
    if not empty:
        return ""
    names = ", ".join(f"“{name}”" for name in empty)
    disputed = sum(one.disputed for one in at)
    more = f" {plural(disputed, 'scan')} with a disagreement left out until settled." if disputed else ""
    return f"Label at least one scan as {names}.{more}"


def plural(count: int, what: str) -> str:
    """``1 scan``, ``2 scans``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _classes(
    condition: Condition, support: Sequence[ScanRow], at: Sequence[Standing]
) -> tuple[ClassInfo, ...]:
    scans: Counter[str] = Counter()
    patients: defaultdict[str, set[str]] = defaultdict(set)
    for scan, one in zip(support, at, strict=True):
        if one.counts_as is not None:
            scans[one.counts_as] += 1
            patients[one.counts_as].add(scan.patient)
    return tuple(
        ClassInfo(one.id, one.name, scans[one.id], len(patients[one.id])) for one in condition.classes
    )


def _unread(
    session: Session, cases: Sequence[ScanRow], version: Version | None, result: AdaptResult | None
) -> int:
    """Cases that the active version has not read and may read."""
    if version is None or result is None:
        return len(cases)
    count = select(func.count()).select_from(ReadingRow).join(ScanRow, ScanRow.id == ReadingRow.scan_id)
    read = session.scalar(
        count.where(ReadingRow.version_id == version.id, ScanRow.removed.is_(None), ScanRow.role == "case")
    )
    foreign = sum(not same_modality(result.modality or "OT", scan.modality) for scan in cases)
    return max(0, len(cases) - foreign - (read or 0))


def _status(
    condition: Condition,
    support: Sequence[ScanRow],
    at: Sequence[Standing],
    missing: str,
    version: Version | None,
    result: AdaptResult | None,
) -> str:
    if not support and version is None:
        return "scans"
    if version is None or result is None:
        return "label" if missing else "ready"
    counted = {(scan.id, one.counts_as) for scan, one in zip(support, at, strict=True) if one.counts_as}
    names = tuple(one.name for one in condition.classes)
    prevalence = None if condition.prevalence is None else tuple(condition.prevalence)
    same = (
        counted == {(scan, label) for scan, label in version.support}
        and result.classes == names
        and result.prevalence == prevalence
        and result.miss_cost == condition.miss_cost
    )
    return "adapted" if same else "stale"


def _said(
    status: str,
    missing: str,
    classes: Sequence[ClassInfo],
    counted: Mapping[str, int],
    unread: int,
    version: Version | None,
) -> str:
    if status == "scans":
        return "Add scans to be labelled."
    if status == "label":
        left = plural(counted["unlabelled"], "scan")
        return f"{left} to label. {missing}" if counted["unlabelled"] else missing
    hint = _balance(classes)
    if status == "ready":
        return f"Ready to adapt. {hint}".strip()
    assert version is not None
    if status == "stale":
        again = missing or "Adapt again to use them."
        return f"Labels, classes or their shares changed since version {version.number}. {again}"
    waiting = f"{plural(unread, 'case')} to read." if unread else "Drop new scans to read them."
    return f"Version {version.number} is in use. {waiting}"


def _balance(classes: Sequence[ClassInfo]) -> str:
    """Which class wants more patients, or empty."""
    least = min(classes, key=lambda one: one.patients)
    most = max(classes, key=lambda one: one.patients)
    if most.patients >= _UNEVEN * max(least.patients, 1):
        return (
            f"“{most.name}” has {plural(most.patients, 'patient')} and “{least.name}” {least.patients}: "
            f"more of “{least.name}” would help most."
        )
    if least.patients < _FEW:
        return f"With {_FEW} patients or more in each class it can be judged better."
    return ""


def _shared(session: Session, condition_id: str) -> tuple[tuple[str, str], ...]:
    rows = session.scalars(select(Share).where(Share.condition_id == condition_id).order_by(Share.user_id))
    return tuple(
        ("everybody" if row.user_id == EVERYBODY else _named(session.get(User, row.user_id)), row.level)
        for row in rows
    )


def _named(user: User | None) -> str:
    return user.name if user is not None else "somebody who left"


def _shown(user: User | None) -> str:
    return (user.display or user.name) if user is not None else "somebody who left"
