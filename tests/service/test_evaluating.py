from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from pypdf import PdfReader

from tests.service.conftest import CLASSES, Run, class_files, done, upload
from tests.service.made import adapted
from workbench.errors import CohortError
from workbench.evaluation.cohorts import evaluate_cohort
from workbench.imaging.phantom import write_phantoms
from workbench.service import adapting, artefacts, evaluating, imports, work
from workbench.service.cohorts import LOCKED, LOOKED
from workbench.service.engine import Engine
from workbench.service.kinds import Actor, ConditionInfo
from workbench.store.database import Store
from workbench.store.schema import AuditRow, Version

pytestmark = pytest.mark.usefixtures("private_home")


@pytest.fixture
def condition(store: Store, ada: Actor, phantoms: Path, run_jobs: Run) -> ConditionInfo:
    return adapted(store, ada, phantoms, run_jobs, cases=0)


def cohort(store: Store, actor: Actor, condition: ConditionInfo, folder: Path, run_jobs: Run) -> str:
    """Three patients of each class that the support does not have, imported; returns the import."""
    job = upload(store, actor, condition.id, class_files(folder, 3, first=4), role="cohort")
    run_jobs()
    done(store, actor, job)
    return job.id


def audited(store: Store, action: str) -> list[dict[str, object]]:
    with store.read() as session:
        rows = session.query(AuditRow).filter(AuditRow.action == action).order_by(AuditRow.seq)
        return [row.detail for row in rows]


def test_a_cohort_is_locked_before_it_is_read_and_each_look_is_counted(
    store: Store, ada: Actor, condition: ConditionInfo, phantoms: Path, run_jobs: Run
) -> None:
    batch = cohort(store, ada, condition, phantoms, run_jobs)
    job = evaluating.start(store, ada, condition.id, batch)
    (lock,) = audited(store, LOCKED)
    assert audited(store, LOOKED) == [], "locked, and nothing read yet"
    assert (lock["scans"], lock["version"], lock["looked_before"]) == (6, 1, 0)
    run_jobs()
    done(store, ada, job)
    (first,) = evaluating.evaluations(store, ada, condition.id)
    assert (first.looked, first.patients, first.cohort) == (1, 6, lock["cohort"])
    assert "for the first time" in first.said
    evaluating.start(store, ada, condition.id, batch)
    adapting.start(store, ada, condition.id)
    run_jobs()
    evaluating.start(store, ada, condition.id, batch)
    run_jobs()
    looks = evaluating.evaluations(store, ada, condition.id)
    assert [one.looked for one in looks] == [3, 2, 1]
    assert [one.version for one in looks] == [2, 1, 1]
    assert "looked at 3 times" in looks[0].said
    assert {one.cohort for one in looks} == {first.cohort}


def test_the_figures_are_those_of_the_one_evaluator(
    store: Store,
    ada: Actor,
    condition: ConditionInfo,
    phantoms: Path,
    run_jobs: Run,
    engine: Engine,
    tmp_path: Path,
) -> None:
    batch = cohort(store, ada, condition, phantoms, run_jobs)
    job = evaluating.start(store, ada, condition.id, batch)
    run_jobs()
    (found,) = evaluating.evaluations(store, ada, condition.id)
    for name, path in class_files(phantoms, 3, first=4):
        target = tmp_path / "cohort" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    with store.read() as session:
        version = session.query(Version).one()
    model = engine.model(version.model, store.blobs.path(version.model))
    by_folder = evaluate_cohort(model, tmp_path / "cohort").performance
    order = [model.record.classes.index(name) for name in found.classes]
    assert [list(row) for row in found.confusion] == by_folder.confusion[order][:, order].tolist()
    assert found.accuracy is not None
    assert by_folder.accuracy is not None
    assert (found.accuracy.successes, found.accuracy.n) == (by_folder.accuracy.successes, 6)
    files = {one.name: artefacts.taken(store, ada, one.id)[1].read_bytes() for one in found.artefacts}
    assert set(files) == {f"evaluation.{form}" for form in ("html", "pdf", "csv", "json")}
    page = files["evaluation.html"].decode()
    assert "src=" not in page
    assert "http" not in page.split("<body>")[1].replace("http://www.w3.org", "")
    assert str(by_folder.accuracy) in page
    plain = json.loads(files["evaluation.json"])
    assert plain["accuracy"]["n"] == 6
    table = list(csv.DictReader(io.StringIO(files["evaluation.csv"].decode())))
    assert {row["truth"] for row in table} == set(CLASSES)
    sheets = [sheet.extract_text() for sheet in PdfReader(io.BytesIO(files["evaluation.pdf"])).pages]
    assert all("For research use. Not for diagnostic use." in text for text in sheets)
    assert str(by_folder.accuracy) in " ".join("".join(sheets).split())
    assert work.job(store, ada, job.id).state == "done"


def test_a_patient_of_the_support_is_refused_by_number(
    store: Store, ada: Actor, condition: ConditionInfo, phantoms: Path, run_jobs: Run, tmp_path: Path
) -> None:
    # The same fictitious patients, drawn with other pixels: no copies, but no new patients either.
    import pydicom

    write_phantoms(tmp_path / "again", 1, seed=99)
    known = {path.parent.name: pydicom.dcmread(path).PatientID for _, path in class_files(phantoms, 1)}
    for _, path in class_files(tmp_path / "again", 1):
        file = pydicom.dcmread(path)
        file.PatientID = known[path.parent.name]
        file.save_as(path)
    job = upload(store, ada, condition.id, class_files(tmp_path / "again", 1), role="cohort")
    run_jobs()
    (batch, *_) = imports.batches(store, ada, condition.id)
    assert len(batch.scans) == 2
    found = evaluating.start(store, ada, condition.id, job.id)
    run_jobs()
    failed = work.job(store, ada, found.id)
    assert failed.state == "failed"
    assert "not held out: scan 9" in failed.error
    assert "this patient" in failed.error
    assert evaluating.evaluations(store, ada, condition.id) == ()
    assert audited(store, LOOKED) == [], "nobody was given a figure"


def test_a_cohort_needs_class_folders_and_a_version(
    store: Store, ada: Actor, condition: ConditionInfo, phantoms: Path, run_jobs: Run
) -> None:
    with pytest.raises(CohortError, match="Of no case the true class is known"):
        evaluating.start(store, ada, condition.id)
    loose = [(path.name, path) for _, path in class_files(phantoms, 1, first=5)]
    job = upload(store, ada, condition.id, loose, role="cohort")
    run_jobs()
    with pytest.raises(CohortError, match=r"scan 9 lies in no class folder.*spiculated, smooth"):
        evaluating.start(store, ada, condition.id, job.id)


def test_cases_that_came_in_class_folders_can_be_evaluated_on(
    store: Store, ada: Actor, condition: ConditionInfo, phantoms: Path, run_jobs: Run
) -> None:
    upload(store, ada, condition.id, class_files(phantoms, 2, first=5), role="case")
    run_jobs()
    evaluating.start(store, ada, condition.id)
    run_jobs()
    (found,) = evaluating.evaluations(store, ada, condition.id)
    assert found.patients == 4
