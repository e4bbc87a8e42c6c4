"""The case bundle of a version: everything that adapting and reading again takes, signed.

    readme.txt               what it is, for people
    plan.json                `BundlePlan`: weights, method, options, classes, labels, shares, versions, seeds
    model.safetensors        the adapted model as it was used
    support/000001.safetensors ...   the labelled scans, in the model's order
    cases/000001.safetensors ...     the scans that were read
    readings.json            what the version said about each of them
    manifest.json, manifest.sig      see `workbench.service.seal`

Scans are the store's own de-identified files. The weights are not in it, but named by SHA-256: they ship with
the workbench, or are the site's own to give. `workbench.service.replay` reads it.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import select
from sqlalchemy.orm import Session

from workbench.errors import BundleError
from workbench.evaluation.plaintext import NOTICE
from workbench.learners.files import ClassifierRecord
from workbench.service.facts import versions_of
from workbench.service.kinds import AdaptResult, ShownReading
from workbench.service.serial import dumped, loaded
from workbench.store import audit, settings
from workbench.store.blobs import Blobs
from workbench.store.schema import Condition, ReadingRow, ScanRow, Version

PLAN, READINGS, MODEL, README = "plan.json", "readings.json", "model.safetensors", "readme.txt"
TOLERANCE = 1e-4
"""Largest difference of a probability between machines that counts as the same reading: float32 sums are
ordered by the processor and the number of threads, and adaptation repeats them some hundred times."""


@dataclass(frozen=True, slots=True)
class Taught:
    """A labelled scan.

    Attributes:
        file: member of the bundle.
        number: of the scan in its condition.
        label: class name.
        patient: pseudonymous key, which says what a shot is.
    """

    file: str
    number: int
    label: str
    patient: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the version said about one case.

    Attributes:
        file: member of the bundle.
        number: of the scan in its condition.
        label: most probable class.
        probabilities: one for each class.
        set: plausible classes, or None.
        none_of_these: whether it abstained.
    """

    file: str
    number: int
    label: str
    probabilities: tuple[float, ...]
    set: tuple[str, ...] | None
    none_of_these: bool


@dataclass(frozen=True, slots=True)
class BundlePlan:
    """What was done, so that it can be done again.

    Attributes:
        title: of the condition.
        version: number.
        classes: in the model's order.
        method, options: of the learner; seeds are among the options of methods that draw.
        weights, weights_sha256: title and digest of the meta-trained weights.
        pooled_slices: see `workbench.learners.files.load_learner`.
        recipe: from scan to model input, as plain values.
        support_sha256: of the labelled images after the recipe: equal where input is equal bit by bit.
        model_sha256: of the model file.
        prevalence: stated share of each class, or None.
        miss_cost: see `workbench.service.kinds.Draft`.
        support: the labelled scans, in the model's order.
        threads: of arithmetic when the bundle was made.
        machine: kind of processor and system.
        packages: versions.
        audit_head: number and digest of the audit trail's last line.
        made: UTC, ISO 8601.
    """

    title: str
    version: int
    classes: tuple[str, ...]
    method: str
    options: dict[str, Any]
    weights: str
    weights_sha256: str
    pooled_slices: int
    recipe: dict[str, Any]
    support_sha256: str
    model_sha256: str
    prevalence: tuple[float, ...] | None
    miss_cost: float
    support: tuple[Taught, ...]
    threads: int
    machine: str
    packages: dict[str, str]
    audit_head: str
    made: str
    notice: str = NOTICE


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a bundle, with the digests of the store's files.

    Attributes:
        plan: see there.
        readings: of the cases.
        blobs: members and the digests of their content.
    """

    plan: BundlePlan
    readings: tuple[Recorded, ...]
    blobs: tuple[tuple[str, str], ...]


def contents(
    session: Session, condition: Condition, version: Version, record: ClassifierRecord, recipe: dict[str, Any]
) -> Contents:
    """Gather a bundle in one view of the database.

    Args:
        session: of the caller.
        condition, version: which.
        record: of the version's model.
        recipe: of its learner.

    Raises:
        BundleError: a labelled scan is gone.
    """
    result = loaded(AdaptResult, version.result)
    truth = {one.scan_id: one.true for one in result.judged}
    rows = {
        row.id: row for row in session.scalars(select(ScanRow).where(ScanRow.condition_id == condition.id))
    }
    support, blobs = [], [(MODEL, version.model)]
    for place, (scan_id, _) in enumerate(version.support, start=1):
        row = rows.get(scan_id)
        if row is None or scan_id not in truth:
            raise BundleError("A labelled scan of this version is gone. Adapt again, then make the bundle.")
        file = f"support/{place:06d}.safetensors"
        support.append(Taught(file, row.number, truth[scan_id], row.patient))
        blobs.append((file, row.blob))
    readings = []
    read = session.execute(
        select(ReadingRow, ScanRow)
        .join(ScanRow, ScanRow.id == ReadingRow.scan_id)
        .where(ReadingRow.version_id == version.id, ScanRow.role == "case", ScanRow.removed.is_(None))
        .order_by(ScanRow.number)
    )
    for place, (reading, row) in enumerate(read, start=1):
        said = loaded(ShownReading, reading.reading)
        file = f"cases/{place:06d}.safetensors"
        readings.append(
            Recorded(file, row.number, said.label, said.probabilities, said.set, said.none_of_these)
        )
        blobs.append((file, row.blob))
    plan = BundlePlan(
        title=condition.title,
        version=version.number,
        classes=record.classes,
        method=record.method,
        options=record.options,
        weights=record.learner,
        weights_sha256=record.learner_sha256,
        pooled_slices=record.pooled_slices,
        recipe=recipe,
        support_sha256=record.support_sha256,
        model_sha256=version.model,
        prevalence=result.prevalence,
        miss_cost=result.miss_cost,
        support=tuple(support),
        threads=torch.get_num_threads(),
        machine=f"{platform.machine()} {platform.system()}",
        packages=versions_of(),
        audit_head=settings.get(session, audit.HEAD, f"0:{audit.FIRST}"),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Contents(plan, tuple(readings), tuple(blobs))


def members(found: Contents, blobs: Blobs) -> Iterator[tuple[str, bytes | Path]]:
    """Names and contents, for `workbench.service.seal.write_sealed`."""
    yield README, _readme(found.plan).encode()
    yield PLAN, _json(found.plan)
    yield READINGS, _json(found.readings)
    for name, digest in found.blobs:
        yield name, blobs.path(digest)


def _json(value: object) -> bytes:
    return (json.dumps(dumped(value), indent=1, ensure_ascii=False) + "\n").encode()


def _readme(plan: BundlePlan) -> str:
    return f"""Case bundle of the few-shot diagnosis workbench.
{NOTICE}

Condition: {plan.title}
Version {plan.version}, method {plan.method}
Weights: {plan.weights or "untitled"}, SHA-256 {plan.weights_sha256}
Made {plan.made}

To adapt again from the labelled scans, read the cases again and compare:

    workbench replay THIS_FILE

Scans are de-identified; patients are keyed hashes. manifest.json names the SHA-256 of every member and is
signed (Ed25519, manifest.sig).
"""
