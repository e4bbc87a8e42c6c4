"""Enhanced multi-frame images: which frames make one volume, and what holds for each frame."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import EnhancedUSVolumeStorage

from tests.imaging.makers import asymmetric, enhanced, item, save
from workbench.errors import ScanRefused
from workbench.imaging import ReadOptions, Scan, Units, read_scan

HEIGHTS = (4.0, 0.0, 2.0)


def _codes(scan: Scan) -> set[str]:
    return {finding.code for finding in scan.findings}


def _echoes(folder: Path) -> Path:
    """Three places, each at two echo times, frames interleaved; value = 10 * echo + height."""
    frames, positions, groups = [], [], []
    for z in HEIGHTS:
        for echo in (3, 7):
            frames.append(np.full((3, 4), 10 * echo + z, np.int16))
            positions.append((0.0, 0.0, z))
            groups.append(item(MREchoSequence=[item(EffectiveEchoTime=float(echo))]))
    return save(enhanced(np.stack(frames), positions, groups), folder / "echoes")


def test_of_two_echoes_the_first_is_read_with_a_warning(tmp_path: Path) -> None:
    scan = read_scan(_echoes(tmp_path))
    assert scan.pixels[:, 0, 0, 0].tolist() == [30, 32, 34]
    assert "first-volume" in _codes(scan)
    assert scan.spacing == pytest.approx((2.0, 1.0, 1.0))


def test_another_echo_is_read_where_chosen(tmp_path: Path) -> None:
    scan = read_scan(_echoes(tmp_path), options=ReadOptions(volume=1))
    assert scan.pixels[:, 0, 0, 0].tolist() == [70, 72, 74]
    assert "volume-chosen" in _codes(scan)
    assert "first-volume" not in _codes(scan)


def test_a_volume_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanRefused, match="holds 2 volumes"):
        read_scan(_echoes(tmp_path), options=ReadOptions(volume=2))


def test_b_values_and_phases_together_are_told_apart(tmp_path: Path) -> None:
    frames, positions, groups = [], [], []
    for z in (0.0, 1.0):
        for b in (0.0, 1000.0):
            for phase in (1, 2):
                frames.append(np.full((3, 3), b / 10 + 10 * phase + z, np.int16))
                positions.append((0.0, 0.0, z))
                groups.append(
                    item(
                        MRDiffusionSequence=[item(DiffusionBValue=b)],
                        FrameContentSequence=[item(TemporalPositionIndex=phase)],
                    )
                )
    path = save(enhanced(np.stack(frames), positions, groups), tmp_path / "x")
    read = [read_scan(path, options=ReadOptions(volume=n)).pixels[:, 0, 0, 0].tolist() for n in range(4)]
    assert read == [[10, 11], [20, 21], [110, 111], [120, 121]]


def test_stacks_of_different_orientation_are_not_mixed(tmp_path: Path) -> None:
    frames = asymmetric((4, 3, 3))
    groups = []
    for index in range(4):
        cosines = [1.0, 0, 0, 0, 1, 0] if index < 2 else [1.0, 0, 0, 0, 0, -1]
        groups.append(item(PlaneOrientationSequence=[item(ImageOrientationPatient=cosines)]))
    positions = [(0, 0, 0), (0, 0, 1), (0, 0, 0), (0, 1, 0)]
    path = save(enhanced(frames, positions, groups), tmp_path / "x")
    np.testing.assert_array_equal(read_scan(path).pixels[..., 0], frames[:2])
    second = read_scan(path, options=ReadOptions(volume=1))
    np.testing.assert_array_equal(second.pixels[..., 0], frames[2:])


def test_phases_of_one_place_are_a_film_in_file_order(tmp_path: Path) -> None:
    frames = asymmetric((3, 3, 3))
    groups = [item(FrameContentSequence=[item(TemporalPositionIndex=n)]) for n in (3, 1, 2)]
    scan = read_scan(save(enhanced(frames, [(0, 0, 0)] * 3, groups), tmp_path / "x"))
    np.testing.assert_array_equal(scan.pixels[..., 0], frames)
    assert "frames-in-file-order" in _codes(scan)


def test_a_frame_that_nothing_describes_refuses_the_image(tmp_path: Path) -> None:
    image = enhanced(asymmetric((3, 3, 3)), [(0, 0, z) for z in HEIGHTS])
    del image.PerFrameFunctionalGroupsSequence[2]
    with pytest.raises(ScanRefused, match="3 frames and describes 2"):
        read_scan(save(image, tmp_path / "x"))


def test_frames_that_say_their_stack_by_dimension_only_stay_in_file_order(tmp_path: Path) -> None:
    """Two measurements of each place with nothing to tell them apart: kept, and said."""
    frames = asymmetric((4, 3, 3))
    scan = read_scan(save(enhanced(frames, [(0, 0, z) for z in (0, 1, 0, 1)]), tmp_path / "x"))
    np.testing.assert_array_equal(scan.pixels[..., 0], frames)
    assert "frames-in-file-order" in _codes(scan)
    assert scan.affine is None


def test_a_volume_ultrasound_is_sorted_and_has_no_place_in_the_patient(tmp_path: Path) -> None:
    frames = asymmetric((3, 4, 5)).astype(np.uint8)
    image = enhanced(frames, None)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedUSVolumeStorage
    image.Modality = "US"
    shared = image.SharedFunctionalGroupsSequence[0]
    del shared.PlaneOrientationSequence
    shared.PlaneOrientationVolumeSequence = pydicom.Sequence(
        [item(ImageOrientationVolume=[1.0, 0, 0, 0, 1, 0])]
    )
    shared.PixelMeasuresSequence[0].PixelSpacing = [0.3, 0.3]
    for group, z in zip(image.PerFrameFunctionalGroupsSequence, (1.0, 0.0, 0.5), strict=True):
        group.PlanePositionVolumeSequence = pydicom.Sequence([item(ImagePositionVolume=[0.0, 0.0, z])])
    scan = read_scan(save(image, tmp_path / "x"))
    np.testing.assert_array_equal(scan.pixels[..., 0], frames[[1, 2, 0]])
    assert scan.spacing == pytest.approx((0.5, 0.3, 0.3))
    assert scan.affine is None
    assert "orientation-unknown" in _codes(scan)


def test_a_real_enhanced_mr_has_its_frames_rescaled_and_sorted(shared: Path, tmp_path: Path) -> None:
    packed = next((shared / "nifti").rglob("philips_mprage.dcm.gz"))
    path = tmp_path / "philips.dcm"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    scan, image = read_scan(path), pydicom.dcmread(path)
    assert scan.pixels.shape == (176, 256, 256, 1)
    assert scan.units is Units.MODALITY
    assert scan.affine is not None
    assert not _codes(scan) & {"slice-gap", "uneven-slices", "frames-in-file-order", "first-volume"}
    stored = image.pixel_array
    for number in (0, 17, 100, 175):
        group = image.PerFrameFunctionalGroupsSequence[number]
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        scaling = group.PixelValueTransformationSequence[0]
        corner = stored[number, 0, 0] * float(scaling.RescaleSlope) + float(scaling.RescaleIntercept)
        # Where the file puts the frame's first pixel, in RAS.
        column, row, index, _ = np.linalg.inv(scan.affine) @ (-place[0], -place[1], place[2], 1)
        at = np.rint((index, row, column)).astype(int)
        np.testing.assert_allclose((index, row, column), at, atol=0.05)
        assert scan.pixels[(*at, 0)] == pytest.approx(corner, rel=1e-5)
