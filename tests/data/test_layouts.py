"""Each layout, on files made here and on the real sets where they are present."""

from __future__ import annotations

import csv
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench.data.card import Card
from workbench.data.catalogue import find_data, get_card
from workbench.data.layouts import count_items, is_present, iter_items, variant
from workbench.errors import CohortError, ScanRefused


def make_card(layout: dict[str, Any], **changes: Any) -> Card:
    values: dict[str, Any] = {
        "name": "cells",
        "title": "Cells",
        "modality": "SM",
        "body_part": "blood",
        "task": "binary",
        "classes": [{"name": "round", "key": "0"}, {"name": "sickle", "key": "1"}],
        "source": {"page": "https://example.org"},
        "licence": {"id": "MIT", "text": "Any use.", "weights_may_be_shipped": True},
        "layout": layout,
        "patient": {"kind": "none"},
        "origin": ["cells"],
        "citation": "Nobody (2024).",
    }
    return Card.model_validate(values | changes)


def picture(path: Path, level: int, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)
    return path


def test_class_folders_read_the_patient_from_the_name(tmp_path: Path) -> None:
    picture(tmp_path / "0" / "a_1.png", 10)
    picture(tmp_path / "1" / "a_2.png", 20)
    (tmp_path / "1" / "notes.txt").write_text("no image", encoding="utf-8")
    card = make_card({"kind": "class_folders"}, patient={"kind": "name", "pattern": r"/(\w)_\d"})
    items = list(iter_items(card, tmp_path))
    assert [(i.name, i.label, i.patient) for i in items] == [("0/a_1.png", "0", "a"), ("1/a_2.png", "1", "a")]
    assert items[1].scan("SM").pixels.max() == 20
    assert items[1].scan("SM").modality == "SM"


def test_csv_images_take_label_patient_and_split_from_columns(tmp_path: Path) -> None:
    picture(tmp_path / "img" / "x.png", 10)
    with (tmp_path / "t.csv").open("w", newline="") as file:
        rows = [["id", "dx", "who", "set"], ["x", "1", "p7", "test"], ["y", "0", "", "train"]]
        csv.writer(file).writerows(rows)
    layout = {"kind": "csv_images", "table": "t.csv", "images": "img", "image_column": "id"}
    card = make_card(
        layout | {"label_column": "dx", "suffix": ".png", "split_column": "set"},
        patient={"kind": "column", "column": "who"},
    )
    items = list(iter_items(card, tmp_path))
    assert [(i.label, i.patient, i.split) for i in items] == [("1", "p7", "test"), ("0", None, "train")]
    with pytest.raises(ScanRefused, match=r"y\.png"):
        items[1].scan("SM")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,dx\n", encoding="utf-8")
    layout = {"kind": "csv_images", "table": "t.csv", "image_column": "id", "label_column": "diagnosis"}
    with pytest.raises(CohortError, match="'diagnosis'"):
        list(iter_items(make_card(layout), tmp_path))


def write_npz(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    parts = {"train": slice(0, 3), "val": slice(3, 4), "test": slice(4, None)}
    arrays = {f"{s}_images": images[rows] for s, rows in parts.items()}
    np.savez_compressed(path, **arrays, **{f"{s}_labels": labels[rows] for s, rows in parts.items()})


def test_npz_rows_are_streamed_with_their_labels_and_splits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 28, 28, 3), dtype=np.uint8)
    labels = np.array([[0], [1], [0], [1], [1], [0]])
    write_npz(tmp_path / "cells.npz", images, labels)
    card = make_card({"kind": "npz", "file": "cells.npz"})
    items = list(iter_items(card, tmp_path))
    assert [i.label for i in items] == ["0", "1", "0", "1", "1", "0"]
    assert [i.split for i in items] == ["train"] * 3 + ["val"] + ["test"] * 2
    for item, image in zip(items, images, strict=True):
        scan = item.scan("SM")
        np.testing.assert_array_equal(scan.pixels[0], image)
        assert scan.value_range == (0.0, 255.0)
    assert count_items(card, tmp_path) == 6


