"""One canonical order, whatever the format: each voxel of an asymmetric phantom ends at its own place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import numpy.typing as npt
import pytest

from tests.imaging.makers import asymmetric, enhanced, save, write_series
from workbench.imaging import Scan, read_scan, read_scans
from workbench.imaging.geometry import LPS_TO_RAS

Volume = npt.NDArray[np.int16]
Affine = npt.NDArray[np.float64]

ORIENTATIONS = {
    "axial": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "axial, feet first": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
    "coronal, mirrored": (-1.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    "sagittal": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    "sagittal, upside down": (0.0, -1.0, 0.0, 0.0, 0.0, 1.0),
    "oblique axial": (0.9, 0.3, -0.316228, -0.316228, 0.948683, 0.0),
    "oblique coronal": (0.948683, 0.316228, 0.0, 0.0948683, -0.2846049, -0.9539392),
}
PLANES = {"axial": ("L", "P", "S"), "coronal": ("L", "I", "P"), "sagittal": ("P", "I", "L")}
SPACING, ORIGIN = (0.5, 0.75), (10.0, -20.0, 30.0)


def _unit(orientation: tuple[float, ...]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Exactly perpendicular unit vectors close to the ones given."""
    columns = np.array(orientation[:3]) / np.linalg.norm(orientation[:3])
    rows = np.array(orientation[3:]) - columns * (columns @ np.array(orientation[3:]))
    return columns, rows / np.linalg.norm(rows)


def _truth(orientation: tuple[float, ...]) -> Affine:
    """RAS from (column, row, slice), by PS3.3 C.7.6.2.1.1."""
    columns, rows = _unit(orientation)
    matrix = np.eye(4)
    matrix[:3] = np.stack(
        [columns * SPACING[1], rows * SPACING[0], 2.0 * np.cross(columns, rows), ORIGIN], axis=1
    )
    return np.asarray(LPS_TO_RAS @ matrix)


def _as_series(folder: Path, volume: Volume, orientation: tuple[float, ...]) -> Scan:
    columns, rows = _unit(orientation)
    write_series(folder, volume, (*columns, *rows), spacing=SPACING, order=[2, 0, 3, 1])
    (scan,) = read_scans([folder]).scans
    return scan


def _as_enhanced(folder: Path, volume: Volume, orientation: tuple[float, ...]) -> Scan:
    columns, rows = _unit(orientation)
    step, order = 2.0 * np.cross(columns, rows), [3, 1, 0, 2]
    positions = [(np.array(ORIGIN) + index * step).tolist() for index in order]
    image = enhanced(volume[order], positions, None, (*columns, *rows), SPACING)
    return read_scan(save(image, folder / "enhanced"))


def _as_nifti(folder: Path, volume: Volume, orientation: tuple[float, ...]) -> Scan:
    folder.mkdir(parents=True)
    nib.Nifti1Image(volume.transpose(2, 1, 0), _truth(orientation)).to_filename(folder / "a.nii.gz")
    return read_scan(folder / "a.nii.gz")


def _as_nrrd(space: str) -> Callable[[Path, Volume, tuple[float, ...]], Scan]:
    def write(folder: Path, volume: Volume, orientation: tuple[float, ...]) -> Scan:
        folder.mkdir(parents=True)
        to_space = {"right-anterior-superior": np.eye(4), "left-posterior-superior": LPS_TO_RAS}[space]
        matrix = to_space @ _truth(orientation)
        header = {"space": space, "space directions": matrix[:3, :3].T, "space origin": matrix[:3, 3]}
        nrrd.write(str(folder / "a.nrrd"), volume.transpose(2, 1, 0), header)
        return read_scan(folder / "a.nrrd")

    return write


LOADERS = {
    "DICOM series": _as_series,
    "enhanced DICOM": _as_enhanced,
    "NIfTI": _as_nifti,
    "NRRD in LPS": _as_nrrd("left-posterior-superior"),
    "NRRD in RAS": _as_nrrd("right-anterior-superior"),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
def test_every_voxel_is_where_the_file_says_it_is(
    tmp_path: Path, loader: Callable[[Path, Volume, tuple[float, ...]], Scan], orientation: tuple[float, ...]
) -> None:
    volume, truth = asymmetric(), _truth(orientation)
    scan = loader(tmp_path / "a", volume, orientation)
    assert scan.affine is not None
    back = np.linalg.inv(truth)
    for s, r, c in np.ndindex(scan.pixels.shape[:3]):
        place = back @ scan.affine @ (c, r, s, 1)
        i, j, k, _ = np.rint(place).astype(int)
        np.testing.assert_allclose(place[:3], (i, j, k), atol=1e-3)
        assert scan.pixels[s, r, c, 0] == volume[k, j, i]


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_every_loader_gives_the_same_array_and_affine(tmp_path: Path, name: str) -> None:
    scans = [
        load(tmp_path / str(index), asymmetric(), ORIENTATIONS[name])
        for index, load in enumerate(LOADERS.values())
    ]
    plane = next(plane for plane in PLANES if plane in name)
    for scan in scans:
        np.testing.assert_array_equal(scan.pixels, scans[0].pixels)
        np.testing.assert_allclose(scan.affine, scans[0].affine, atol=1e-4)
        np.testing.assert_allclose(scan.spacing, scans[0].spacing, rtol=1e-5)
        assert nib.aff2axcodes(scan.affine) == PLANES[plane]


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_dicom_written_as_nifti_comes_back_the_same(tmp_path: Path, name: str) -> None:
    first = _as_series(tmp_path / "series", asymmetric(), ORIENTATIONS[name])
    stored = first.pixels[..., 0].transpose(2, 1, 0)
    nib.Nifti1Image(stored, first.affine).to_filename(tmp_path / "a.nii.gz")
    again = read_scan(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(again.pixels, first.pixels)
    np.testing.assert_allclose(again.affine, first.affine, atol=1e-5)
    np.testing.assert_allclose(again.spacing, first.spacing, rtol=1e-6)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "RPI", "PIR", "SRA", "ASL", "ILP"])
def test_the_order_a_nifti_is_stored_in_moves_no_voxel(tmp_path: Path, codes: str) -> None:
    """Other axis orders change which plane is "acquired", never which value lies where."""
    image = nib.Nifti1Image(asymmetric().transpose(2, 1, 0), _truth(ORIENTATIONS["axial"]))
    wanted = nib.orientations.axcodes2ornt(codes)
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), wanted))
    assert nib.aff2axcodes(turned.affine) == tuple(codes)
    turned.to_filename(tmp_path / "a.nii")
    scan, data = read_scan(tmp_path / "a.nii"), np.asarray(image.dataobj)
    assert scan.affine is not None
    assert nib.aff2axcodes(scan.affine) in PLANES.values()
    for s, r, c in np.ndindex(scan.pixels.shape[:3]):
        i, j, k, _ = np.rint(np.linalg.inv(image.affine) @ scan.affine @ (c, r, s, 1)).astype(int)
        assert scan.pixels[s, r, c, 0] == data[i, j, k]


def test_a_real_series_survives_the_way_to_nifti_and_back(shared: Path, tmp_path: Path) -> None:
    (first,) = read_scans([shared / "dicom" / "mr_t1_uih"]).scans
    nib.Nifti1Image(first.pixels[..., 0].transpose(2, 1, 0), first.affine).to_filename(tmp_path / "a.nii")
    again = read_scan(tmp_path / "a.nii")
    np.testing.assert_array_equal(again.pixels, first.pixels)
    np.testing.assert_allclose(again.affine, first.affine, atol=1e-3)
