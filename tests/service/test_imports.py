"""Importing: bad files among good ones, copies, folders, zips, cancelling, room, whose names are shown."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.service.conftest import CLASSES, Run, class_files, done, lesions, upload
from workbench.errors import NotFound, QuotaExceeded, RegionError, SupportError
from workbench.service import conditions, imports, labels, spools, trays, work
from workbench.service.engine import Engine
from workbench.service.handlers import handlers
from workbench.service.kinds import Actor, Draft, ImportOptions, Level
from workbench.service.sweeping import sweep
from workbench.store import jobs, loop
from workbench.store.database import Store


def test_a_bad_file_is_named_with_a_fix_and_the_good_ones_go_on(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run, tmp_path: Path
) -> None:
    good = class_files(phantoms, 1)
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(good[0][1].read_bytes()[:900])
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(b"%PDF-1.4")
    condition = lesions(store, ada)
    job = upload(store, ada, condition.id, [("a/cut.dcm", cut), good[0], ("paper.pdf", paper), good[1]])
    run_jobs()
    done(store, ada, job)
    (batch,) = imports.batches(store, ada, condition.id)
    assert len(batch.scans) == 2
    assert {one.name for one in batch.refused} == {"a/cut.dcm", "paper.pdf"}
    assert all(one.reason and one.fix for one in batch.refused)


def test_names_of_files_are_for_the_uploader_only_and_go_when_dismissed(
    store: Store, ada: Actor, ben: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = lesions(store, ada)
    first = class_files(phantoms, 1)
    upload(store, ada, condition.id, first)
    job = upload(store, ada, condition.id, [("Doe Jane/again.dcm", first[0][1])])
    run_jobs()
    conditions.share(store, ada, condition.id, "ben", Level.EDIT)
    assert imports.batches(store, ada, condition.id)[0].copies == (("Doe Jane/again.dcm", 1),)
    assert imports.batches(store, ben, condition.id)[0].copies == (("file 1", 1),)
    assert not (store.data_dir / "spool" / job.id / "files").exists(), "what is imported is not kept raw"
    imports.dismiss(store, ada, job.id)
    assert imports.batches(store, ada, condition.id)[0].copies == (("file 1", 1),)


def test_a_copy_in_another_class_keeps_the_folders_from_deciding(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    (_, one), (_, two) = class_files(phantoms, 1)
    condition = lesions(store, ada)
    files = [("smooth/1.dcm", one), ("spiculated/1.dcm", one), ("spiculated/2.dcm", two)]
    upload(store, ada, condition.id, files)
    run_jobs()
    shown = trays.scans(store, ada, condition.id)
    assert len(shown) == 2
    assert shown[0].hint == ""
    assert any(finding.code == "copy-in-other-folder" for finding in shown[0].findings)
    assert labels.accept_hints(store, ada, condition.id) == 1


def test_folders_within_a_class_are_patients_as_on_the_command_line(
    store: Store, ada: Actor, run_jobs: Run, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    files = []
    for label, patient, name in [
        ("sick", "p1", "a"),
        ("sick", "p1", "b"),
        ("Sick", "p2", "a"),
        ("well", "p3", "a"),
    ]:
        path = tmp_path / f"{label}-{patient}-{name}.png"
        Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)).save(path)
        files.append((f"everything/{label}/{patient}/{name}.png", path))
    condition = conditions.create(store, ada, Draft("Weather", ("sick", "well")))
    upload(store, ada, condition.id, files)
    run_jobs()
    assert labels.accept_hints(store, ada, condition.id) == 4
    found = conditions.get(store, ada, condition.id).classes
    assert [(one.scans, one.patients) for one in found] == [(3, 2), (1, 1)]
    everything = json.dumps([repr(scan) for scan in trays.scans(store, ada, condition.id)])
    assert "p1" not in everything


def test_folders_of_a_zip_name_classes_too(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run, tmp_path: Path
) -> None:
    packed = tmp_path / "scans.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name, path in class_files(phantoms, 2):
            archive.write(path, f"study/{name}")
        archive.writestr("notes.txt", "nothing to see")
    condition = lesions(store, ada)
    upload(store, ada, condition.id, [("scans.zip", packed)])
    run_jobs()
    assert [scan.hint for scan in trays.scans(store, ada, condition.id)] == ["smooth"] * 2 + [
        "spiculated"
    ] * 2
    (batch,) = imports.batches(store, ada, condition.id)
    assert [one.name for one in batch.refused] == ["scans.zip/notes.txt"]


def test_a_marked_region_and_a_modality_of_another_kind_are_said(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = conditions.create(store, ada, Draft("Lesion border", CLASSES, modality="mr"))
    upload(store, ada, condition.id, class_files(phantoms, 1), options=ImportOptions(box="11:90,21:120"))
    run_jobs()
    (first, _) = trays.scans(store, ada, condition.id)
    assert (first.rows, first.columns) == (80, 100)
    assert {"region-marked", "not-as-defined"} <= {finding.code for finding in first.findings}
    with pytest.raises(RegionError):
        upload(store, ada, condition.id, class_files(phantoms, 1), options=ImportOptions(box="nonsense"))
    with pytest.raises(SupportError):
        upload(store, ada, condition.id, class_files(phantoms, 1), options=ImportOptions(remedies=("magic",)))


def test_a_cancelled_import_leaves_nothing(store: Store, ada: Actor, phantoms: Path, engine: Engine) -> None:
    condition = lesions(store, ada)
    running = upload(store, ada, condition.id, class_files(phantoms, 2))
    claim = jobs.claim(store, "test", threading.Event())
    assert claim is not None
    assert work.cancel(store, ada, running.id).said == "Stopping"
    loop.do(store, handlers(engine), claim)
    assert work.job(store, ada, running.id).state == "cancelled"
    waiting = upload(store, ada, condition.id, class_files(phantoms, 2))
    assert work.cancel(store, ada, waiting.id).state == "cancelled"
    assert jobs.claim(store, "test", threading.Event()) is None
    sweep(store)
    assert trays.scans(store, ada, condition.id) == ()
    assert list((store.data_dir / "spool").iterdir()) == []


def test_an_upload_is_kept_once_and_stays_within_its_folder(
    store: Store, ada: Actor, ben: Actor, phantoms: Path
) -> None:
    condition = lesions(store, ada)
    job_id = imports.begin(store, ada, condition.id, "support")
    for name in ("../../etc/passwd", "/a\\..\\b.dcm", "x" * 400 + ".dcm", "a/\x00b.dcm"):
        imports.take(store, ada, job_id, name, io.BytesIO(b"1"))
        imports.take(store, ada, job_id, name, io.BytesIO(b"1"))
    imports.take(store, ada, job_id, "a/b.dcm", io.BytesIO(b"other"))
    taken = spools.Spool(store, job_id).files()
    assert len(taken) == 5, "sent twice is kept once; the same name with another content is not lost"
    assert all(one.path.resolve().is_relative_to(store.data_dir / "spool" / job_id) for one in taken)
    for attempt in (
        lambda: imports.take(store, ben, job_id, "x", io.BytesIO(b"1")),
        lambda: imports.commit(store, ben, job_id),
        lambda: imports.abandon(store, ben, job_id),
        lambda: imports.take(store, ada, "../" + job_id, "x", io.BytesIO(b"1")),
        lambda: imports.take(store, ada, "0" * 32, "x", io.BytesIO(b"1")),
    ):
        with pytest.raises(NotFound):
            attempt()
    job = imports.commit(store, ada, job_id)
    assert imports.commit(store, ada, job_id) == job, "asked twice is asked once"
    with pytest.raises(NotFound):
        imports.take(store, ada, job_id, "late.dcm", io.BytesIO(b"1"))


def test_there_is_room_up_to_the_owners_quota_and_no_further(
    store: Store, ada: Actor, phantoms: Path
) -> None:
    from workbench.store.schema import User

    with store.session() as session:
        row = session.get(User, ada.user_id)
        assert row is not None
        row.quota = 100
    condition = lesions(store, ada)
    job_id = imports.begin(store, ada, condition.id, "support")
    imports.take(store, ada, job_id, "a", io.BytesIO(b"x" * 60))
    for size in (None, 60):
        with pytest.raises(QuotaExceeded):
            imports.take(store, ada, job_id, "b", io.BytesIO(b"x" * 60), size)
    assert [one.name for one in spools.Spool(store, job_id).files()] == ["a"]
    empty = imports.begin(store, ada, condition.id, "support")
    with pytest.raises(SupportError, match="No file"):
        imports.commit(store, ada, empty)


def test_what_will_not_be_kept_is_told_before_anything_is_stored(
    store: Store, ada: Actor, phantoms: Path
) -> None:
    condition = lesions(store, ada)
    job_id = imports.begin(store, ada, condition.id, "support")
    for name, path in class_files(phantoms, 2):
        imports.take(store, ada, job_id, name, path)
    told = imports.look(store, ada, job_id)
    assert "PatientName: in 4 of 4 files; not kept" in told
    assert "PatientID: in 4 of 4 files; kept as a keyed number only" in told
    assert trays.scans(store, ada, condition.id) == ()


def test_slices_for_the_viewer_are_exact_for_whole_numbers(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    from workbench.imaging.read import read_scan

    condition = lesions(store, ada)
    files = class_files(phantoms, 1)
    upload(store, ada, condition.id, files)
    run_jobs()
    scan = trays.scans(store, ada, condition.id)[0]
    shown = trays.slice_pixels(store, ada, scan.id)
    stored = np.frombuffer(shown.data, "<u2").reshape(shown.rows, shown.columns)
    expected = read_scan(files[0][1]).pixels[0, :, :, 0]
    assert np.array_equal(stored * shown.slope + shown.intercept, expected)
    assert (shown.low, shown.high) == (expected.min(), expected.max())
    assert dict(shown.presets)["Lung"] == (-600.0, 1500.0)
    with pytest.raises(NotFound):
        trays.slice_pixels(store, ada, scan.id, 1)


def test_what_is_taken_out_can_be_put_back_unless_a_copy_came(
    store: Store, ada: Actor, phantoms: Path, run_jobs: Run
) -> None:
    condition = lesions(store, ada)
    upload(store, ada, condition.id, class_files(phantoms, 1))
    run_jobs()
    first = trays.scans(store, ada, condition.id)[0]
    trays.remove(store, ada, [first.id])
    assert len(trays.scans(store, ada, condition.id)) == 1
    trays.restore(store, ada, [first.id])
    assert len(trays.scans(store, ada, condition.id)) == 2
    trays.remove(store, ada, [first.id])
    upload(store, ada, condition.id, class_files(phantoms, 1))
    run_jobs()
    with pytest.raises(SupportError, match="copy"):
        trays.restore(store, ada, [first.id])
