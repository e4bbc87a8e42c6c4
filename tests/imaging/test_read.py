"""Files, folders and names: order, progress, and bad files among good ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.imaging.makers import asymmetric, ct, save, write_series
from workbench.errors import ScanRefused
from workbench.imaging import read_scan, read_scans
from workbench.imaging.recipe import Recipe


def _picture(path: Path, value: int = 7) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(path, "PNG")
    return path


def test_bad_files_never_take_good_ones_down(tmp_path: Path) -> None:
    write_series(tmp_path / "series", asymmetric())
    _picture(tmp_path / "scan2.png")
    _picture(tmp_path / "scan10.png")
    (tmp_path / "notes.txt").write_text("nothing")
    broken = save(ct(asymmetric()[0], series="1.2.3"), tmp_path / "broken.dcm")
    broken.write_bytes(broken.read_bytes()[:-20])
    torn = _picture(tmp_path / "torn.png")
    torn.write_bytes(torn.read_bytes()[:-30])
    (tmp_path / ".DS_Store").write_bytes(b"x")
    steps: list[tuple[int, int]] = []
    result = read_scans([tmp_path], progress=lambda done, total: steps.append((done, total)))
    names = [scan.provenance.source for scan in result.scans]
    assert names == ["IM0000 (+3 more)", "scan2.png", "scan10.png"]
    assert {error.source for error in result.refused} == {"notes.txt", "broken.dcm", "torn.png"}
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_a_slice_that_cannot_be_decoded_is_refused_by_name(tmp_path: Path) -> None:
    paths = write_series(tmp_path, asymmetric())
    paths[1].write_bytes(paths[1].read_bytes()[:-20])
    result = read_scans([tmp_path])
    assert result.scans == ()
    assert [error.source for error in result.refused] == ["IM0001"]


def test_every_file_is_counted_once(tmp_path: Path) -> None:
    write_series(tmp_path / "series", asymmetric())
    _picture(tmp_path / "a.png")
    (tmp_path / "b.txt").write_text("x")
    steps: list[tuple[int, int]] = []
    read_scans([tmp_path], progress=lambda done, total: steps.append((done, total)))
    assert steps == [(i, 5) for i in range(1, 6)]  # the text file is no image and was never counted


def test_uploads_are_called_by_the_names_the_user_knows(tmp_path: Path) -> None:
    path = _picture(tmp_path / "tmp8f3a")
    result = read_scans([path], names={path: "left knee.png"})
    assert result.scans[0].provenance.source == "left knee.png"
    assert read_scan(path, name="folder/left knee.png").provenance.source == "left knee.png"


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.png", tmp_path):
        with pytest.raises(ScanRefused):
            read_scan(path)
    assert read_scans([tmp_path / "nowhere.png"]).refused[0].source == "nowhere.png"


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    write_series(tmp_path / "series", asymmetric(), order=[3, 0, 2, 1])
    _picture(tmp_path / "a.png")
    first, second = read_scans([tmp_path]), read_scans([tmp_path])
    for a, b in zip(first.scans, second.scans, strict=True):
        assert a.provenance == b.provenance
        np.testing.assert_array_equal(Recipe().apply(a), Recipe().apply(b))


def test_the_digest_of_a_series_does_not_depend_on_file_names(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", asymmetric())
    (tmp_path / "b").mkdir()
    for number, path in enumerate(reversed(paths)):
        (tmp_path / "b" / f"{number}").write_bytes(path.read_bytes())
    digests = {read_scans([tmp_path / name]).scans[0].provenance.sha256 for name in "ab"}
    assert len(digests) == 1


@pytest.mark.parametrize("tag", [0x00200037, 0x00080018])
def test_a_header_that_cannot_be_interpreted_takes_no_other_down(tmp_path: Path, tag: int) -> None:
    """Elements are interpreted late; series are grouped by what may be damaged. Found by fuzzing."""
    write_series(tmp_path / "good", asymmetric())
    bad = ct(asymmetric()[0])
    path = save(bad, tmp_path / "good" / "bad")
    raw = path.read_bytes()
    at = raw.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF), 200)
    path.write_bytes(raw[: at + 4] + b"L?" + raw[at + 6 :])
    result = read_scans([tmp_path])
    assert [error.source for error in result.refused] == ["bad"]
    assert [scan.pixels.shape[0] for scan in result.scans] == [4]
