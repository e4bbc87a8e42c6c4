"""Readings as CSV and JSON, with scan numbers and keyed hashes in place of file names.

File names may identify patients; the store keeps none, so no table can hold one.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from workbench.evaluation.plaintext import NOTICE, csv_cell
from workbench.service.access import level_of
from workbench.service.caselist import ListedCase, Said, listed_cases
from workbench.service.kinds import Actor, AdaptResult
from workbench.service.overview import active_version
from workbench.service.serial import loaded
from workbench.store import audit
from workbench.store.database import Store
from workbench.store.schema import Condition, Version


def readings_csv(store: Store, actor: Actor, condition_id: str) -> bytes:
    """One row per case: number, keyed hashes, label, a probability per class, its set, what people said.

    UTF-8 with a byte-order mark, which spreadsheets need to show names as they are written. No cell is taken
    for a formula. A case without a reading says why in ``error``.

    Raises:
        NotFound: there is no such condition, or not for the actor.
    """
    with store.session() as session:
        condition, version, cases = _asked(session, actor, condition_id, "csv")
        classes = _classes(condition, version)
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\r\n")
        shares = [f"p({name})" for name in classes]
        around = ["calibrated", "set", "none_of_these", "findings", "caution"]
        head = ["case", "scan", "patient", "version", "label", *shares, *around]
        table.writerow(map(csv_cell, [*head, "own_readings", "verdicts", "error", "notice"]))
        number = version.number if version is not None else 0
        for case in cases:
            said = [
                _joined(case.last("own")),
                _joined(case.last("verdict", number)),
                "" if case.reading else "It has not been read.",
            ]
            row = [str(case.number), case.scan, case.patient, str(number), *_reading(case, len(classes))]
            table.writerow(map(csv_cell, [*row, *said, NOTICE]))
    return out.getvalue().encode("utf-8-sig")


def readings_json(store: Store, actor: Actor, condition_id: str) -> bytes:
    """The same with the condition, its version and everything people said, with when.

    Raises:
        NotFound: there is no such condition, or not for the actor.
    """
    with store.session() as session:
        condition, version, cases = _asked(session, actor, condition_id, "json")
        result = loaded(AdaptResult, version.result) if version is not None else None
        value = {
            "notice": NOTICE,
            "condition": condition.title,
            "classes": _classes(condition, version),
            "version": version.number if version is not None else None,
            "model_sha256": version.model if version is not None else "",
            "method": version.method if version is not None else "",
            "choice": result.choice if result is not None else "",
            "statements": list(result.statements) if result is not None else [],
            "cases": [_plain(case) for case in cases],
        }
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def _asked(
    session: Session, actor: Actor, condition_id: str, form: str
) -> tuple[Condition, Version | None, tuple[ListedCase, ...]]:
    condition = level_of(session, actor, condition_id)
    version = active_version(session, condition_id)
    cases = listed_cases(session, actor, condition, version)
    detail = {"form": form, "cases": len(cases), "version": version.number if version else 0}
    audit.record(session, actor.user_id, "readings.take", "condition", condition_id, detail)
    return condition, version, cases


def _classes(condition: Condition, version: Version | None) -> list[str]:
    """As the version knows them; a class may have been renamed since."""
    if version is None:
        return [one.name for one in condition.classes]
    return list(loaded(AdaptResult, version.result).classes)


def _reading(case: ListedCase, classes: int) -> list[str]:
    """Cells from the label to the caution."""
    reading = case.reading
    codes = "; ".join(finding.code for finding in case.findings)
    if reading is None:
        return ["", *[""] * classes, "", "", "", codes, ""]
    return [
        reading.label,
        *(f"{p:.6f}" for p in reading.probabilities),
        str(reading.calibrated).lower(),
        "; ".join(reading.set) if reading.set is not None else "",
        str(reading.none_of_these).lower(),
        codes,
        reading.caution,
    ]


def _joined(said: tuple[Said, ...]) -> str:
    return "; ".join(f"{one.reader}: {one.value}" for one in said)


def _plain(case: ListedCase) -> dict[str, object]:
    reading = case.reading
    return {
        "case": case.number,
        "scan": case.scan,
        "patient": case.patient,
        "label": reading.label if reading else None,
        "probabilities": dict(zip(reading.classes, reading.probabilities, strict=True)) if reading else None,
        "calibrated": reading.calibrated if reading else None,
        "set": {"classes": list(reading.set), "promise": reading.promise}
        if reading is not None and reading.set is not None
        else None,
        "none_of_these": reading.none_of_these if reading else None,
        "caution": reading.caution if reading else "",
        "nearest": [{"scan": n.number, "label": n.label, "distance": n.distance} for n in reading.near]
        if reading
        else [],
        "findings": [
            {"code": f.code, "severity": f.severity.value, "message": f.message, "fix": f.fix}
            for f in case.findings
        ],
        "own_readings": [_told(one) for one in case.said if one.kind == "own"],
        "verdicts": [_told(one) for one in case.said if one.kind == "verdict"],
        "error": "" if reading else "It has not been read.",
    }


def _told(one: Said) -> dict[str, object]:
    at = datetime.fromtimestamp(one.at, UTC).isoformat(timespec="seconds")
    return {"reader": one.reader, "value": one.value, "version": one.version, "at": at}
