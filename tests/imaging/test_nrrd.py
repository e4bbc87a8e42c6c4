"""NRRD: attached data only, counted before it is inflated; space, kinds and volumes."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import nrrd
import numpy as np
import numpy.typing as npt
import pytest

from tests.imaging.makers import asymmetric
from workbench.errors import ScanRefused
from workbench.imaging import ReadOptions, Scan, Units, read_scan

DATA = asymmetric((5, 6, 4))
SPACE = {
    "space": "left-posterior-superior",
    "space directions": np.diag([2.0, 2.0, 3.0]),
    "space origin": np.array([1.0, 2.0, 3.0]),
}


def _write(path: Path, data: npt.NDArray[np.generic], header: dict[str, object]) -> Path:
    nrrd.write(str(path), data, header)
    return path


def _raw(path: Path, fields: str, data: bytes) -> Path:
    path.write_bytes(f"NRRD0004\n{fields}\n\n".encode() + data)
    return path


def _codes(scan: Scan) -> set[str]:
    return {finding.code for finding in scan.findings}


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, ">i2"])
def test_values_equal_pynrrds(tmp_path: Path, encoding: str, dtype: str) -> None:
    path = _write(tmp_path / "a.nrrd", DATA.astype(dtype), SPACE | {"encoding": encoding})
    data, _ = nrrd.read(str(path))
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels[..., 0], data.astype(np.float32).transpose(2, 1, 0))
    assert scan.affine is not None
    np.testing.assert_allclose(scan.affine @ (0, 0, 0, 1), (-1, -2, 3, 1))
    assert scan.spacing == (3.0, 2.0, 2.0)
    assert scan.provenance.format == "NRRD"


@pytest.mark.parametrize(
    "field", ["data file: secret.raw", "datafile: /etc/passwd", "data file: LIST\na.raw"]
)
def test_detached_data_is_never_opened(tmp_path: Path, field: str) -> None:
    (tmp_path / "secret.raw").write_bytes(bytes(8))
    fields = f"type: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n{field}"
    with pytest.raises(ScanRefused) as caught:
        read_scan(_raw(tmp_path / "a.nhdr", fields, b""))
    assert "another file" in caught.value.reason or "damaged" in caught.value.reason
    assert "secret" not in str(caught.value)


def test_a_claim_of_terabytes_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    fields = "type: uint8\ndimension: 3\nsizes: 30000 30000 30000\nencoding: gzip"
    with pytest.raises(ScanRefused, match="header claims"):
        read_scan(_raw(tmp_path / "a.nrrd", fields, gzip.compress(bytes(10))))


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("bzip2", bz2.compress)])
def test_a_stream_longer_than_the_header_says_is_not_inflated(
    tmp_path: Path, encoding: str, pack: type
) -> None:
    fields = f"type: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: {encoding}"
    scan = read_scan(_raw(tmp_path / "a.nrrd", fields, pack(bytes(range(8)) + bytes(2**20))))
    assert sorted(scan.pixels.ravel()) == list(range(8))


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_data_cut_short_is_refused(tmp_path: Path, encoding: str) -> None:
    fields = f"type: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: {encoding}"
    data = bytes(5) if encoding == "raw" else gzip.compress(bytes(5))
    with pytest.raises(ScanRefused, match="cut short"):
        read_scan(_raw(tmp_path / "a.nrrd", fields, data))


@pytest.mark.parametrize(
    "fields",
    [
        "type: block\nblock size: 4\ndimension: 3\nsizes: 2 2 2\nencoding: raw",
        "type: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: hex",
        "type: uint8\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nbyte skip: -1",
        "type: uint8\ndimension: 3\nsizes: 2 2\nencoding: raw",
        "type: uint8\ndimension: 5\nsizes: 2 2 2 2 2\nencoding: raw",
        "type: int16\ndimension: 3\nsizes: 2 2 2\nencoding: raw",
        "type: uint8",
        "",
    ],
)
def test_what_is_not_read_is_refused_with_a_reason(tmp_path: Path, fields: str) -> None:
    with pytest.raises(ScanRefused) as caught:
        read_scan(_raw(tmp_path / "a.nrrd", fields, bytes(64)))
    assert caught.value.fix


def test_without_a_space_the_orientation_is_unknown(tmp_path: Path) -> None:
    scan = read_scan(_write(tmp_path / "a.nrrd", DATA, {"spacings": [2.0, 2.0, 3.0]}))
    assert scan.affine is None
    assert scan.spacing == (3.0, 2.0, 2.0)
    assert "orientation-unknown" in _codes(scan)


def test_of_several_volumes_one_is_chosen(tmp_path: Path) -> None:
    header = {
        "kinds": ["list", "domain", "domain", "domain"],
        "space": "right-anterior-superior",
        "space directions": np.array([[np.nan] * 3, [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        "space origin": np.zeros(3),
    }
    path = _write(tmp_path / "a.nrrd", np.stack([DATA, DATA + 1000]), header)
    first, second = read_scan(path), read_scan(path, options=ReadOptions(volume=1))
    np.testing.assert_array_equal(first.pixels + 1000, second.pixels)
    assert "first-volume" in _codes(first)
    assert "volume-chosen" in _codes(second)
    with pytest.raises(ScanRefused, match="no volume 2"):
        read_scan(path, options=ReadOptions(volume=2))


def test_colour(tmp_path: Path) -> None:
    data = np.arange(3 * 4 * 5 * 2, dtype=np.uint8).reshape(3, 4, 5, 2)
    scan = read_scan(
        _write(tmp_path / "a.nrrd", data, {"kinds": ["RGB-color", "domain", "domain", "domain"]})
    )
    assert (scan.units, scan.pixels.shape) == (Units.DISPLAY, (2, 5, 4, 3))
    assert scan.pixels[1, 2, 3].tolist() == data[:, 3, 2, 1].tolist()


def test_a_plane_is_one_slice(tmp_path: Path) -> None:
    assert read_scan(_write(tmp_path / "a.nrrd", DATA[..., 0], {})).pixels.shape == (1, 6, 5, 1)
