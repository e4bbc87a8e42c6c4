"""Scans of a condition for the screens: lists, previews, slices for the viewer; taking out, putting back."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.errors import NotFound, SupportError
from workbench.imaging.display import WINDOW_PRESETS, default_window
from workbench.imaging.scan import Finding, Severity, Units
from workbench.service.access import held_level, level_of, scan_of
from workbench.service.kinds import Actor, AdaptResult, Level, Light, ScanInfo, SlicePixels
from workbench.service.overview import active_version
from workbench.service.rows import present
from workbench.service.scanfile import open_scan
from workbench.service.serial import loaded
from workbench.service.standing import NOTHING, Standing, standings
from workbench.store import audit, jobs
from workbench.store.database import Store
from workbench.store.schema import Condition, JobRow, ScanRow

_LEVELS = 65_535
PRESETS = tuple((name, window) for name, window in WINDOW_PRESETS.items())
Findings = tuple[Finding, ...]


def scans(store: Store, actor: Actor, condition_id: str, role: str = "support") -> tuple[ScanInfo, ...]:
    """Scans of one role, in the order of their numbers; without those that were taken out.

    What other readers said of a scan is not shown to a reader who has not labelled it, save to the owner.
    """
    with store.read() as session:
        condition = level_of(session, actor, condition_id)
        rows = session.scalars(present(condition_id, role)).all()
        return scan_infos(session, actor, condition, rows)


def preview(store: Store, actor: Actor, scan_id: str) -> bytes:
    """A scan's thumbnail as JPEG."""
    with store.read() as session:
        row = scan_of(session, actor, scan_id)
    with store.blobs.open(row.preview) as stream:
        return stream.read()


