"""A marked region is read and nothing else, is said to be, and never hides whose scan it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.errors import RegionError, ScanRefused
from workbench.imaging import Provenance, Recipe, Region, Scan, Units, parse_region
from workbench.imaging.digest import copy_digest, pixel_digest


def _volume() -> Scan:
    pixels = np.arange(10 * 8 * 6, dtype=np.float32).reshape(10, 8, 6, 1)
    affine = np.array([[-2.0, 0, 0, 5], [0, -3.0, 0, 6], [0, 0, 4.0, 7], [0, 0, 0, 1]])
    scan = Scan(pixels, Units.MODALITY, "CT", Provenance("scan.nii", "NIfTI", "0"))
    return replace(scan, spacing=(4.0, 3.0, 2.0), affine=affine)


def test_slices_and_box_count_from_one_and_include_their_ends() -> None:
    scan = _volume()
    part = Region((3, 5), (2, 4), (1, 6)).apply(scan)
    np.testing.assert_array_equal(part.pixels, scan.pixels[2:5, 1:4, 0:6])
    assert part.marked == "slices 3 to 5, rows 2 to 4, columns 1 to 6"
    (said,) = part.findings
    assert said.code == "region-marked"
    assert "6 x 3 x 3 of 6 x 8 x 10" in said.message
    assert part.spacing == scan.spacing


def test_the_part_stays_at_its_place_in_the_patient() -> None:
    scan = _volume()
    part = Region((3, 5), (2, 4), (3, 6)).apply(scan)
    assert part.affine is not None
    assert scan.affine is not None
    np.testing.assert_allclose(part.affine @ [0, 0, 0, 1], scan.affine @ [2, 1, 2, 1])
    np.testing.assert_allclose(part.affine[:3, :3], scan.affine[:3, :3])


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [((0.0, 24.0), (0.0, 12.0), (8, 6)), ((3.0, 9.0), (2.0, 6.0), (2, 2)), ((2.9, 9.1), (2.0, 6.0), (4, 2))],
)
def test_millimetres_take_every_voxel_they_touch(
    rows: tuple[float, float], columns: tuple[float, float], expected: tuple[int, int]
) -> None:
    part = Region(rows=rows, columns=columns, unit="mm").apply(_volume())
    assert part.pixels.shape[1:3] == expected


def test_a_region_that_does_not_fit_refuses_the_scan_and_says_why() -> None:
    with pytest.raises(ScanRefused, match=r"scan\.nii: The marked slices end at 11; the scan has 10"):
        Region((3, 11)).apply(_volume())
    with pytest.raises(ScanRefused, match="rows end at 9"):
        Region(rows=(1, 9), columns=(1, 2)).apply(_volume())
    with pytest.raises(ScanRefused, match="does not say its spacing"):
        Region(rows=(1, 9), columns=(1, 2), unit="mm").apply(replace(_volume(), spacing=None))
    with pytest.raises(ScanRefused, match="marked already"):
        Region((1, 2)).apply(Region((1, 5)).apply(_volume()))


def test_whose_scan_it_is_stays_known() -> None:
    """Or one could adapt to a part of a scan and evaluate on the rest of it."""
    scan = _volume()
    first, second = Region((1, 3)).apply(scan), Region((4, 6)).apply(scan)
    kept = Recipe().kept(scan)
    assert pixel_digest(first) == pixel_digest(second) == pixel_digest(scan) == pixel_digest(kept)
    assert len({copy_digest(one) for one in (scan, first, second)}) == 3
    other = replace(scan, pixels=scan.pixels + (np.arange(10) == 0).reshape(10, 1, 1, 1).astype(np.float32))
    assert pixel_digest(other) != pixel_digest(scan)


@pytest.mark.parametrize(
    ("slices", "box", "expected"),
    [
        ("10:40", "", Region((10, 40))),
        (" 7 : 7 ", "", Region((7, 7))),
        ("", "20:80,30:90", Region(None, (20, 80), (30, 90))),
        ("2:3", "12.5mm:60mm, 0mm:45mm", Region((2, 3), (12.5, 60), (0, 45), "mm")),
        ("", "", None),
    ],
)
def test_regions_as_people_write_them(slices: str, box: str, expected: Region | None) -> None:
    assert parse_region(slices, box) == expected


@pytest.mark.parametrize(
    ("slices", "box", "why"),
    [
        ("40:10", "", "empty"),
        ("0:10", "", "the first is 1"),
        ("ten", "", "no range"),
        ("1.5:3", "", "whole numbers"),
        ("1mm:3mm", "", "counted"),
        ("", "20:80", "rows and columns"),
        ("", "20:80,30mm:90mm", "both in voxels, or both in mm"),
        ("", "1mm:4,1:2", "no range"),
        ("", "5mm:5mm,0mm:2mm", "empty"),
        ("", "1.5:3,1:2", "whole numbers"),
    ],
)
def test_what_is_no_region_says_how_to_write_one(slices: str, box: str, why: str) -> None:
    with pytest.raises(RegionError, match=why):
        parse_region(slices, box)


def test_a_region_needs_something() -> None:
    with pytest.raises(RegionError, match="slices or a box"):
        Region()
