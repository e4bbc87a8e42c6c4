"""What is done about irregular series: nothing unless chosen, and what was done is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.imaging.makers import asymmetric, ct, enhanced, save, write_series
from workbench.imaging import ReadOptions, Remedy, Scan, read_scan, read_scans
from workbench.imaging.remedies import longest_run

BLOCK = ReadOptions(frozenset({Remedy.LARGEST_REGULAR_BLOCK}))
TILT = ReadOptions(frozenset({Remedy.RESAMPLE_TILT}))
FIRST = ReadOptions(frozenset({Remedy.KEEP_FIRST_DUPLICATE}))


def _codes(scan: Scan) -> list[str]:
    return [finding.code for finding in scan.findings]


def _only(folder: Path, options: ReadOptions) -> Scan:
    result = read_scans([folder], options=options)
    assert result.refused == ()
    (scan,) = result.scans
    return scan


def test_of_a_series_with_a_gap_the_longest_regular_run_is_kept(tmp_path: Path) -> None:
    volume = asymmetric((7, 4, 4))
    paths = write_series(tmp_path, volume)
    paths[2].unlink()
    scan = _only(tmp_path, BLOCK)
    np.testing.assert_array_equal(scan.pixels[..., 0], volume[3:])
    assert scan.affine is not None
    # Its first slice lies three steps of 2 mm above the origin.
    np.testing.assert_allclose(scan.affine @ (0, 0, 0, 1), (-10, 20, 36, 1))
    assert "largest-block-kept" in _codes(scan)
    assert "slice-gap" not in _codes(scan)
    (note,) = [finding for finding in scan.findings if finding.code == "largest-block-kept"]
    assert "Of 6 slices" in note.message
    assert "4 slices, numbers 3 to 6" in note.message


def test_of_uneven_slices_the_longest_regular_run_is_kept(tmp_path: Path) -> None:
    for index, z in enumerate((0.0, 2.0, 4.0, 5.3, 8.0)):
        save(ct(np.full((4, 4), index, np.int16), (0, 0, z)), tmp_path / f"{index}")
    scan = _only(tmp_path, BLOCK)
    assert scan.pixels[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert scan.spacing == pytest.approx((2.0, 1.0, 1.0))


def test_frames_of_an_enhanced_image_are_mended_alike(tmp_path: Path) -> None:
    frames = asymmetric((5, 3, 3))
    image = enhanced(frames, [(0, 0, z) for z in (0, 1, 2, 5, 6)])
    path = save(image, tmp_path / "x")
    assert "slice-gap" in _codes(read_scan(path))
    assert read_scan(path).affine is None
    scan = read_scan(path, options=BLOCK)
    np.testing.assert_array_equal(scan.pixels[..., 0], frames[:3])
    assert scan.affine is not None


def test_a_remedy_changes_nothing_where_its_fault_is_absent(tmp_path: Path) -> None:
    write_series(tmp_path, asymmetric())
    plain = _only(tmp_path, ReadOptions())
    mended = _only(tmp_path, ReadOptions(frozenset(Remedy)))
    np.testing.assert_array_equal(plain.pixels, mended.pixels)
    np.testing.assert_array_equal(plain.affine, mended.affine)
    assert plain.findings == mended.findings
    assert [finding.code for finding in plain.findings] == ["tiny"]


@pytest.mark.parametrize(
    ("heights", "run"),
    [
        ([0, 1, 2, 3], range(4)),
        ([0, 1, 3, 4, 5], range(2, 5)),
        ([0, 1, 2, 4, 5, 6], range(3)),
        ([0, 5, 6, 6.5], range(2)),
        ([0, 2, 3, 4, 6, 8, 10, 12], range(3, 8)),
    ],
)
def test_longest_run(heights: list[float], run: range) -> None:
    assert longest_run(np.array([[0.0, 0.0, z] for z in heights])) == run


def test_a_slice_shifted_sideways_ends_a_run() -> None:
    assert longest_run(np.array([[0.0, 0, 0], [0, 0, 1], [3, 0, 2], [3, 0, 3], [3, 0, 4]])) == range(2, 5)


def _ramp(folder: Path, tilt: float) -> npt.NDArray[np.float64]:
    """A tilted series of a pattern linear in the patient's x and y, whose true value is known anywhere."""
    rows, columns = np.mgrid[0:12, 0:9].astype(float)
    for index in range(6):
        # Row spacing 0.5: y runs with rows, and each slice begins `tilt` mm further back.
        y, x = index * tilt + rows * 0.5, columns
        image = ct(
            np.rint(200 * y + 10 * x).astype(np.int16), (0, index * tilt, 2.0 * index), spacing=(0.5, 1.0)
        )
        save(image, folder / f"{index}")
    return np.array([0.0, tilt, 2.0])


@pytest.mark.parametrize("tilt", [0.8, -0.8])
def test_a_tilted_series_is_resampled_to_the_true_values_at_every_place(tmp_path: Path, tilt: float) -> None:
    step = _ramp(tmp_path, tilt)
    plain = _only(tmp_path, ReadOptions())
    assert "gantry-tilt" in _codes(plain)
    assert plain.affine is not None
    np.testing.assert_allclose(plain.affine[:3, 2], (-step[0], -step[1], step[2]), atol=1e-9)
    scan = _only(tmp_path, TILT)
    assert "gantry-tilt" not in _codes(scan)
    assert "tilt-resampled" in _codes(scan)
    assert scan.affine is not None
    axes = scan.affine[:3, :3] / np.linalg.norm(scan.affine[:3, :3], axis=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert scan.spacing == pytest.approx((2.0, 0.5, 1.0))
    checked = 0
    for s, r, c in np.ndindex(scan.pixels.shape[:3]):
        x, y, z, _ = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scan.affine @ (c, r, s, 1)
        within = 0 <= y - z / 2 * tilt <= 5.5 and 0 <= x <= 8
        if within:
            assert scan.pixels[s, r, c, 0] == pytest.approx(200 * y + 10 * x, abs=1e-2)
            checked += 1
    # Linear interpolation reaches the first and last row of each slice, so none is lost.
    assert checked >= 6 * 9 * 11
    assert scan.pixels.shape[1] == 12 + 8


def test_nothing_tilted_is_resampled_unless_chosen(tmp_path: Path) -> None:
    volume = asymmetric((5, 6, 6))
    write_series(tmp_path, volume, step=(0.0, 0.6, 2.0))
    np.testing.assert_array_equal(_only(tmp_path, BLOCK).pixels[..., 0], volume)


def test_duplicates_are_refused_and_the_first_is_kept_where_chosen(tmp_path: Path) -> None:
    for number, (z, value) in enumerate([(0, 7), (0, 5), (1, 6), (2, 8)]):
        image = ct(np.full((3, 3), value, np.int16), (0, 0, z))
        image.InstanceNumber = 10 - number
        save(image, tmp_path / f"{number}")
    (refusal,) = read_scans([tmp_path]).refused
    assert "same place" in refusal.reason
    assert "keep-first-duplicate" in refusal.fix
    scan = _only(tmp_path, FIRST)
    # 5 has instance number 9, 7 has 10.
    assert scan.pixels[:, 0, 0, 0].tolist() == [5, 6, 8]
    assert "duplicates-dropped" in _codes(scan)


def test_options_refuse_a_negative_volume() -> None:
    with pytest.raises(ValueError, match="negative"):
        ReadOptions(volume=-1)