def slice_pixels(store: Store, actor: Actor, scan_id: str, index: int | None = None) -> SlicePixels:
    """One slice for the viewer.

    Grey values go as little-endian uint16 with slope and intercept: exactly where the scan is of whole
    numbers within 16 bits, else in 65,536 steps from its lowest to its highest value in this slice.

    Args:
        store, actor, scan_id: which scan.
        index: from 0; the middle slice where not given.

    Raises:
        NotFound: there is no such scan or slice, or not for this actor.
    """
    with store.read() as session:
        row = scan_of(session, actor, scan_id)
    file = open_scan(store.blobs.path(row.blob))
    count, rows, columns, channels = file.stored.shape
    chosen = count // 2 if index is None else index
    if not 0 <= chosen < count:
        raise NotFound(f"The scan has {count} slices.")
    plane = file.slice(chosen)
    about = file.about
    finite = plane[np.isfinite(plane)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    known = about.window is not None or (about.units is Units.DISPLAY and about.value_range is not None)
    # Without either, percentiles of the slice are shown, for which one slice is enough.
    window = default_window(about if known else replace(about, pixels=plane[None]))
    slope, intercept = 1.0, 0.0
    if channels == 3:
        full_low, full_high = about.value_range or (0.0, max(high, 1.0))
        levels = (plane - full_low) * (255.0 / max(full_high - full_low, 1e-6))
        data = np.nan_to_num(levels).round().clip(0, 255).astype(np.uint8).tobytes()
    elif file.stored.dtype != np.float32:
        intercept = float(file.offset)
        data = np.asarray(file.stored[chosen]).astype("<u2").tobytes()
    else:
        slope, intercept = max((high - low) / _LEVELS, 1e-12), low
        levels = np.nan_to_num((plane.astype(np.float64) - low) / slope, nan=0.0, posinf=_LEVELS, neginf=0.0)
        data = levels.round().clip(0, _LEVELS).astype("<u2").tobytes()
    return SlicePixels(
        rows=rows,
        columns=columns,
        channels=channels,
        low=low,
        high=high,
        units=about.units.value,
        window=window,
        presets=PRESETS if about.units is Units.HOUNSFIELD else (),
        slope=slope,
        intercept=intercept,
        index=chosen,
        slices=count,
        spacing=None if about.spacing is None else (about.spacing[1], about.spacing[2]),
        data=data,
    )


def remove(store: Store, actor: Actor, scan_ids: Sequence[str]) -> None:
    """Take scans out of their condition; `restore` puts them back."""
    with store.session() as session:
        for row in _rows(session, actor, scan_ids):
            if row.removed is None:
                row.removed = time.time()
                audit.record(session, actor.user_id, "scan.remove", "scan", row.id)
                ask_to_compare(session, actor.user_id, row)


def restore(store: Store, actor: Actor, scan_ids: Sequence[str]) -> None:
    """Put scans back that were taken out.

    Raises:
        SupportError: an exact copy came in meanwhile.
    """
    with store.session() as session:
        for row in _rows(session, actor, scan_ids):
            if row.removed is None:
                continue
            there = copy_of(session, row.condition_id, row.role, row.copy)
            if there is not None:
                raise SupportError(
                    f"Scan {there.number} is an exact copy of scan {row.number}. Take that out first."
                )
            row.removed = None
            audit.record(session, actor.user_id, "scan.restore", "scan", row.id)
            ask_to_compare(session, actor.user_id, row)


def ask_to_compare(session: Session, user_id: str, row: ScanRow) -> None:
    """A job that judges the scans to be labelled beside each other again, after one came or went."""
    session.flush()
    waiting = select(JobRow.id).where(
        JobRow.condition_id == row.condition_id, JobRow.kind == "compare", JobRow.state == "queued"
    )
    if row.role == "support" and session.scalar(waiting.limit(1)) is None:
        jobs.enqueue(session, "compare", user_id, row.condition_id, {})


def copy_of(session: Session, condition_id: str, role: str, copy: str) -> ScanRow | None:
    """The scan of that role that an exact copy would be left out for."""
    return session.scalar(present(condition_id, role).where(ScanRow.copy == copy).limit(1))


def scan_infos(
    session: Session, actor: Actor, condition: Condition, rows: Sequence[ScanRow]
) -> tuple[ScanInfo, ...]:
    """Rows as a tray shows them to the actor."""
    known = standings(session, condition.id)
    owns = held_level(session, actor, condition) is Level.OWN
    doubts = _doubts(session, condition.id)
    twins = _twins(session, condition.id)
    return tuple(
        _info(row, known.get(row.id, NOTHING), actor, owns, doubts, twins.get((row.copy, row.role), 0))
        for row in rows
    )


def light_of(findings: Sequence[Finding]) -> Light:
    """Traffic light of a scan: the worst of its findings."""
    severities = {finding.severity for finding in findings}
    if Severity.ERROR in severities:
        return Light.ERROR
    return Light.WARNING if Severity.WARNING in severities else Light.OK


def _info(
    row: ScanRow, standing: Standing, actor: Actor, owns: bool, doubts: Mapping[str, str], twin: int
) -> ScanInfo:
    findings = loaded(Findings, [*row.findings, *(row.beside or [])])
    own = standing.readers.get(actor.user_id)
    sees = owns or own is not None
    return ScanInfo(
        id=row.id,
        number=row.number,
        role=row.role,
        light=light_of(findings),
        findings=findings,
        slices=row.slices,
        rows=row.rows,
        columns=row.columns,
        channels=row.channels,
        modality=row.modality,
        body_part=row.body_part,
        units=row.units,
        patient=row.patient,
        label=own.class_id if own is not None else None,
        unsure=own is not None and own.class_id is None,
        counts_as=standing.counts_as if sees else None,
        disputed=standing.disputed and sees,
        readers=len(standing.readers),
        # A folder's name is what whoever sorted the files says: no second reader may see it first.
        hint=row.hint if owns or row.uploader_id == actor.user_id else "",
        doubt=doubts.get(row.id, "") if sees else "",
        twin=twin,
    )


def _doubts(session: Session, condition_id: str) -> dict[str, str]:
    """Why the label of a scan is doubtful, or why it is out of place, by the active version."""
    version = active_version(session, condition_id)
    if version is None:
        return {}
    result = loaded(AdaptResult, version.result)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for scan_id, why in (*result.suspects, *result.odd):
        found[scan_id].append(why)
    return {scan_id: " ".join(said) for scan_id, said in found.items()}


def _twins(session: Session, condition_id: str) -> dict[tuple[str, str], int]:
    """Number of the scan of another role that a scan (by copy and role) is a copy of."""
    rows = session.execute(
        select(ScanRow.copy, ScanRow.role, ScanRow.number)
        .where(ScanRow.condition_id == condition_id, ScanRow.removed.is_(None))
        .order_by(ScanRow.number)
    ).all()
    often = Counter(copy for copy, _, _ in rows)
    return {
        (copy, role): next((n for c, r, n in rows if c == copy and r != role), 0)
        for copy, role, _ in rows
        if often[copy] > 1
    }


def _rows(session: Session, actor: Actor, scan_ids: Sequence[str]) -> list[ScanRow]:
    return [scan_of(session, actor, scan_id, Level.EDIT) for scan_id in scan_ids]
