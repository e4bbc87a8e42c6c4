"""Zips: series inside them are read, attacks are refused."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.imaging.makers import asymmetric, write_series
from workbench.errors import ScanRefused
from workbench.imaging import archive, limits, read_scan, read_scans


@pytest.fixture
def picture(tmp_path: Path) -> bytes:
    path = tmp_path / "picture.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)
    return path.read_bytes()


def _zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries.items():
            packed.writestr(name, data)
    return path


def test_a_series_in_a_zip_is_one_volume(tmp_path: Path) -> None:
    files = write_series(tmp_path / "series", asymmetric(), order=[1, 3, 0, 2])
    path = _zip(tmp_path / "study.zip", {f"a/{file.name}": file.read_bytes() for file in files})
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels[..., 0], asymmetric())
    assert scan.provenance.source == "study.zip: IM0000 (+3 more)"
    assert read_scan(tmp_path / "series" / "IM0000").pixels.shape[0] == 1


def test_a_zip_of_several_scans_is_refused_where_one_is_wanted(tmp_path: Path, picture: bytes) -> None:
    path = _zip(tmp_path / "two.zip", {"a.png": picture, "b.png": picture})
    with pytest.raises(ScanRefused, match="several"):
        read_scan(path)
    assert len(read_scans([path]).scans) == 2


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "C:\\evil.png", "..\\e"]
)
def test_entries_that_escape_condemn_the_zip(tmp_path: Path, picture: bytes, name: str) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as packed:
        entry = zipfile.ZipInfo("x")
        entry.filename = name
        packed.writestr(entry, picture)
    result = read_scans([path])
    assert result.scans == ()
    assert "points outside" in result.refused[0].reason


def test_links_condemn_the_zip(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link.png")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as packed:
        packed.writestr(entry, "/etc/passwd")
    assert "points outside" in read_scans([tmp_path / "link.zip"]).refused[0].reason


def test_nested_and_encrypted_entries_are_left_out_and_named(tmp_path: Path, picture: bytes) -> None:
    inner = _zip(tmp_path / "inner.zip", {"a.png": picture}).read_bytes()
    path = _zip(tmp_path / "outer.zip", {"good.png": picture, "inner.zip": inner, "locked.png": picture})
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\x01\x02", 0, raw.rindex(b"locked.png"))
    raw[at + 8] |= 1
    path.write_bytes(raw)
    result = read_scans([path])
    assert [scan.provenance.source for scan in result.scans] == ["outer.zip: good.png"]
    assert {error.source for error in result.refused} == {"inner.zip", "locked.png"}


def test_a_zip_inside_a_folder_is_read_and_other_files_go_on(tmp_path: Path, picture: bytes) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 rubbish")
    result = read_scans([tmp_path])
    assert [scan.provenance.source for scan in result.scans] == ["picture.png"]
    assert [error.source for error in result.refused] == ["bad.zip"]


@pytest.mark.parametrize(
    ("small", "reason"),
    [
        (limits.Limits(archive_entries=2), "entries"),
        (limits.Limits(archive_bytes=1000), "inflates"),
        (limits.Limits(free_inflation=100, inflation=5), "times"),
    ],
)
def test_bombs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: limits.Limits, reason: str
) -> None:
    monkeypatch.setattr(archive, "LIMITS", small)
    monkeypatch.setenv("WORKBENCH_WORKERS", "0")  # a worker knows its own limits only
    path = _zip(tmp_path / "bomb.zip", {f"{i}.bin": bytes(10_000) for i in range(3)})
    assert reason in read_scans([path]).refused[0].reason


def test_nothing_stays_behind(tmp_path: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "private"))
    (tmp_path / "private").mkdir()
    path = _zip(tmp_path / "one.zip", {"a.png": picture})
    assert len(read_scans([path]).scans) == 1
    assert list((tmp_path / "private").iterdir()) == []