def test_the_smallest_variant_that_is_large_enough_is_read(tmp_path: Path) -> None:
    for side, name in ((28, "cells"), (64, "cells_64"), (128, "cells_128"), (300, "cells_other")):
        write_npz(tmp_path / f"{name}.npz", np.zeros((6, side, side), np.uint8), np.zeros((6, 1), np.uint8))
    card = make_card({"kind": "npz", "file": "cells.npz"})
    assert [variant(card, tmp_path, side) for side in (28, 29, 64, 100, 224)] == [28, 64, 64, 128, 128]
    assert next(iter_items(card, tmp_path, 60)).scan("SM").pixels.shape == (1, 64, 64, 1)


def test_of_a_multilabel_set_images_with_exactly_one_finding_are_kept(tmp_path: Path) -> None:
    labels = np.array([[1, 0], [1, 1], [0, 0], [0, 1], [1, 0], [0, 0]])
    write_npz(tmp_path / "cells.npz", np.zeros((6, 28, 28), np.uint8), labels)
    items = list(iter_items(make_card({"kind": "npz", "file": "cells.npz"}, task="multilabel"), tmp_path))
    assert [(i.name[-6:], i.label) for i in items] == [("000000", "0"), ("000000", "1"), ("000000", "0")]


def test_a_3d_npz_gives_volumes(tmp_path: Path) -> None:
    volumes = np.zeros((6, 28, 28, 28), np.uint8)
    volumes[:, 14] = 255
    write_npz(tmp_path / "cells.npz", volumes, np.zeros((6, 1), np.uint8))
    scan = next(iter_items(make_card({"kind": "npz3d", "file": "cells.npz"}), tmp_path)).scan("CT")
    assert scan.pixels.shape == (28, 28, 28, 1)
    assert scan.pixels[14].min() == 255


