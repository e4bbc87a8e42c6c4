"""NIfTI headers that say too little, too much or nonsense."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.imaging.makers import asymmetric
from workbench.errors import ScanRefused
from workbench.imaging import ReadOptions, Scan, Units, read_scan, read_scans

DATA = asymmetric((5, 6, 4)).astype(np.float32)
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def _write(path: Path, data: np.ndarray = DATA, affine: np.ndarray | None = AFFINE) -> nib.Nifti1Image:  # type: ignore[type-arg]
    image = nib.Nifti1Image(data, affine)
    image.to_filename(path)
    return image


def _codes(scan: Scan) -> set[str]:
    return {finding.code for finding in scan.findings}


def test_ras_is_hung_left_posterior_superior(tmp_path: Path) -> None:
    _write(tmp_path / "a.nii")
    scan = read_scan(tmp_path / "a.nii")
    assert nib.aff2axcodes(scan.affine) == ("L", "P", "S")
    np.testing.assert_array_equal(scan.pixels[..., 0], DATA[::-1, ::-1].transpose(2, 1, 0))
    assert scan.spacing == (3.0, 2.0, 2.0)
    assert [f.code for f in scan.findings] == ["tiny"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ""])
@pytest.mark.parametrize("version", [nib.Nifti1Image, nib.Nifti2Image])
def test_both_versions_packed_or_not_and_whatever_the_name(
    tmp_path: Path, suffix: str, version: type[nib.Nifti1Image]
) -> None:
    written = tmp_path / f"a{suffix or '.nii'}"
    version(DATA, AFFINE).to_filename(written)
    path = written.rename(tmp_path / f"b{suffix}")
    assert read_scan(path).pixels.shape == (4, 6, 5, 1)


def test_no_form_code_means_orientation_unknown_and_no_affine(tmp_path: Path) -> None:
    image = nib.Nifti1Image(DATA, AFFINE)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    image.to_filename(tmp_path / "a.nii")
    scan = read_scan(tmp_path / "a.nii")
    assert scan.affine is None
    assert "orientation-unknown" in _codes(scan)
    np.testing.assert_array_equal(scan.pixels[..., 0], DATA.transpose(2, 1, 0))


def test_conflicting_forms_are_reported_and_sform_used(tmp_path: Path) -> None:
    image = nib.Nifti1Image(DATA, AFFINE)
    image.set_qform(np.diag([-2.0, 2.0, 3.0, 1.0]), 1)
    image.set_sform(AFFINE, 1)
    image.to_filename(tmp_path / "a.nii")
    scan = read_scan(tmp_path / "a.nii")
    assert "form-conflict" in _codes(scan)
    np.testing.assert_array_equal(scan.pixels[..., 0], DATA[::-1, ::-1].transpose(2, 1, 0))


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(asymmetric((5, 6, 4)), AFFINE)
    image.header.set_slope_inter(2.0, -10.0)
    image.to_filename(tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[112:120] = np.array([2.0, -10.0], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(raw)
    scan, stored = read_scan(tmp_path / "a.nii"), nib.load(tmp_path / "a.nii").get_fdata()
    assert sorted(scan.pixels.ravel()) == sorted(stored.ravel())


def test_not_a_number_is_replaced_with_a_finding(tmp_path: Path) -> None:
    data = DATA + 5.0
    data[1, 2, 3] = np.nan
    _write(tmp_path / "a.nii", data)
    scan = read_scan(tmp_path / "a.nii")
    assert scan.pixels.min() == 5.0
    assert "non-finite-values" in _codes(scan)


def test_four_dimensions_give_the_first_volume_with_a_finding(tmp_path: Path) -> None:
    _write(tmp_path / "a.nii.gz", np.stack([DATA, DATA + 1000], axis=-1))
    scan = read_scan(tmp_path / "a.nii.gz")
    assert scan.pixels.max() == DATA.max()
    assert "first-volume" in _codes(scan)


def test_rgb_is_colour(tmp_path: Path) -> None:
    data = np.zeros((3, 4, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    data["R"], data["B"] = 200, 7
    _write(tmp_path / "a.nii", data)
    scan = read_scan(tmp_path / "a.nii")
    assert (scan.units, scan.pixels.shape) == (Units.DISPLAY, (2, 4, 3, 3))
    assert scan.pixels[0, 0, 0].tolist() == [200, 0, 7]


def test_shear_is_reported(tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[0, 1] = 0.5
    image = nib.Nifti1Image(DATA, None)
    image.set_sform(affine, 1)
    image.to_filename(tmp_path / "a.nii")
    assert "sheared" in _codes(read_scan(tmp_path / "a.nii"))


def test_a_single_plane_is_one_slice(tmp_path: Path) -> None:
    _write(tmp_path / "a.nii", DATA[:, :, 0])
    assert read_scan(tmp_path / "a.nii").pixels.shape == (1, 6, 5, 1)


def test_microns_are_millimetres_in_the_end(tmp_path: Path) -> None:
    image = nib.Nifti1Image(DATA, np.diag([2000.0, 2000.0, 3000.0, 1.0]))
    image.header.set_xyzt_units("micron")
    image.to_filename(tmp_path / "a.nii")
    assert read_scan(tmp_path / "a.nii").spacing == pytest.approx((3.0, 2.0, 2.0))


def test_a_header_claiming_terabytes_is_refused(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header["dim"][:4], header["magic"] = (3, 32767, 32767, 32767), b"n+1"
    header["datatype"], header["bitpix"], header["vox_offset"] = 16, 32, 352
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(104)))
    with pytest.raises(ScanRefused, match="header claims"):
        read_scan(tmp_path / "a.nii.gz")


def test_a_packed_file_cut_short_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "a.nii.gz", np.random.default_rng(0).random((9, 9, 9)).astype(np.float32))
    packed = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ScanRefused, match="cut short"):
        read_scan(tmp_path / "a.nii.gz")


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "a.nii", DATA.astype(np.complex64))
    with pytest.raises(ScanRefused, match="complex"):
        read_scan(tmp_path / "a.nii")


def test_another_volume_is_read_where_chosen(tmp_path: Path) -> None:
    data = np.stack([DATA, DATA + 1000, DATA + 2000], axis=-1)
    _write(tmp_path / "a.nii.gz", data)
    scan = read_scan(tmp_path / "a.nii.gz", options=ReadOptions(volume=2))
    assert scan.pixels.min() == 2000
    assert "volume-chosen" in _codes(scan)
    with pytest.raises(ScanRefused, match="no volume 3: it holds 3"):
        read_scan(tmp_path / "a.nii.gz", options=ReadOptions(volume=3))


def test_volumes_of_five_dimensions_are_counted_as_they_are_stored(tmp_path: Path) -> None:
    data = np.stack([np.stack([DATA + 100 * i + 1000 * j for j in range(3)], -1) for i in range(2)], -2)
    assert data.shape[3:] == (2, 3)
    _write(tmp_path / "a.nii", data)
    lows = [read_scan(tmp_path / "a.nii", options=ReadOptions(volume=n)).pixels.min() for n in range(6)]
    assert lows == [0, 100, 1000, 1100, 2000, 2100]


def test_a_volume_is_asked_of_a_file_that_holds_one(tmp_path: Path) -> None:
    _write(tmp_path / "a.nii")
    scan = read_scan(tmp_path / "a.nii", options=ReadOptions(volume=0))
    assert [finding.code for finding in scan.findings] == ["tiny"]
    with pytest.raises(ScanRefused, match="holds one volume"):
        read_scan(tmp_path / "a.nii", options=ReadOptions(volume=1))


@pytest.mark.parametrize("version", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_header_and_its_image_are_one_scan(
    tmp_path: Path, version: type[nib.Nifti1Pair], suffix: str
) -> None:
    version(DATA, AFFINE).to_filename(tmp_path / f"a.hdr{suffix}")
    header, image = tmp_path / f"a.hdr{suffix}", tmp_path / f"a.img{suffix}"
    assert image.exists()
    whole = tmp_path / "whole.nii"
    _write(whole)
    for path in (header, image):
        np.testing.assert_array_equal(read_scan(path).pixels, read_scan(whole).pixels)
    assert read_scan(header).provenance.sha256 == read_scan(image).provenance.sha256
    whole.unlink()
    for given in ([tmp_path], [header, image], [image, header]):
        result = read_scans(given)
        assert (len(result.scans), result.refused) == (1, ())


def test_half_of_a_pair_is_refused(tmp_path: Path) -> None:
    nib.Nifti1Pair(DATA, AFFINE).to_filename(tmp_path / "a.hdr")
    (tmp_path / "a.img").rename(tmp_path / "other.img")
    with pytest.raises(ScanRefused, match="not beside it"):
        read_scan(tmp_path / "a.hdr")
    with pytest.raises(ScanRefused, match="no image"):
        read_scan(tmp_path / "other.img")


def test_the_image_of_a_pair_cut_short_is_refused(tmp_path: Path) -> None:
    nib.Nifti1Pair(DATA, AFFINE).to_filename(tmp_path / "a.hdr")
    (tmp_path / "a.img").write_bytes((tmp_path / "a.img").read_bytes()[:50])
    with pytest.raises(ScanRefused, match="cut short"):
        read_scan(tmp_path / "a.hdr")


def test_an_analyze_header_is_refused_for_its_unknown_side(tmp_path: Path) -> None:
    nib.AnalyzeImage(DATA, AFFINE).to_filename(tmp_path / "a.hdr")
    with pytest.raises(ScanRefused, match=r"Analyze 7\.5"):
        read_scan(tmp_path / "a.hdr")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_bytes_after_the_last_pixel_are_a_warning(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    _write(path)
    assert "trailing-bytes" not in _codes(read_scan(path))
    opened = gzip.open if suffix.endswith("gz") else open
    with opened(path, "ab") as stream:
        stream.write(b"\x01" * 7)
    scan = read_scan(path)
    assert "trailing-bytes" in _codes(scan)
    assert scan.pixels.max() == DATA.max()


def test_infinite_values_are_replaced_too(tmp_path: Path) -> None:
    data = DATA + 5.0
    data[0, 0, 0], data[1, 1, 1] = np.inf, -np.inf
    _write(tmp_path / "a.nii", data)
    scan = read_scan(tmp_path / "a.nii")
    assert (scan.pixels.min(), scan.pixels.max()) == (5.0 + 1.0, DATA.max() + 5.0)
    assert "non-finite-values" in _codes(scan)
