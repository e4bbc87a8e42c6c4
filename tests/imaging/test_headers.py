"""Ultrasound regions and what mammograms say of themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset

from tests.imaging.makers import ct, item, save
from workbench.imaging import Scan, UltrasoundRegion, read_scan


def _picture(modality: str, **values: object) -> FileDataset:
    image = ct(np.arange(48, dtype=np.uint8).reshape(6, 8), None)
    image.Modality = modality
    for name, value in values.items():
        setattr(image, name, value)
    return image


def _region(top: int, bottom: int, left: int, right: int, kind: int = 1, delta: float = 0.02) -> Dataset:
    """Corners are inclusive, as in the standard."""
    return item(
        RegionLocationMinY0=top,
        RegionLocationMaxY1=bottom,
        RegionLocationMinX0=left,
        RegionLocationMaxX1=right,
        RegionSpatialFormat=kind,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=delta,
        PhysicalDeltaY=-delta,
    )


def _messages(scan: Scan) -> dict[str, str]:
    return {finding.code: finding.message for finding in scan.findings}


def test_regions_tell_where_text_may_stand(tmp_path: Path) -> None:
    image = _picture("US", SequenceOfUltrasoundRegions=[_region(2, 5, 2, 7)])
    scan = read_scan(save(image, tmp_path / "x"))
    assert scan.ultrasound_regions == (UltrasoundRegion("tissue", (2, 6), (2, 8), pytest.approx((0.2, 0.2))),)
    assert scan.spacing == pytest.approx((1.0, 0.2, 0.2))
    assert "50 % of the picture" in _messages(scan)["ultrasound-regions"]


def test_regions_are_cut_to_the_picture_and_empty_ones_left_out(tmp_path: Path) -> None:
    regions = [_region(0, 99, 0, 3), _region(9, 12, 0, 3), Dataset()]
    scan = read_scan(save(_picture("US", SequenceOfUltrasoundRegions=regions), tmp_path / "x"))
    assert [(region.rows, region.columns) for region in scan.ultrasound_regions] == [((0, 6), (0, 4))]


def test_spacing_is_given_only_where_tissue_regions_agree(tmp_path: Path) -> None:
    regions = [_region(0, 2, 0, 7), _region(3, 5, 0, 7, kind=3, delta=0.5)]
    image = _picture("US", SequenceOfUltrasoundRegions=regions)
    assert read_scan(save(image, tmp_path / "a")).spacing == pytest.approx((1.0, 0.2, 0.2))
    image.SequenceOfUltrasoundRegions.append(_region(3, 5, 0, 7, delta=0.5))
    assert read_scan(save(image, tmp_path / "b")).spacing is None


def test_a_real_ultrasound_has_its_regions(shared: Path) -> None:
    scan = read_scan(next((shared / "dicom").rglob("examples_palette.dcm")))
    assert scan.ultrasound_regions
    for region in scan.ultrasound_regions:
        assert 0 <= region.rows[0] < region.rows[1] <= scan.pixels.shape[1]
        assert 0 <= region.columns[0] < region.columns[1] <= scan.pixels.shape[2]


def test_a_mammogram_says_side_view_and_intent(tmp_path: Path) -> None:
    image = _picture("MG", ImageLaterality="R", ViewPosition="MLO", PresentationIntentType="FOR PRESENTATION")
    messages = _messages(read_scan(save(image, tmp_path / "x")))
    assert messages["mammogram"] == "Mammogram: right, MLO, FOR PRESENTATION."
    assert "for-processing" not in messages


def test_the_view_may_be_coded(tmp_path: Path) -> None:
    code = item(CodeValue="399162004", CodingSchemeDesignator="SCT", CodeMeaning="cranio-caudal")
    image = _picture("MG", ImageLaterality="L", ViewCodeSequence=[code])
    assert "left, CC, intent not said" in _messages(read_scan(save(image, tmp_path / "x")))["mammogram"]


@pytest.mark.parametrize("modality", ["MG", "DX"])
def test_raw_detector_values_are_a_warning(tmp_path: Path, modality: str) -> None:
    image = _picture(modality, PresentationIntentType="FOR PROCESSING")
    assert "for-processing" in _messages(read_scan(save(image, tmp_path / "x")))


def test_one_part_of_a_split_image_says_so(tmp_path: Path) -> None:
    image = _picture("US", ConcatenationUID="1.2.3", InConcatenationNumber=1, InConcatenationTotalNumber=2)
    assert "part-of-concatenation" in _messages(read_scan(save(image, tmp_path / "x")))


def test_free_text_in_the_view_does_not_reach_a_message(tmp_path: Path) -> None:
    image = _picture("MG", ViewPosition="DOE JANE 1950")
    assert "view not said" in _messages(read_scan(save(image, tmp_path / "x")))["mammogram"]