def test_a_cut_npz_is_refused_by_name(tmp_path: Path) -> None:
    write_npz(tmp_path / "cells.npz", np.zeros((6, 28, 28), np.uint8), np.zeros((6, 1), np.uint8))
    whole = (tmp_path / "cells.npz").read_bytes()
    (tmp_path / "cells.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CohortError, match=r"cells\.npz"):
        list(iter_items(make_card({"kind": "npz", "file": "cells.npz"}), tmp_path))


def test_a_pickled_array_is_never_loaded(tmp_path: Path) -> None:
    labels = np.array([{}], dtype=object)
    np.savez(tmp_path / "cells.npz", train_labels=labels, train_images=np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(CohortError, match="train_labels"):
        list(iter_items(make_card({"kind": "npz", "file": "cells.npz"}), tmp_path))


def test_voc_boxes_are_cropped_and_an_empty_box_is_refused(tmp_path: Path) -> None:
    image = np.zeros((30, 40), np.uint8)
    image[5:15, 10:30] = 200
    (tmp_path / "img").mkdir()
    Image.fromarray(image).save(tmp_path / "img" / "f.jpg", quality=100)
    corners = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"
    box = f"<object><name>0</name><bndbox>{corners}</bndbox></object>"
    (tmp_path / "xml").mkdir()
    text = f"<annotation>{box.format(10, 5, 30, 15)}{box.format(7, 7, 7, 9)}</annotation>"
    (tmp_path / "xml" / "f.xml").write_text(text, encoding="utf-8")
    layout = {"kind": "voc_boxes", "annotations": "xml", "images": "img"}
    card = make_card(layout, patient={"kind": "name", "pattern": "^([^#]+)#"})
    good, empty = iter_items(card, tmp_path)
    assert good.patient == empty.patient == "f.jpg"
    pixels = good.scan("SM").pixels
    assert pixels.shape == (1, 10, 20, 1)
    assert pixels.min() > 150
    with pytest.raises(ScanRefused, match=r"f\.jpg#1"):
        empty.scan("SM")


def test_omniglot_is_white_on_black_and_each_rotation_is_a_class(tmp_path: Path) -> None:
    drawing = np.full((20, 20), 255, np.uint8)
    drawing[0, :] = 0  # a stroke along the top edge
    data = BytesIO()
    Image.fromarray(drawing).convert("1").save(data, "PNG")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/Greek/character01/0001_05.png", data.getvalue())
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "test.txt").write_text("Greek/character01/rot090\n", encoding="utf-8")
    layout = {"kind": "omniglot", "archives": ["a.zip"], "splits": "splits", "rotations": [0, 90]}
    patient = {"kind": "name", "pattern": r"(\w+)/\w+/\d+_(\d+)"}
    card = make_card(layout, classes=[], task="multiclass", patient=patient)
    upright, turned = iter_items(card, tmp_path)
    assert (upright.label, turned.label) == ("Greek/character01/rot000", "Greek/character01/rot090")
    assert (upright.split, turned.split) == ("", "test")
    assert upright.patient == turned.patient == "Greek/05"
    assert upright.scan("OT").pixels[0, 0].min() == 255
    # Anticlockwise: the top edge comes to lie on the left.
    assert turned.scan("OT").pixels[0, :, 0].min() == 255
    assert turned.scan("OT").pixels[0, :, 1:].max() == 0


def test_medimeta_joins_images_labels_splits_and_patients(tmp_path: Path) -> None:
    for row in range(3):
        picture(tmp_path / "images" / f"{row:06d}.tiff", 10 * row)
    (tmp_path / "task_labels").mkdir()
    np.save(tmp_path / "task_labels" / "cell class.npy", np.array([1, 0, 1]))
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "val.txt").write_text("images/000001.tiff\n", encoding="utf-8")
    table = "filepath,patient_id\nimages/000002.tiff,B\nimages/000000.tiff,A\nimages/000001.tiff,A\n"
    (tmp_path / "annotations.csv").write_text(table, encoding="utf-8")
    patient = {"kind": "column", "column": "patient_id", "required": False}
    card = make_card({"kind": "medimeta", "task": "cell class"}, patient=patient)
    items = list(iter_items(card, tmp_path))
    assert [i.label for i in items] == ["1", "0", "1"]
    assert [i.patient for i in items] == ["A", "A", "B"]
    assert [i.split for i in items] == ["", "val", ""]
    assert items[2].scan("SM").pixels.max() == 20
    (tmp_path / "annotations.csv").write_text("filepath\nimages/000000.tiff\n", encoding="utf-8")
    assert [i.patient for i in iter_items(card, tmp_path)] == [None] * 3


def test_presence_needs_every_part(tmp_path: Path) -> None:
    card = make_card({"kind": "medimeta", "task": "t"})
    assert not is_present(card, tmp_path)
    for part in ("images", "splits", "task_labels"):
        (tmp_path / part).mkdir()
    assert not is_present(card, tmp_path)
    np.save(tmp_path / "task_labels" / "t.npy", np.zeros(1))
    assert is_present(card, tmp_path)


@pytest.mark.parametrize(
    ("name", "images", "patients"),
    [
        ("mias_mammo_density", 322, 161),
        ("lbc_cervical", 600, 60),
        ("bccd", 4888, 364),
        ("ham10000", 3200, None),
        ("gallbladder_us", 500, None),
        ("chula_rbc12", 2160, None),
        ("darkfield_bacteria", 750, None),
        ("odir_fundus", 1096, 1096),
    ],
)
def test_real_sets_have_a_patient_key_for_every_image(
    shared: Path, name: str, images: int, patients: int | None
) -> None:
    card = get_card(name)
    items = list(iter_items(card, find_data(card, shared / "data")))
    keys = {item.patient for item in items}
    assert len(items) == images
    assert None not in keys
    assert patients is None or len(keys) == patients
    assert len(keys) > 1
