from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.service.conftest import CLASSES, Run, person
from tests.service.made import adapted
from workbench.errors import NotFound
from workbench.service import conditions, reading
from workbench.service.kinds import Actor, Draft, Level
from workbench.service.tables import readings_csv, readings_json
from workbench.store.database import Store

pytestmark = pytest.mark.usefixtures("private_home")


def rows(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))


def test_a_row_holds_the_reading_and_what_people_said(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs)
    first = min(reading.cases(store, ada, condition.id), key=lambda case: case.scan.number)
    reading.give_own(store, ada, first.scan.id, condition.classes[1].id)
    reading.give_verdict(store, ada, first.scan.id, "unsure")
    reading.give_verdict(store, ada, first.scan.id, "disagree")
    table = rows(readings_csv(store, ada, condition.id))
    plain = json.loads(readings_json(store, ada, condition.id))
    assert [row["case"] for row in table] == [str(one["case"]) for one in plain["cases"]]
    assert len(table) == 4
    assert first.reading is not None
    row, value = table[0], plain["cases"][0]
    assert row["label"] == value["label"] == first.reading.label
    assert float(row[f"p({CLASSES[0]})"]) == pytest.approx(first.reading.probabilities[0], abs=1e-6)
    assert row["own_readings"] == f"Ada: {CLASSES[1]}"
    assert row["verdicts"] == "Ada: disagree", "the last word counts"
    assert [one["value"] for one in value["verdicts"]] == ["unsure", "disagree"], "and none is lost"
    assert row["notice"] == plain["notice"] == "For research use. Not for diagnostic use."
    assert plain["version"] == 1


def test_no_cell_is_a_formula(store: Store, ada: Actor, phantoms: Path, run_jobs: Run) -> None:
    draft = Draft("=HYPERLINK(1)", ("spiculated", "smooth"))
    condition = adapted(store, ada, phantoms, run_jobs, cases=1, draft=draft)
    with store.session() as session:
        from workbench.store.schema import ConditionClass

        for one in condition.classes:
            session.get_one(ConditionClass, one.id).name = f"=cmd|{one.name}"
    case = reading.cases(store, ada, condition.id)[0]
    reading.give_own(store, ada, case.scan.id, condition.classes[0].id)
    other = Actor(ada.user_id, ada.name, ada.role, "@reader")
    reading.give_own(store, other, case.scan.id, condition.classes[0].id)
    cells = [
        cell
        for row in csv.reader(io.StringIO(readings_csv(store, ada, condition.id).decode("utf-8-sig")))
        for cell in row
    ]
    assert any("=cmd|" in cell for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_readers_see_their_own_opinions_only(
    store: Store, ada: Actor, ben: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, cases=1)
    conditions.share(store, ada, condition.id, "ben", Level.READ)
    case = reading.cases(store, ada, condition.id)[0]
    reading.give_verdict(store, ada, case.scan.id, "agree")
    reading.give_verdict(store, ben, case.scan.id, "disagree")

    def verdicts(actor: Actor) -> set[str]:
        return {row["verdicts"] for row in rows(readings_csv(store, actor, condition.id))} - {""}

    assert verdicts(ben) == {"Ben: disagree"}
    assert verdicts(ada) == {"Ada: agree; Ben: disagree"}


def test_nobody_else_gets_a_table(store: Store, ada: Actor, phantoms: Path, run_jobs: Run) -> None:
    condition = adapted(store, ada, phantoms, run_jobs, cases=0)
    with pytest.raises(NotFound):
        readings_csv(store, person(store, "eve"), condition.id)
    assert rows(readings_csv(store, ada, condition.id)) == []
