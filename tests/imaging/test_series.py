"""Series become volumes in the right order and place, and bad geometry is never silent."""

from __future__ import annotations

from pathlib import Path

import highdicom.spatial
import nibabel as nib
import numpy as np
import numpy.typing as npt
import pydicom
import pytest

from tests.imaging.makers import AXIAL, asymmetric, ct, save, write_series
from workbench.imaging import Scan, read_scans
from workbench.imaging.geometry import LPS_TO_RAS

ORIENTATIONS = {
    "axial": AXIAL,
    "axial, prone": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
    "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
    "sagittal": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    "sagittal, mirrored": (0.0, -1.0, 0.0, 0.0, 0.0, -1.0),
    "oblique": (0.98, 0.0, -0.199, 0.0, 1.0, 0.0),
}


def _only(folder: Path) -> Scan:
    result = read_scans([folder])
    assert result.refused == ()
    assert len(result.scans) == 1
    return result.scans[0]


def _codes(scan: Scan) -> set[str]:
    return {finding.code for finding in scan.findings}


def _dicom_affine(orientation: tuple[float, ...], spacing: tuple[float, float]) -> npt.NDArray[np.float64]:
    """RAS from (column, row, slice) of `write_series`, by PS3.3 C.7.6.2.1.1."""
    columns, rows = np.array(orientation[:3]), np.array(orientation[3:])
    matrix = np.eye(4)
    matrix[:3] = np.stack(
        [columns * spacing[1], rows * spacing[0], 2.0 * np.cross(columns, rows), (10.0, -20.0, 30.0)], axis=1
    )
    return np.asarray(LPS_TO_RAS @ matrix)


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_each_voxel_keeps_its_place_through_dicom_and_nifti(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    volume, spacing = asymmetric(), (0.5, 0.75)
    truth = _dicom_affine(orientation, spacing)
    write_series(tmp_path / "series", volume, orientation, spacing=spacing, order=[2, 0, 3, 1])
    nib.Nifti1Image(volume.transpose(2, 1, 0), truth).to_filename(tmp_path / "volume.nii")
    scans = [_only(tmp_path / "series"), *read_scans([tmp_path / "volume.nii"]).scans]
    for scan in scans:
        assert scan.affine is not None
        for s, r, c in np.ndindex(scan.pixels.shape[:3]):
            i, j, k, _ = np.rint(np.linalg.inv(truth) @ scan.affine @ (c, r, s, 1)).astype(int)
            assert scan.pixels[s, r, c, 0] == volume[k, j, i]
    np.testing.assert_array_equal(scans[0].pixels, scans[1].pixels)
    np.testing.assert_allclose(scans[0].affine, scans[1].affine, atol=1e-4)
    np.testing.assert_allclose(scans[0].spacing, scans[1].spacing, rtol=1e-5)


def test_axial_scans_hang_with_front_up_and_the_patients_left_on_the_right(tmp_path: Path) -> None:
    volume = asymmetric()
    write_series(tmp_path / "supine", volume, AXIAL)
    write_series(tmp_path / "prone", volume, ORIENTATIONS["axial, prone"])
    supine, prone = _only(tmp_path / "supine"), _only(tmp_path / "prone")
    for scan in (supine, prone):
        assert nib.aff2axcodes(scan.affine) == ("L", "P", "S")
    np.testing.assert_array_equal(supine.pixels[..., 0], volume)
    np.testing.assert_array_equal(prone.pixels[..., 0], volume[:, ::-1, ::-1])
    assert "turned" in _codes(prone)
    assert "turned" not in _codes(supine)


def test_instance_numbers_do_not_order_slices(tmp_path: Path) -> None:
    volume = asymmetric()
    write_series(tmp_path, volume, order=[3, 1, 0, 2])
    scan = _only(tmp_path)
    np.testing.assert_array_equal(scan.pixels[..., 0], volume)
    assert scan.spacing == pytest.approx((2.0, 1.0, 1.0))
    assert [f.code for f in scan.findings] == ["tiny"]


def test_a_missing_slice_is_reported_and_the_affine_withheld(tmp_path: Path) -> None:
    paths = write_series(tmp_path, asymmetric((6, 4, 4)))
    paths[2].unlink()
    scan = _only(tmp_path)
    assert "slice-gap" in _codes(scan)
    assert scan.affine is None
    assert len(scan.pixels) == 5


def test_uneven_spacing_is_reported_and_the_affine_withheld(tmp_path: Path) -> None:
    for index, z in enumerate((0.0, 2.0, 4.0, 5.3, 8.0)):
        save(ct(asymmetric()[0], (0, 0, z)), tmp_path / f"{index}")
    scan = _only(tmp_path)
    assert "uneven-slices" in _codes(scan)
    assert scan.affine is None


def test_gantry_tilt_is_reported_and_kept_in_the_affine(tmp_path: Path) -> None:
    write_series(tmp_path, asymmetric(), step=(0.0, 0.6, 2.0))
    scan = _only(tmp_path)
    assert "gantry-tilt" in _codes(scan)
    assert scan.affine is not None
    np.testing.assert_allclose(scan.affine[:3, 2], (0.0, -0.6, 2.0), atol=1e-6)


@pytest.mark.parametrize("fault", ["none", "gap", "uneven", "tilt"])
def test_geometry_findings_agree_with_highdicom(tmp_path: Path, fault: str) -> None:
    step = (0.0, 0.6, 2.0) if fault == "tilt" else None
    paths = write_series(tmp_path, asymmetric((6, 4, 4)), step=step, order=[5, 3, 1, 0, 2, 4])
    if fault == "gap":
        paths[1].unlink()
    if fault == "uneven":
        image = pydicom.dcmread(paths[1])
        image.ImagePositionPatient[2] += 0.7
        save(image, paths[1])
    images = [pydicom.dcmread(path) for path in sorted(tmp_path.iterdir())]
    spacing, _ = highdicom.spatial.get_volume_positions(
        [image.ImagePositionPatient for image in images], images[0].ImageOrientationPatient
    )
    ours = _codes(_only(tmp_path)) & {"slice-gap", "uneven-slices", "gantry-tilt"}
    assert (spacing is not None) == (not ours)


def test_copies_of_a_file_are_dropped_with_a_finding(tmp_path: Path) -> None:
    paths = write_series(tmp_path, asymmetric())
    (tmp_path / "copy").write_bytes(paths[1].read_bytes())
    scan = _only(tmp_path)
    assert len(scan.pixels) == 4
    assert "copies-dropped" in _codes(scan)


def test_different_slices_at_one_place_are_refused_without_taking_others_down(tmp_path: Path) -> None:
    write_series(tmp_path / "good", asymmetric())
    for index, value in enumerate((1, 2)):
        image = ct(np.full((4, 4), value, np.int16), series="1.2.3.4")
        save(image, tmp_path / f"same-{index}")
    result = read_scans([tmp_path])
    assert len(result.scans) == 1
    assert len(result.refused) == 1
    assert "same place" in result.refused[0].reason


def test_echoes_at_the_same_places_become_one_volume_each(tmp_path: Path) -> None:
    for echo in (10, 20):
        for index in range(3):
            image = ct(np.full((4, 4), echo + index, np.int16), (0, 0, index))
            image.EchoTime = echo
            save(image, tmp_path / f"{echo}-{index}")
    result = read_scans([tmp_path])
    assert result.refused == ()
    assert [scan.pixels[:, 0, 0, 0].tolist() for scan in result.scans] == [[10, 11, 12], [20, 21, 22]]
    assert all("series-split" in _codes(scan) for scan in result.scans)


def test_two_series_and_two_orientations_are_not_mixed(tmp_path: Path) -> None:
    write_series(tmp_path / "a", asymmetric())
    write_series(tmp_path / "b", asymmetric(), ORIENTATIONS["coronal"])
    for index in range(3):
        save(ct(np.zeros((4, 4), np.int16), (0, 0, index), series="1.2.3"), tmp_path / "c" / f"{index}")
    result = read_scans([tmp_path])
    assert sorted(scan.pixels.shape[0] for scan in result.scans) == [3, 4, 4]


def test_a_localiser_beside_its_series_is_left_out_and_named(tmp_path: Path) -> None:
    write_series(tmp_path, asymmetric())
    scout = ct(np.zeros((8, 8), np.int16), (0, 0, 0), ORIENTATIONS["coronal"])
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(scout, tmp_path / "scout")
    result = read_scans([tmp_path])
    assert len(result.scans) == 1
    assert [error.source for error in result.refused] == ["scout"]


def test_each_slice_keeps_its_own_rescale(tmp_path: Path) -> None:
    for index in range(3):
        image = ct(np.full((4, 4), 100, np.int16), (0, 0, index))
        image.Modality, image.RescaleSlope, image.RescaleIntercept = "PT", index + 1, 0
        save(image, tmp_path / f"{index}")
    assert _only(tmp_path).pixels[:, 0, 0, 0].tolist() == [100, 200, 300]


def test_images_without_a_place_stay_single_scans(tmp_path: Path) -> None:
    for index in range(3):
        image = ct(np.full((4, 4), index, np.uint8), None)
        image.Modality = "DX"
        save(image, tmp_path / f"{index}.dcm")
    result = read_scans([tmp_path])
    assert [scan.provenance.source for scan in result.scans] == ["0.dcm", "1.dcm", "2.dcm"]


def test_real_series_are_one_volume_each(shared: Path) -> None:
    ct_scan = _only(shared / "dicom" / "ct_phantom")
    assert ct_scan.pixels.shape == (20, 512, 512, 1)
    assert ct_scan.spacing == pytest.approx((3.0, 1.328125, 1.328125))
    mr = read_scans(sorted((shared / "dicom" / "mr_t1_uih").iterdir()))
    assert [scan.pixels.shape[0] for scan in mr.scans] == [24]


def test_headers_are_parsed_once_per_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path, asymmetric())
    parsed: list[object] = []
    real = pydicom.dcmread

    def counting(path: Path, **options: object) -> pydicom.FileDataset:
        parsed.append(path)
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pydicom, "dcmread", counting)
    monkeypatch.setenv("WORKBENCH_WORKERS", "0")  # counted here
    _only(tmp_path)
    assert len(parsed) == 4


