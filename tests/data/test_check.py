"""What `check` finds: in sets made here with known flaws, and in the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.data.test_layouts import make_card, write_npz
from workbench.cli_data import app
from workbench.data.catalogue import card_folder, get_card
from workbench.data.check import SMALLEST, check
from workbench.data.near import COLUMNS, ROWS, near_pairs, thumbnail

RNG = np.random.default_rng(0)


def noise(size: int = 64) -> np.ndarray:
    """A smooth random picture: no two look alike."""
    coarse = RNG.integers(0, 256, (12, 12), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BILINEAR))


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of 10 and 11 with a copy inside one, a copy across, a near-duplicate, a broken file."""
    folder = tmp_path / "data" / "cells"
    for row in range(8):
        save(folder / "0" / f"{row}.png", noise())
        save(folder / "1" / f"{row}.png", noise())
    first, second = noise(), noise()
    save(folder / "0" / "copy_a.png", first)
    save(folder / "0" / "copy_b.png", first)
    save(folder / "0" / "across.png", second)
    save(folder / "1" / "across.png", second)
    bright = np.clip(second.astype(int) + 3, 0, 255).astype(np.uint8)
    save(folder / "1" / "brighter.png", bright)
    (folder / "1" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path / "data"


def test_every_planted_flaw_is_found_and_nothing_else(data: Path) -> None:
    report = check(make_card({"kind": "class_folders"}), data, progress=False)
    assert [(c.name, c.images, c.patients) for c in report.counts] == [("round", 11, 10), ("sickle", 10, 10)]
    assert report.copies == 2
    assert {group.names for group in report.duplicates} == {
        ("0/copy_a.png", "0/copy_b.png"),
        ("0/across.png", "1/across.png"),
    }
    assert [group.names for group in report.across_classes] == [("0/across.png", "1/across.png")]
    assert report.near is not None
    assert [group.names for group in report.near] == [("0/across.png", "1/brighter.png")]
    assert [refusal.source for refusal in report.refused] == ["broken.png"]
    assert report.small == ()
    assert len(report.serious) == 2


def test_copies_and_patients_across_official_splits_are_serious(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    images = np.stack([noise(28) for _ in range(6)])
    images[5] = images[0]  # rows 0-2 are train, 3 val, 4-5 test
    write_npz(tmp_path / "cells" / "cells.npz", images, np.zeros((6, 1), np.uint8))
    patient = {"kind": "name", "pattern": r"0000(\d)\d$"}  # the same key for every row
    report = check(make_card({"kind": "npz", "file": "cells.npz"}, patient=patient), tmp_path, progress=False)
    assert [group.splits for group in report.across_splits] == [("train", "test")]
    assert report.straddling == ("0",)
    assert [dict(count.splits) for count in report.counts] == [{"train": 3, "val": 1, "test": 2}, {}]
    assert [count.name for count in report.small] == ["round", "sickle"]
    assert report.counts[0].images < SMALLEST


def test_thumbnail_is_the_mean_of_blocks() -> None:
    image = RNG.integers(0, 256, (64, 50), dtype=np.uint8)
    rows = [round(i * 64 // ROWS) for i in range(ROWS + 1)]
    columns = [i * 50 // COLUMNS for i in range(COLUMNS + 1)]
    expected = [
        [image[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].mean() for j in range(COLUMNS)]
        for i in range(ROWS)
    ]
    np.testing.assert_allclose(thumbnail(image), expected, rtol=1e-6)


def test_near_pairs_survive_recompression_and_flat_images_match_nothing() -> None:
    images = [noise() for _ in range(30)]
    again = np.asarray(Image.fromarray(images[7]).resize((48, 48)).resize((64, 64)))
    flat = [np.full((64, 64), level, np.uint8) for level in (0, 0, 200)]
    pairs = near_pairs(np.stack([thumbnail(image) for image in [*images, again, *flat]]))
    assert pairs.tolist() == [[7, 30]]


def test_images_that_share_only_their_layout_are_no_near_duplicates() -> None:
    layout = np.repeat(np.linspace(0, 230, 64)[:, None], 64, axis=1)
    images = [(layout + RNG.normal(0, 12, (64, 64))).clip(0, 255).astype(np.uint8) for _ in range(10)]
    thumbnails = np.stack([thumbnail(image) for image in images])
    assert np.corrcoef(thumbnails.reshape(10, -1)).min() > 0.99
    assert near_pairs(thumbnails).tolist() == []


@pytest.mark.parametrize(
    ("name", "copies", "across"),
    [("iq_othnccd", 42, 0), ("knee_osteoporosis", 17, 10), ("busi", 1, 1), ("breastmnist", 1, 1)],
)
def test_known_duplicates_of_real_sets_are_found(shared: Path, name: str, copies: int, across: int) -> None:
    report = check(get_card(name), shared / "data", progress=False)
    assert (report.copies, len(report.across_classes)) == (copies, across)
    assert not report.refused


def test_neighbouring_slices_are_found_as_near_duplicates(shared: Path) -> None:
    report = check(get_card("alzheimer_mri"), shared / "data", progress=False)
    assert report.copies == 0
    assert report.near is not None
    assert sum(len(group.names) for group in report.near) > 100


# The command line.


@pytest.fixture
def own_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A card of the planted set, and no data from this machine."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    text = (card_folder() / "dental_root_xray.yaml").read_text(encoding="utf-8")
    for old, new in (("name: dental_root_xray", "name: cells"), ("one-root", "'0'"), ("multi-root", "'1'")):
        text = text.replace(old, new, 1)
    folder = tmp_path / "cards"
    folder.mkdir()
    (folder / "cells.yaml").write_text(text, encoding="utf-8")
    return folder


def test_check_fails_on_serious_findings_only_when_strict(data: Path, own_cards: Path) -> None:
    arguments = ["check", "cells", "--data", str(data), "--cards", str(own_cards)]
    relaxed = CliRunner().invoke(app, arguments)
    assert relaxed.exit_code == 0, relaxed.output
    assert "2 exact copies" in relaxed.output
    assert "0/across.png, 1/across.png" in relaxed.output
    assert "serious:" in relaxed.output
    assert CliRunner().invoke(app, [*arguments, "--strict"]).exit_code == 1


def test_list_says_where_a_set_was_found_and_whether_weights_may_be_shipped(
    data: Path, own_cards: Path
) -> None:
    result = CliRunner().invoke(app, ["list", "--data", str(data), "--cards", str(own_cards), "--here"])
    assert result.exit_code == 0
    assert "cells" in result.output
    assert "busi" not in result.output
    shippable = CliRunner().invoke(app, ["list", "--shippable"]).output
    assert "bccd" in shippable
    assert "ham10000" not in shippable


def test_fetch_goes_on_after_a_set_that_cannot_be_had(own_cards: Path) -> None:
    result = CliRunner().invoke(app, ["fetch", "busi", "nonsense", "mias_mammo_density"])
    assert result.exit_code == 1
    for word in ("busi: has no direct download", "'nonsense'", "mias_mammo_density: has no direct download"):
        assert word in " ".join(result.output.split())


def test_an_absent_set_is_an_error_that_says_what_to_run(own_cards: Path) -> None:
    result = CliRunner().invoke(app, ["check", "busi"])
    assert result.exit_code == 2
    assert "workbench data fetch busi" in " ".join(result.output.split())
