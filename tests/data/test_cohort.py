"""Cohorts: decoded once, grouped by patient, rebuilt when and only when something changed."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.test_layouts import make_card, picture, write_npz
from workbench.data import store
from workbench.data.catalogue import find_data, get_card
from workbench.data.cohort import Cohort, folder_cohort, load_cohort
from workbench.data.layouts import iter_items
from workbench.errors import CohortError, FetchError
from workbench.imaging.recipe import Recipe

RECIPE = Recipe(size=28, channels=1)
CLASSES = [{"name": "round", "key": "a"}, {"name": "sickle", "key": "b"}]


@pytest.fixture
def card() -> Any:
    return make_card(
        {"kind": "class_folders"}, classes=CLASSES, patient={"kind": "name", "pattern": r"/(\w+)_\d"}
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five readable images of three patients, one of them an exact copy, and one broken file."""
    folder = tmp_path / "data" / "cells"
    picture(folder / "a" / "p1_1.png", 10)
    picture(folder / "a" / "p1_2.png", 20)
    picture(folder / "a" / "p2_1.png", 30)
    picture(folder / "b" / "p3_1.png", 40)
    picture(folder / "b" / "p4_1.png", 30)
    (folder / "b" / "p5_1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return tmp_path / "data"


def load(card: Any, data: Path, recipe: Recipe = RECIPE) -> Cohort:
    return load_cohort(card, recipe, data, data.parent / "cache", progress=False)


def test_images_labels_names_and_refusals_are_kept_in_order(card: Any, data: Path) -> None:
    cohort = load(card, data)
    assert cohort.classes == ("round", "sickle")
    assert cohort.names == ("a/p1_1.png", "a/p1_2.png", "a/p2_1.png", "b/p3_1.png", "b/p4_1.png")
    assert cohort.labels.tolist() == [0, 0, 0, 1, 1]
    assert cohort.images.shape == (5, 28, 28, 1)
    assert cohort.images.dtype == np.uint8
    assert cohort.images.max(axis=(1, 2, 3)).tolist() == [10, 20, 30, 40, 30]
    assert [refusal.source for refusal in cohort.refused] == ["p5_1.png"]


def test_images_are_memory_mapped_and_cannot_be_written(card: Any, data: Path) -> None:
    images = load(card, data).images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_images_are_what_the_recipe_makes_of_each_scan(card: Any, data: Path) -> None:
    recipe = Recipe(size=32, channels=3)
    cohort = load(card, data, recipe)
    items = [item for item in iter_items(card, find_data(card, data)) if item.name in cohort.names]
    for row, item in enumerate(items):
        np.testing.assert_array_equal(cohort.images[row], recipe.apply(item.scan("SM")))


def test_scans_of_a_patient_and_exact_duplicates_share_one_patient(card: Any, data: Path) -> None:
    patients = load(card, data).patients.tolist()
    assert patients[0] == patients[1]
    assert patients[2] == patients[4], "p2_1 and p4_1 have the same pixels"
    assert len(set(patients)) == 3


def test_without_a_patient_key_each_distinct_image_is_its_own_patient(data: Path) -> None:
    patients = load(make_card({"kind": "class_folders"}, classes=CLASSES), data).patients.tolist()
    assert patients == [0, 1, 2, 3, 2]


def test_linking_is_transitive_and_codes_count_up() -> None:
    assert store.linked([["a"], ["b"], ["a", "x"], ["c", "x"], ["b"], []]).tolist() == [0, 1, 0, 0, 1, 2]


def test_a_second_load_decodes_nothing(card: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(card, data)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(store, "decode", fail)
    second = load(card, data)
    np.testing.assert_array_equal(first.images, second.images)
    assert [str(r) for r in first.refused] == [str(r) for r in second.refused]
    assert second.splits == first.splits
    with pytest.raises(AssertionError):
        load(card, data, Recipe(size=30, channels=1))


def test_a_changed_file_makes_a_new_cohort(card: Any, data: Path) -> None:
    assert load(card, data).images[0].max() == 10
    path = picture(data / "cells" / "a" / "p1_1.png", 99)
    os.utime(path, (1, 1))
    assert load(card, data).images[0].max() == 99


def test_a_failed_build_leaves_nothing_behind(card: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "linked", fail)
        with pytest.raises(KeyboardInterrupt):
            load(card, data)
    assert list((data.parent / "cache" / "cohorts").iterdir()) == []
    assert len(load(card, data)) == 5


def test_a_build_beaten_by_another_process_keeps_the_first(card: Any, data: Path, tmp_path: Path) -> None:
    place = tmp_path / "there"
    items = list(iter_items(card, data / "cells"))
    classes = {one.spelled: one.name for one in card.classes}
    for _ in range(2):
        decoded = store.decode(items, RECIPE, "SM", classes, "cells", progress=False)
        store.write(decoded, RECIPE, classes, place, "cells")
    assert len(store.read(place).labels) == 5
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_label_that_the_card_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    labels = np.array([[0], [1], [0], [7], [1], [0]])
    images = np.arange(6 * 28 * 28).reshape(6, 28, 28).astype(np.uint8)
    write_npz(tmp_path / "cells" / "cells.npz", images, labels)
    cohort = load(make_card({"kind": "npz", "file": "cells.npz"}), tmp_path)
    assert len(cohort) == 5
    assert "'7'" in str(cohort.refused[0])


def test_enlarging_where_a_larger_size_is_published_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cells").mkdir()
    write_npz(tmp_path / "cells" / "cells.npz", np.zeros((6, 28, 28), np.uint8), np.zeros((6, 1), np.uint8))
    files = [{"name": "cells.npz", "pixels": 28}, {"name": "cells_64.npz", "pixels": 64}]
    card = make_card({"kind": "npz", "file": "cells.npz"}, source={"page": "x", "files": files})
    with caplog.at_level(logging.WARNING):
        load(card, tmp_path, Recipe(size=28))
        assert not caplog.text
        load(card, tmp_path, Recipe(size=64))
    assert "--size 64" in caplog.text


def test_absent_files_are_an_error_that_says_how_to_get_them(card: Any, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="workbench data fetch cells"):
        load(card, tmp_path / "data")


def test_a_set_without_one_readable_image_is_an_error(card: Any, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "data" / "cells" / name).mkdir(parents=True)
        (tmp_path / "data" / "cells" / name / "x_1.png").write_bytes(b"nothing")
    with pytest.raises(CohortError, match="no image could be read"):
        load(card, tmp_path / "data")


# A user's own folder.


def test_class_folders_become_a_cohort_and_leave_no_file(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(path for path in data.parent.rglob("*"))
    monkeypatch.setenv("TMPDIR", str(data.parent))
    cohort = folder_cohort(data / "cells", RECIPE)
    assert cohort.classes == ("a", "b")
    assert cohort.labels.tolist() == [0, 0, 0, 1, 1]
    assert not isinstance(cohort.images, np.memmap)
    assert sorted(path for path in data.parent.rglob("*")) == before


def test_scans_in_one_subfolder_of_a_class_are_of_one_patient(tmp_path: Path) -> None:
    for level, name in enumerate(("a/x/1.png", "a/x/2.png", "a/y/1.png", "b/3.png", "b/4.png")):
        picture(tmp_path / name, 10 * level + 5)
    patients = dict(zip(*_names_and_patients(folder_cohort(tmp_path, RECIPE)), strict=True))
    assert patients["a/x/1.png"] == patients["a/x/2.png"]
    assert len(set(patients.values())) == 4


def _names_and_patients(cohort: Cohort) -> tuple[tuple[str, ...], list[int]]:
    return cohort.names, cohort.patients.tolist()


def test_a_table_names_files_labels_and_patients(tmp_path: Path) -> None:
    for level, name in enumerate(("1.png", "2.png", "3.png")):
        picture(tmp_path / "img" / name, 10 * level + 5)
    table = tmp_path / "t.csv"
    text = "file,label,patient\nimg/1.png,ill,P\nimg/2.png,well,Q\nimg/3.png,well,P\n"
    table.write_text(text, encoding="utf-8-sig")
    cohort = folder_cohort(table, RECIPE)
    assert cohort.classes == ("ill", "well")
    assert cohort.labels.tolist() == [0, 1, 1]
    assert cohort.patients.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\nx.png,a\n", "no column 'file'"),
        ("file,class\nx.png,a\n", "no column 'label'"),
        ("file,label\nx.png,\n", "line 2"),
        ("file,label\n../x.png,a\n", "outside"),
        ("file,label\n/etc/hostname,a\n", "outside"),
    ],
)
def test_a_bad_table_is_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(CohortError, match=message):
        folder_cohort(tmp_path / "t.csv", RECIPE)


def test_a_class_folder_without_a_readable_scan_is_named(data: Path) -> None:
    (data / "cells" / "c").mkdir()
    with pytest.raises(CohortError, match="'c'"):
        folder_cohort(data / "cells", RECIPE)


def test_a_folder_without_class_folders_says_what_to_do(tmp_path: Path) -> None:
    picture(tmp_path / "x.png", 1)
    with pytest.raises(CohortError, match="one subfolder per class"):
        folder_cohort(tmp_path, RECIPE)


def test_a_dicom_series_in_a_class_folder_is_one_scan(shared: Path, tmp_path: Path) -> None:
    shutil.copytree(shared / "dicom" / "ct_phantom", tmp_path / "phantom" / "one")
    picture(tmp_path / "blank" / "x.png", 5)
    cohort = folder_cohort(tmp_path, RECIPE)
    assert cohort.labels.tolist() == [0, 1]
    assert cohort.modality == "CT"


def test_mixed_modalities_are_refused_with_an_example_of_each(shared: Path, tmp_path: Path) -> None:
    for name, folder in (("ct", "ct_phantom"), ("mr", "mr_t1_uih")):
        shutil.copytree(shared / "dicom" / folder, tmp_path / name)
    with pytest.raises(CohortError, match=r"CT \(ct/.*MR \(mr/"):
        folder_cohort(tmp_path, RECIPE)


# Real sets.


@pytest.mark.parametrize(
    ("name", "images", "patients"),
    [("knee_osteoporosis", 362, 345), ("breastmnist", 780, 779), ("mias_mammo_density", 322, 161)],
)
def test_a_real_set_is_read_whole(
    shared: Path, tmp_path: Path, name: str, images: int, patients: int
) -> None:
    cohort = load_cohort(get_card(name), RECIPE, shared / "data", tmp_path, progress=False)
    assert len(cohort) == images
    assert len(set(cohort.patients.tolist())) == patients
    assert not cohort.refused
    assert set(cohort.labels.tolist()) == set(range(len(cohort.classes)))


def test_a_jpeg_and_its_pixels_agree(shared: Path, tmp_path: Path) -> None:
    """The stored image of a square file, resized by none, is the file's own grey values."""
    source = sorted((shared / "data" / "mednist" / "Hand").glob("*.jpeg"))[0]
    (tmp_path / "a").mkdir()
    shutil.copy(source, tmp_path / "a" / source.name)
    picture(tmp_path / "b" / "x.png", 5)
    cohort = folder_cohort(tmp_path, Recipe(size=64, channels=1))
    with Image.open(source) as image:
        np.testing.assert_array_equal(cohort.images[0, :, :, 0], np.asarray(image.convert("L")))
