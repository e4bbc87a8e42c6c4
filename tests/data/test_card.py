"""The card schema: what it accepts, and that a bad card fails with its file and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from workbench.data.card import PatientInName, load_card
from workbench.errors import CardError


def good() -> dict[str, Any]:
    return {
        "name": "cells",
        "title": "Cells",
        "modality": "SM",
        "body_part": "blood",
        "task": "binary",
        "classes": [{"name": "round"}, {"name": "sickle", "key": "sickled"}],
        "source": {"page": "https://example.org"},
        "licence": {"id": "MIT", "text": "Any use.", "weights_may_be_shipped": True},
        "layout": {"kind": "class_folders"},
        "patient": {"kind": "none"},
        "origin": ["cells"],
        "citation": "Nobody (2024).",
    }


def written(folder: Path, values: object, name: str = "cells") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_a_good_card_loads_and_a_class_is_spelled_by_its_key(tmp_path: Path) -> None:
    card = load_card(written(tmp_path, good()))
    assert [one.spelled for one in card.classes] == ["round", "sickled"]
    assert card.place == "cells"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"modality": "XYZ"}, "modality"),
        ({"colour": "red"}, "colour"),
        ({"origin": []}, "origin"),
        ({"layout": {"kind": "shoebox"}}, "layout"),
        ({"layout": {"kind": "csv_images", "table": "a.csv"}}, "layout.csv_images.image_column"),
        ({"classes": [{"name": "a"}, {"name": "a"}]}, "classes"),
        ({"classes": [{"name": "a"}]}, "classes"),
        ({"patient": {"kind": "name", "pattern": "("}}, "patient.name"),
        ({"patient": {"kind": "name", "pattern": "no group"}}, "patient.name"),
        ({"patient": {"kind": "column", "column": "who"}}, "patient"),
        ({"source": {"page": "x", "files": [{"name": "a.npz", "md5": "123"}]}}, "source.files.0.md5"),
        ({"source": {"page": "x", "files": [{"name": "../a.npz"}]}}, "source.files.0.name"),
        (
            {"source": {"page": "x", "files": [{"name": "a", "address": "file:///"}]}},
            "source.files.0.address",
        ),
        ({"licence": {"id": "MIT", "text": "Any use."}}, "licence.weights_may_be_shipped"),
    ],
)
def test_a_bad_card_fails_with_its_file_and_field(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    with pytest.raises(CardError) as caught:
        load_card(written(tmp_path, good() | change))
    assert "cells.yaml" in str(caught.value)
    assert field in str(caught.value)


def test_a_card_must_be_named_as_its_file(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"other\.yaml: name"):
        load_card(written(tmp_path, good(), "other"))


@pytest.mark.parametrize("text", ["a: [", "- just\n- a list", "\x00", ""])
def test_what_is_no_mapping_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cells.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CardError, match=r"cells\.yaml"):
        load_card(path)


def test_yaml_tags_create_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "cells.yaml"
    path.write_text("!!python/object/apply:os.system ['true']", encoding="utf-8")
    with pytest.raises(CardError, match="YAML"):
        load_card(path)


def test_a_card_cannot_be_changed(tmp_path: Path) -> None:
    card = load_card(written(tmp_path, good()))
    with pytest.raises(ValueError, match="frozen"):
        card.name = "other"  # type: ignore[misc]


def test_pairs_join_an_odd_number_with_the_next_even_one() -> None:
    key = PatientInName(kind="name", pattern=r"mdb(\d+)", pairs=True).key
    assert key("fatty/mdb001.jpg") == key("dense/mdb002.jpg")
    assert key("fatty/mdb002.jpg") != key("fatty/mdb003.jpg")


def test_groups_of_a_pattern_are_joined_and_no_match_is_no_key() -> None:
    key = PatientInName(kind="name", pattern=r"^(\w+)/x(\d+)").key
    assert key("left/x7.png") == "left/7"
    assert key("nothing") is None
