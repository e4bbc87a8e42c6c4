from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.userfiles import class_folders, picture
from workbench.data.folders import iter_scans, read_examples
from workbench.errors import ScanRefused, SupportError
from workbench.imaging.phantom import write_phantoms

pytestmark = pytest.mark.usefixtures("private_home")


def test_folder_names_are_the_classes_in_natural_order(tmp_path: Path) -> None:
    for number, name in enumerate(("grade 10", "grade 2", "grade 1")):
        picture(tmp_path / name / "a.png", number)
    read = read_examples(tmp_path)
    assert read.classes == ("grade 1", "grade 2", "grade 10")
    assert {e.label for e in read.examples} == set(read.classes)


def test_a_subfolder_is_one_patient_and_a_loose_file_its_own(tmp_path: Path) -> None:
    for number, name in enumerate(("a/anna/1.png", "a/anna/2.png", "a/loose.png", "a/other.png", "b/1.png")):
        picture(tmp_path / name, number)
    read = read_examples(tmp_path)
    patients = dict(zip(read.names, (e.patient for e in read.examples), strict=True))
    assert patients["a/anna/1.png"] == patients["a/anna/2.png"]
    assert len(set(patients.values())) == 4


def test_series_in_one_patient_folder_belong_to_that_patient(tmp_path: Path) -> None:
    for number, name in enumerate(("a/anna/first/1.png", "a/anna/second/1.png", "b/1.png")):
        picture(tmp_path / name, number)
    read = read_examples(tmp_path)
    patients = dict(zip(read.names, (e.patient for e in read.examples), strict=True))
    assert patients["a/anna/first/1.png"] == patients["a/anna/second/1.png"]


def test_no_patient_number_survives_in_a_key(tmp_path: Path) -> None:
    for number, name in enumerate(("a/MRN-4711/1.png", "b/MRN-4712/1.png")):
        picture(tmp_path / name, number)
    assert not any("4711" in e.patient for e in read_examples(tmp_path).examples)


def test_dicom_patient_is_read_from_the_file(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 2, seed=1)
    read = read_examples(tmp_path)
    assert [e.patient for e in read.examples] == [e.scan.patient for e in read.examples]
    assert len({e.patient for e in read.examples}) == 4


def test_an_unreadable_file_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    class_folders(tmp_path, patients=2)
    (tmp_path / "class 0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    read = read_examples(tmp_path)
    assert len(read.examples) == 4
    assert [r.source for r in read.refused] == ["class 0/broken.png"]


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "benign" / "a.png", 0)
    with pytest.raises(SupportError, match=r"one class only.*benign"):
        read_examples(tmp_path)


def test_an_empty_class_is_named_with_the_file_that_failed(tmp_path: Path) -> None:
    picture(tmp_path / "benign" / "a.png", 0)
    (tmp_path / "malignant").mkdir()
    (tmp_path / "malignant" / "b.png").write_bytes(b"no image")
    with pytest.raises(SupportError, match=r"malignant.*malignant/b\.png"):
        read_examples(tmp_path)


def test_the_same_picture_under_two_labels_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path, patients=2)
    # Saved in another format: only the pixels are the same.
    Image.open(tmp_path / "class 0" / "0.png").save(tmp_path / "class 1" / "again.bmp")
    with pytest.raises(SupportError, match=r"again\.bmp.*class 1.*0\.png.*class 0"):
        read_examples(tmp_path)


def test_a_copy_cannot_count_as_a_second_patient(tmp_path: Path) -> None:
    class_folders(tmp_path, patients=2)
    shutil.copy(tmp_path / "class 0" / "0.png", tmp_path / "class 0" / "9.png")
    read = read_examples(tmp_path)
    assert len(read.examples) == 4
    refusal = read.refused[0]
    assert "exact copy of another scan. (class 0/0.png)" in str(refusal)
    assert "0.png" not in refusal.reason  # which exports hold


def test_a_table_names_files_labels_and_patients(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / "images" / f"{number}.png", number)
    table = tmp_path / "labels.csv"
    table.write_text(
        "file,label,patient\nimages/0.png,benign,p1\nimages/1.png,benign,p1\nimages/2.png,malignant,p2\n"
    )
    read = read_examples(table)
    assert [e.label for e in read.examples] == ["benign", "benign", "malignant"]
    assert read.examples[0].patient == read.examples[1].patient != read.examples[2].patient


def test_a_table_without_a_column_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,class\na.png,x\n")
    with pytest.raises(SupportError, match="label"):
        read_examples(tmp_path / "labels.csv")