def test_full_scale_of_a_series_holds_every_slice(tmp_path: Path) -> None:
    for index in range(3):
        image = ct(np.full((4, 4), 100, np.uint16), (0, 0, index))
        image.Modality, image.RescaleSlope = "PT", index + 1
        save(image, tmp_path / f"{index}")
    assert _only(tmp_path).value_range == (0.0, 3 * 65535.0)


def test_inverted_slices_of_different_scale_are_refused(tmp_path: Path) -> None:
    for index in range(3):
        image = ct(np.full((4, 4), 100, np.uint16), (0, 0, index))
        image.PhotometricInterpretation, image.RescaleSlope = "MONOCHROME1", index + 1
        save(image, tmp_path / f"{index}")
    assert "inverted" in read_scans([tmp_path]).refused[0].reason


def test_directions_that_differ_in_their_last_digits_are_one_series(tmp_path: Path) -> None:
    """Rounding would put cosines on either side of a half into different groups."""
    for index in range(4):
        tip = 0.00499 if index % 2 else 0.00501
        orientation = (float(np.sqrt(1 - tip**2)), tip, 0.0, -tip, float(np.sqrt(1 - tip**2)), 0.0)
        image = ct(asymmetric()[index], (0, 0, index), orientation, spacing=(0.1235, 0.1235 + 1e-5 * index))
        save(image, tmp_path / f"{index}")
    assert len(_only(tmp_path).pixels) == 4


