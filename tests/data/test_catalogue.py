"""The cards that come with the workbench, and where their files are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.data.catalogue import card_folder, cards, find_data, get_card, same_origin
from workbench.data.layouts import is_present
from workbench.errors import CardError, FetchError

MEDMNIST_2D = [
    f"{name}mnist"
    for name in (
        *("path", "chest", "derma", "oct", "pneumonia", "retina"),
        *("breast", "blood", "tissue", "organa", "organc", "organs"),
    )
]
MEDMNIST_3D = [f"{n}mnist3d" for n in ("organ", "nodule", "adrenal", "fracture", "vessel", "synapse")]


@pytest.fixture(autouse=True)
def _no_data_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))


def test_every_card_loads() -> None:
    assert set(cards()) == {path.stem for path in card_folder().glob("*.yaml")}
    assert len(cards()) >= 60


def test_medmnist_is_whole_with_its_sizes_and_checksums() -> None:
    for name in MEDMNIST_2D:
        assert [file.pixels for file in get_card(name).source.files] == [28, 64, 128, 224]
    for name in MEDMNIST_3D:
        assert [file.pixels for file in get_card(name).source.files] == [28, 64]
    for name in MEDMNIST_2D + MEDMNIST_3D:
        assert all(file.md5 and file.address for file in get_card(name).source.files)
    checksums = [file.md5 for name in MEDMNIST_2D + MEDMNIST_3D for file in get_card(name).source.files]
    assert len(set(checksums)) == len(checksums) == 12 * 4 + 6 * 2


def test_no_card_lets_weights_be_shipped_where_the_licence_does_not() -> None:
    for card in cards().values():
        if card.licence.weights_may_be_shipped:
            assert "NC" not in card.licence.id
            assert "ND" not in card.licence.id
            assert "LicenseRef" not in card.licence.id
        if "-SA" in card.licence.id or "ODbL" in card.licence.id:
            assert card.licence.share_alike


@pytest.mark.parametrize(
    "together",
    [
        {"mhsma_head", "mhsma_acrosome", "mhsma_vacuole"},
        {"odir_fundus", "eye3_fundus"},
        {"crc100k_mini", "pathmnist"},
        {"busi", "breastmnist"},
        {"mednist", "chestmnist"},
        {"pbc", "bloodmnist"},
        {"ham10000", "dermamnist"},
        {"omniglot", "omniglot_vinyals"},
    ],
)
def test_sets_of_one_origin_move_together(together: set[str]) -> None:
    for name in together:
        assert together <= same_origin([name])


def test_sets_of_other_origin_stay_apart() -> None:
    assert same_origin(["gallbladder_us"]) == {"gallbladder_us"}
    assert same_origin([]) == set()


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(CardError, match="'nonsense'"):
        get_card("nonsense")
    with pytest.raises(CardError, match="'nonsense'"):
        same_origin(["nonsense"])


def test_a_users_cards_are_added_and_replace_ours(tmp_path: Path) -> None:
    text = (card_folder() / "busi.yaml").read_text(encoding="utf-8")
    (tmp_path / "busi.yaml").write_text(text.replace("(BUSI)", "(ours)"), encoding="utf-8")
    (tmp_path / "busi2.yaml").write_text(text.replace("name: busi", "name: busi2", 1), encoding="utf-8")
    known = cards(tmp_path)
    assert "(ours)" in known["busi"].title
    assert "busi2" in same_origin(["breastmnist"], tmp_path)


def test_data_is_looked_for_in_the_given_folder_then_the_environment_then_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = get_card("dental_root_xray")
    with pytest.raises(FetchError, match="workbench data fetch dental_root_xray"):
        find_data(card)
    places = {}
    for name in ("cache/data", "environment", "given"):
        places[name] = tmp_path / name / "dental_root_xray"
        for one in card.classes:
            (places[name] / one.spelled).mkdir(parents=True)
    assert find_data(card) == places["cache/data"]
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "environment"))
    assert find_data(card) == places["environment"]
    assert find_data(card, tmp_path / "given") == places["given"]


def test_a_folder_that_lacks_a_class_is_not_taken_for_the_set(tmp_path: Path) -> None:
    (tmp_path / "dental_root_xray" / "one-root").mkdir(parents=True)
    with pytest.raises(FetchError):
        find_data(get_card("dental_root_xray"), tmp_path)


def test_every_set_in_the_shared_folder_has_a_card(shared: Path) -> None:
    data = shared / "data"
    found = {card.place for card in cards().values() if is_present(card, data / card.place)}
    assert {path.name for path in data.iterdir() if path.is_dir()} <= found