def test_an_empty_cell_is_refused_with_its_line(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 0)
    (tmp_path / "labels.csv").write_text("file,label\na.png,x\na.png,\n")
    with pytest.raises(SupportError, match="line 3"):
        read_examples(tmp_path / "labels.csv")


def test_a_table_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes("file,label\nä.png,größe\n".encode("utf-16"))
    with pytest.raises(SupportError, match="UTF-8"):
        read_examples(tmp_path / "labels.csv")


def test_a_missing_file_of_a_table_is_refused_alone(tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / f"{number}.png", number)
    (tmp_path / "labels.csv").write_text("file,label\n0.png,a\n1.png,b\ngone.png,b\n")
    read = read_examples(tmp_path / "labels.csv")
    assert len(read.examples) == 2
    assert [r.source for r in read.refused] == ["gone.png"]


def test_a_place_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SupportError, match="nowhere"):
        read_examples(tmp_path / "nowhere")


def test_progress_ends_at_the_number_of_files(tmp_path: Path) -> None:
    class_folders(tmp_path, patients=3)
    seen: list[tuple[int, int]] = []
    read_examples(tmp_path, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (6, 6)


def test_new_cases_keep_their_path_below_the_folder(tmp_path: Path) -> None:
    picture(tmp_path / "b.png", 0)
    picture(tmp_path / "deep" / "er" / "a.png", 1)
    (tmp_path / "deep" / "text.txt").write_text("not a scan")
    found = dict(iter_scans([tmp_path]))
    assert set(found) == {"b.png", "deep/er/a.png", "deep/text.txt"}
    assert isinstance(found["deep/text.txt"], ScanRefused)


def test_slices_of_a_series_are_read_as_one_volume(tmp_path: Path, shared: Path) -> None:
    shutil.copytree(shared / "dicom" / "ct_phantom", tmp_path / "series")
    picture(tmp_path / "series" / "photo.png", 0)
    scans = [scan for _, scan in iter_scans([tmp_path]) if not isinstance(scan, ScanRefused)]
    assert sorted(scan.is_volume for scan in scans) == [False, True]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    class_folders(tmp_path, patients=2)
    os.mkfifo(tmp_path / "class 0" / "pipe.dcm")
    assert [r.source for r in read_examples(tmp_path).refused] == ["class 0/pipe.dcm"]
    assert isinstance(dict(iter_scans([tmp_path]))["class 0/pipe.dcm"], ScanRefused)


def test_a_file_that_may_not_be_opened_is_refused_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions do not bind an administrator, under whom tests may run, so the system's answer is acted."""
    class_folders(tmp_path, patients=2)
    look = Path.open

    def closed(path: Path, *arguments: object, **named: object) -> object:
        if path.name == "0.png":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, *arguments, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", closed)
    read = read_examples(tmp_path)
    assert len(read.examples) == 3
    assert [r.source for r in read.refused] == ["class 0/0.png"]
    assert "permissions" in read.refused[0].fix


def test_a_folder_that_may_not_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path, patients=2)
    picture(tmp_path / "class 0" / "private" / "a.png", 5)
    walk, scan = Path.iterdir, os.scandir

    def closed_to_walk(path: Path) -> object:
        if path.name == "private":
            raise PermissionError(13, "Permission denied", str(path))
        return walk(path)

    def closed_to_scan(path: str) -> object:
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(Path, "iterdir", closed_to_walk)
    monkeypatch.setattr(os, "scandir", closed_to_scan)
    read = read_examples(tmp_path)
    assert [r.source for r in read.refused] == ["class 0/private"]
    assert len(read.examples) == 4
    assert isinstance(dict(iter_scans([tmp_path]))["private"], ScanRefused)


def test_a_dangling_link_is_refused_by_its_name(tmp_path: Path) -> None:
    class_folders(tmp_path, patients=2)
    (tmp_path / "class 1" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert [r.source for r in read_examples(tmp_path).refused] == ["class 1/gone.png"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_are_read_as_spreadsheets_write_them(tmp_path: Path, separator: str) -> None:
    rows = [("File", " Label", "PATIENT")]
    rows += [(picture(tmp_path / f"{i}.png", i).name, "ill" if i < 2 else "well", f"p{i}") for i in range(4)]
    table = tmp_path / "t.csv"
    table.write_text("\r\n".join(separator.join(row) for row in rows), encoding="utf-8-sig")
    read = read_examples(table)
    assert read.classes == ("ill", "well")
    assert len({e.patient for e in read.examples}) == 4
