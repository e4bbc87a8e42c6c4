"""The whole way, from files to a verdict, on the store and through jobs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.service.conftest import CLASSES, ON_BOTH, Run, class_files, done, lesions, upload
from workbench import demo
from workbench.errors import SupportError
from workbench.service import (
    adapting,
    conditions,
    imports,
    job_adapt,
    labels,
    reading,
    trays,
    versions,
    work,
)
from workbench.service.kinds import Actor, ConditionInfo, Draft, Light
from workbench.store import audit
from workbench.store.database import Store


def labelled(store: Store, actor: Actor, phantoms: Path, run_jobs: Run) -> ConditionInfo:
    """A condition with five labelled patients of each class."""
    condition = lesions(store, actor)
    upload(store, actor, condition.id, class_files(phantoms, 5))
    run_jobs()
    assert labels.accept_hints(store, actor, condition.id) == 10
    return conditions.get(store, actor, condition.id)


@ON_BOTH
def test_the_whole_way_from_files_to_a_verdict(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = lesions(store, ada)
    assert condition.status == "scans"
    job = upload(store, ada, condition.id, class_files(phantoms, 5))
    assert job.state == "queued"
    run_jobs()
    assert done(store, ada, job).done == 10
    (batch,) = imports.batches(store, ada, condition.id)
    assert len(batch.scans) == 10
    assert any(line.startswith("PatientName: in 10 of 10 files") for line in batch.deidentified)
    tray = trays.scans(store, ada, condition.id)
    assert [scan.number for scan in tray] == list(range(1, 11))
    assert {scan.hint for scan in tray} == set(CLASSES)
    assert all(scan.light is not Light.ERROR and scan.label is None for scan in tray)
    assert trays.preview(store, ada, tray[0].id).startswith(b"\xff\xd8")
    with pytest.raises(SupportError, match="spiculated"):
        adapting.start(store, ada, condition.id)

    assert labels.accept_hints(store, ada, condition.id) == 10
    ready = conditions.get(store, ada, condition.id)
    assert (ready.status, ready.unlabelled) == ("ready", 0)
    assert [(one.scans, one.patients) for one in ready.classes] == [(5, 5), (5, 5)]
    job = adapting.start(store, ada, condition.id)
    assert adapting.start(store, ada, condition.id).id == job.id, "pressed twice is asked once"
    run_jobs()
    done(store, ada, job)
    (version,) = versions.all(store, ada, condition.id)
    result = version.result
    assert (version.number, version.active, result.shots) == (1, True, (5, 5))
    assert result.accuracy is not None
    assert result.accuracy.n == sum(map(sum, result.confusion)) == 10
    assert [one.scan_id for one in result.judged] == [
        scan.id for scan in trays.scans(store, ada, condition.id)
    ]
    assert sum(one.true == one.read_as for one in result.judged) == result.accuracy.successes
    assert conditions.get(store, ada, condition.id).status == "adapted"

    new = class_files(phantoms, 1, first=5)
    job = upload(store, ada, condition.id, [(path.name, path) for _, path in new], role="case")
    run_jobs()
    done(store, ada, job)
    cases = reading.cases(store, ada, condition.id)
    assert len(cases) == 2
    for case in cases:
        assert case.reading is not None
        assert sum(case.reading.probabilities) == pytest.approx(1.0)
        assert case.reading.label in CLASSES
        assert len(case.reading.near) == 4
        assert {near.number for near in case.reading.near} <= set(range(1, 11))
        assert case.reading.caution == ""
    assert conditions.get(store, ada, condition.id).unread == 0
    first = cases[0]
    reading.give_verdict(store, ada, first.scan.id, "disagree")
    assert reading.cases(store, ada, condition.id)[0].verdict == "disagree"
    job = reading.ask_evidence(store, ada, first.scan.id)
    run_jobs()
    done(store, ada, job)
    assert reading.evidence(store, ada, first.scan.id).startswith(b"\xff\xd8")
    assert reading.cases(store, ada, condition.id)[0].has_evidence

    reading.into_support(store, ada, first.scan.id, condition.classes[0].id)
    after = conditions.get(store, ada, condition.id)
    assert (after.status, after.scans, after.cases) == ("stale", 11, 1)
    adapting.start(store, ada, condition.id)
    run_jobs()
    newer, older = versions.all(store, ada, condition.id)
    assert (newer.number, newer.active, older.active) == (2, True, False)
    assert newer.result.shots == (6, 5)
    (case,) = reading.cases(store, ada, condition.id)
    assert case.version == 2, "the new version has read the cases that were there"
    versions.activate(store, ada, older.id)
    (case,) = reading.cases(store, ada, condition.id)
    assert case.version == 1
    assert audit.verify(store).broken is None


def test_own_readings_come_before_the_reveal(store: Store, ada: Actor, phantoms: Path, run_jobs: Run) -> None:
    condition = labelled(store, ada, phantoms, run_jobs)
    upload(store, ada, condition.id, class_files(phantoms, 1, first=5), role="case")
    adapting.start(store, ada, condition.id)
    run_jobs()
    hidden = reading.cases(store, ada, condition.id, own_first=True)
    assert all(case.concealed and case.reading is None and not case.scan.hint for case in hidden)
    own = condition.classes[1].id
    reading.give_own(store, ada, hidden[0].scan.id, own)
    reading.give_own(store, ada, hidden[1].scan.id, None)
    shown = reading.cases(store, ada, condition.id, own_first=True)
    assert [case.own for case in shown] == [own, "unsure"]
    assert all(case.reading is not None and not case.concealed for case in shown)


def test_a_labelled_patient_is_no_new_case(store: Store, ada: Actor, phantoms: Path, run_jobs: Run) -> None:
    condition = labelled(store, ada, phantoms, run_jobs)
    adapting.start(store, ada, condition.id)
    run_jobs()
    upload(store, ada, condition.id, class_files(phantoms, 1), role="case")
    run_jobs()
    cases = reading.cases(store, ada, condition.id)
    assert [bool(case.reading and case.reading.caution) for case in cases] == [True, True]
    assert all(case.scan.twin for case in cases)


def test_shares_that_were_stated_move_the_probabilities(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = labelled(store, ada, phantoms, run_jobs)
    upload(store, ada, condition.id, class_files(phantoms, 1, first=5), role="case")
    adapting.start(store, ada, condition.id)
    run_jobs()
    before = [
        case.reading.probabilities[0] for case in reading.cases(store, ada, condition.id) if case.reading
    ]
    found = conditions.get(store, ada, condition.id)
    draft = Draft("Lesion border", CLASSES, prevalence=(0.05, 0.95), miss_cost=4.0)
    conditions.edit(store, ada, condition.id, draft, found.revision)
    assert conditions.get(store, ada, condition.id).status == "stale"
    adapting.start(store, ada, condition.id)
    run_jobs()
    after = [
        case.reading.probabilities[0] for case in reading.cases(store, ada, condition.id) if case.reading
    ]
    assert len(after) == len(before) == 2
    # Odds of the first class fall by the odds that were stated: closed form of the shift.
    for was, now in zip(before, after, strict=True):
        assert now / (1 - now) == pytest.approx(was / (1 - was) * (0.05 / 0.95), rel=1e-6)
    assert versions.all(store, ada, condition.id)[0].result.threshold == pytest.approx(0.2)


def test_an_extension_says_whether_the_earlier_population_is_read_as_before(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    parent = labelled(store, ada, phantoms, run_jobs)
    child = conditions.extend(store, ada, parent.id, Draft("Elsewhere", CLASSES))
    assert (child.scans, child.draft.parent, child.status) == (10, parent.id, "ready")
    upload(store, ada, child.id, class_files(phantoms, 2, first=5))
    run_jobs()
    labels.accept_hints(store, ada, child.id)
    adapting.start(store, ada, child.id, "prototypical")
    run_jobs()
    (version,) = versions.all(store, ada, child.id)
    assert version.result.shots == (7, 7)
    assert any(said.startswith("The earlier population") for said in version.result.statements)
    assert conditions.get(store, ada, parent.id).version == 0, "the condition extended stays as it is"


def test_a_condition_that_cannot_be_adapted_says_so_and_the_job_fails_at_once(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = labelled(store, ada, phantoms, run_jobs)
    job = adapting.start(store, ada, condition.id)
    trays.remove(store, ada, [scan.id for scan in trays.scans(store, ada, condition.id)])
    run_jobs()
    found = work.job(store, ada, job.id)
    assert found.state == "failed"
    assert "Label" in found.error


def test_a_new_class_begins_with_the_labelled_scans_of_the_others(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    parent = labelled(store, ada, phantoms, run_jobs)
    child = conditions.extend(store, ada, parent.id, Draft("Three", (*CLASSES, "lobed")))
    assert child.status == "label"
    assert "lobed" in child.missing
    assert [(one.scans, one.patients) for one in child.classes] == [(5, 5), (5, 5), (0, 0)]
    with pytest.raises(SupportError, match="class"):
        conditions.extend(store, ada, parent.id, Draft("Other", ("a", "b")))


def test_real_knees_go_the_same_way(store: Store, ada: Actor, shared: Path, run_jobs: Run) -> None:
    place = shared / "data" / "knee_osteoporosis"
    if not place.is_dir():
        pytest.skip("the set of knees is not among the shared data")
    condition = conditions.create(store, ada, Draft("Osteoporosis", ("osteoporosis", "normal")))
    files = [
        (f"{name}/{path.name}", path)
        for name in ("osteoporosis", "normal")
        for path in sorted((place / name).iterdir())[:6]
    ]
    upload(store, ada, condition.id, [one for k, one in enumerate(files) if k % 6 < 5])
    run_jobs()
    labels.accept_hints(store, ada, condition.id)
    adapting.start(store, ada, condition.id)
    upload(store, ada, condition.id, files[5::6], role="case")
    run_jobs()
    cases = reading.cases(store, ada, condition.id)
    assert len(cases) == 2
    assert all(case.reading is not None and case.reading.near for case in cases)
    (version,) = versions.all(store, ada, condition.id)
    assert version.result.shots == (5, 5)
    # No tag or chunk of a PNG tells more than its pixels: the summary says what there was.
    assert imports.batches(store, ada, condition.id)[0].deidentified


def test_the_demonstration_is_ready_to_adapt_and_knows_its_truth(
    store: Store, ada: Actor, run_jobs: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_find", lambda card, data: None)
    monkeypatch.setattr(demo, "_download", lambda card: None)
    monkeypatch.setattr(demo, "SHOTS", 4)
    monkeypatch.setattr(demo, "CASES", 2)
    condition, job_id = conditions.start_demo(store, ada)
    run_jobs()
    assert work.job(store, ada, job_id).state == "done"
    ready = conditions.get(store, ada, condition.id)
    assert (ready.demo, ready.status, ready.scans, ready.cases) == (True, "ready", 8, 4)
    assert "phantoms" in ready.draft.title
    adapting.start(store, ada, condition.id)
    run_jobs()
    cases = reading.cases(store, ada, condition.id)
    assert all(case.reading is not None for case in cases)
    assert {case.scan.hint for case in cases} == set(ready.draft.classes)
    assert not (store.data_dir / "spool" / job_id).exists()


def test_cases_that_came_while_adapting_are_read_after_it(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    condition = labelled(store, ada, phantoms, run_jobs)
    upload(store, ada, condition.id, class_files(phantoms, 1, first=5), role="case")
    run_jobs()
    # As if none had been there when the adaptation looked.
    monkeypatch.setattr(job_adapt, "unread", lambda session, condition_id, version_id: [])
    adapting.start(store, ada, condition.id)
    run_jobs()
    assert all(case.reading is not None for case in reading.cases(store, ada, condition.id))


@ON_BOTH
def test_imports_into_one_condition_at_once_number_each_scan_once(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = lesions(store, ada)
    for first in range(4):
        upload(store, ada, condition.id, class_files(phantoms, 2, first=first))  # overlapping by one each
    with ThreadPoolExecutor(3) as pool:
        counts = [one.result() for one in [pool.submit(run_jobs) for _ in range(3)]]
    assert sum(counts) == 4
    tray = trays.scans(store, ada, condition.id)
    assert [scan.number for scan in tray] == list(range(1, 11))
    batches = imports.batches(store, ada, condition.id)
    assert [batch.job.state for batch in batches] == ["done"] * 4
    assert sum(len(batch.scans) for batch in batches) == 10
    assert sum(len(batch.copies) for batch in batches) == 6
