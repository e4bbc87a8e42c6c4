from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.userfiles import class_folders, picture
from workbench.data.advice import advice, divided_patients, few_patients, unknown_patients
from workbench.data.folders import read_examples
from workbench.imaging.phantom import write_phantoms

pytestmark = pytest.mark.usefixtures("private_home")


def test_a_thin_class_is_named_with_its_patients(tmp_path: Path) -> None:
    class_folders(tmp_path, patients=6)
    for number in range(2, 6):
        (tmp_path / "class 0" / f"{number}.png").unlink()
    said = few_patients(read_examples(tmp_path))
    assert "'class 0' (2)" in said
    assert "class 1" not in said


def test_scans_of_unknown_patients_are_counted(tmp_path: Path) -> None:
    class_folders(tmp_path, patients=3)
    picture(tmp_path / "class 0" / "patient 7" / "a.png", 9)
    assert "6 of 7 scans" in unknown_patients(read_examples(tmp_path))


def test_nothing_is_said_where_patients_are_known_and_enough(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 5, seed=3)
    assert advice(read_examples(tmp_path)) == ()


def test_one_patient_number_under_two_folders_is_pointed_out(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 2, seed=3)
    for file in sorted(tmp_path.rglob("*.dcm")):
        (file.parent / file.stem).mkdir()
        shutil.move(file, file.parent / file.stem / file.name)
    read = read_examples(tmp_path)
    assert divided_patients(read) == ""
    same = tuple(replace(e, scan=replace(e.scan, patient="one")) for e in read.examples)
    assert "as 4 patients" in divided_patients(replace(read, examples=same))
