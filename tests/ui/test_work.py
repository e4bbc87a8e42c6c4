from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ui.former import work
from ui.former.session import Session
from ui.former.work import Engine
from workbench.errors import SupportError
from workbench.learners.files import read_classifier_record


def quiet(done: int, total: int) -> None:
    pass


def copies(folder: Path, files: list[Path]) -> dict[Path, str]:
    """Uploads are removed once they are read: give copies away."""
    folder.mkdir(parents=True, exist_ok=True)
    return {Path(shutil.copy(file, folder / f"{n}")): file.name for n, file in enumerate(files)}


@pytest.fixture
def labelled(session: Session, engine: Engine, phantoms: Path, tmp_path: Path) -> Session:
    work.describe_condition(session, "Lesion border", ["smooth", "spiculated"])
    for index, name in enumerate(("smooth", "spiculated")):
        files = copies(tmp_path / f"in{index}", sorted((phantoms / name).iterdir())[:5])
        work.label_files(session, engine, index, files, quiet)
    return session


def test_bad_files_are_named_with_a_fix_and_the_good_ones_go_on(
    session: Session, engine: Engine, phantoms: Path, tmp_path: Path
) -> None:
    good = sorted((phantoms / "smooth").iterdir())[:2]
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(good[0].read_bytes()[:900])
    text = tmp_path / "report.pdf"
    text.write_bytes(b"%PDF-1.4")
    work.label_files(session, engine, 0, copies(tmp_path / "in", [cut, good[0], text, good[1]]), quiet)
    tray = session.trays[0]
    assert len(tray.scans) == 2
    assert {refused.source for refused in tray.refused} == {"cut.dcm", "report.pdf"}
    assert all(refused.reason and refused.fix for refused in tray.refused)


def test_the_same_scan_in_two_classes_is_refused_the_second_time(
    labelled: Session, engine: Engine, phantoms: Path, tmp_path: Path
) -> None:
    again = copies(tmp_path / "again", sorted((phantoms / "smooth").iterdir())[:1])
    work.label_files(labelled, engine, 1, again, quiet)
    assert len(labelled.trays[1].scans) == 5
    assert "smooth" in labelled.trays[1].refused[0].reason


def test_adapting_gives_an_estimate_with_its_interval_and_readings_with_neighbours(
    labelled: Session, engine: Engine, phantoms: Path, tmp_path: Path
) -> None:
    work.adapt(labelled, engine, "prototypical", quiet)
    assert labelled.adapted is not None
    accuracy = labelled.adapted.estimate.performance.accuracy
    assert accuracy is not None
    assert accuracy.n == 10
    assert accuracy.low <= accuracy.value <= accuracy.high
    work.read_new(labelled, copies(tmp_path / "new", [sorted((phantoms / "smooth").iterdir())[5]]), quiet)
    (case,) = labelled.cases
    assert sum(case.reading.probabilities) == pytest.approx(1.0)
    assert len(case.reading.neighbours) == work.NEIGHBOURS
    assert case.caution == ""


def test_a_labelled_patient_is_no_new_case(
    labelled: Session, engine: Engine, phantoms: Path, tmp_path: Path
) -> None:
    work.adapt(labelled, engine, "prototypical", quiet)
    work.read_new(labelled, copies(tmp_path / "new", [sorted((phantoms / "smooth").iterdir())[0]]), quiet)
    assert labelled.cases[0].caution


def test_changing_the_labelled_scans_drops_the_classifier_and_rereads_after(
    labelled: Session, engine: Engine, phantoms: Path, tmp_path: Path
) -> None:
    work.adapt(labelled, engine, "prototypical", quiet)
    work.read_new(labelled, copies(tmp_path / "new", [sorted((phantoms / "smooth").iterdir())[5]]), quiet)
    before = labelled.cases[0].reading.probabilities
    work.remove_scan(labelled, labelled.trays[0].scans[0].key)
    assert labelled.adapted is None
    work.adapt(labelled, engine, "prototypical", quiet)
    assert labelled.cases[0].reading.probabilities != before


def test_an_empty_class_is_named(session: Session, engine: Engine) -> None:
    work.describe_condition(session, "x", ["sick", "well"])
    with pytest.raises(SupportError, match="sick"):
        work.adapt(session, engine, "prototypical", quiet)


def test_one_patient_in_a_class_is_too_few_to_say(labelled: Session, engine: Engine) -> None:
    for held in list(labelled.trays[0].scans[1:]):
        work.remove_scan(labelled, held.key)
    work.adapt(labelled, engine, "prototypical", quiet)
    assert labelled.adapted is not None
    assert labelled.adapted.estimate.performance.accuracy is None


@pytest.mark.parametrize("names", [["one"], ["a", "A"], ["a", " "], list("abcdefg")])
def test_classes_that_cannot_be_told_apart_are_refused(session: Session, names: list[str]) -> None:
    with pytest.raises(SupportError):
        work.describe_condition(session, "x", names)


def test_a_page_cannot_take_files_it_did_not_upload(session: Session, tmp_path: Path) -> None:
    secret = tmp_path / "of-another-session.png"
    secret.write_bytes(b"x")
    assert work.take_uploads(session, [str(secret), "/etc/passwd"]) == {}
    assert secret.exists()


def test_the_saved_model_holds_no_names(labelled: Session, engine: Engine) -> None:
    work.adapt(labelled, engine, "linear-probe", quiet)
    path = work.save_model(labelled)
    record = read_classifier_record(path)
    assert record.classes == ("smooth", "spiculated")
    assert record.method == "linear-probe"
    assert b"phantom-0001" not in path.read_bytes()


def test_scans_of_another_modality_are_refused_by_name(
    labelled: Session, engine: Engine, shared: Path, tmp_path: Path
) -> None:
    slices = sorted((shared / "dicom" / "mr_t1_uih").glob("*.dcm"))
    if not slices:
        pytest.skip("no MR series in the folder of real data")
    work.adapt(labelled, engine, "prototypical", quiet)
    work.read_new(labelled, copies(tmp_path / "mr", slices[:1]), quiet)
    assert not labelled.cases
    assert "MR" in labelled.refused_cases[0].reason