def test_echoes_of_several_phases_are_split_by_both(tmp_path: Path) -> None:
    for phase in (1, 2):
        for echo in (10, 20):
            for z in range(3):
                image = ct(np.full((3, 3), 100 * phase + echo + z, np.int16), (0, 0, z))
                image.EchoTime, image.TemporalPositionIdentifier = echo, phase
                save(image, tmp_path / f"{phase}-{echo}-{z}")
    result = read_scans([tmp_path])
    assert result.refused == ()
    read = [scan.pixels[:, 0, 0, 0].tolist() for scan in result.scans]
    assert read == [[110, 111, 112], [120, 121, 122], [210, 211, 212], [220, 221, 222]]
    (note,) = [finding for finding in result.scans[0].findings if finding.code == "series-split"]
    assert "4 times" in note.message
    assert "EchoTime and TemporalPositionIdentifier" in note.message


def test_b_values_of_siemens_are_found_in_their_private_place(tmp_path: Path) -> None:
    for b in (0, 1000):
        for z in range(2):
            image = ct(np.full((3, 3), b + z, np.int16), (0, 0, z))
            image.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", str(b))
            save(image, tmp_path / f"{b}-{z}")
    assert [scan.pixels[:, 0, 0, 0].tolist() for scan in read_scans([tmp_path]).scans] == [
        [0, 1],
        [1000, 1001],
    ]


def test_a_time_of_its_own_for_each_slice_takes_no_series_apart(tmp_path: Path) -> None:
    """Two measurements of three places: six acquisition times are no six volumes."""
    for number, z in enumerate((0, 1, 2, 0, 1, 2)):
        image = ct(np.full((3, 3), number, np.int16), (0, 0, z))
        image.AcquisitionTime = f"12000{number}"
        save(image, tmp_path / f"{number}")
    result = read_scans([tmp_path])
    assert result.scans == ()
    assert "same place" in result.refused[0].reason


@pytest.mark.parametrize(
    ("kind", "what"), [("LOCALIZER", "localiser"), ("SCREEN SAVE", "report"), ("DOSE_INFO", "report")]
)
def test_what_accompanies_a_series_is_left_out_and_both_sides_say_so(
    tmp_path: Path, kind: str, what: str
) -> None:
    write_series(tmp_path, asymmetric())
    extra = ct(np.zeros((8, 8), np.int16), None)
    extra.ImageType = ["DERIVED", "SECONDARY", kind]
    save(extra, tmp_path / "extra")
    result = read_scans([tmp_path])
    (scan,), (refusal,) = result.scans, result.refused
    assert what in refusal.reason
    assert "companions-dropped" in _codes(scan)
    assert len(scan.pixels) == 4
    alone = read_scans([tmp_path / "extra"])
    assert len(alone.scans) == 1
