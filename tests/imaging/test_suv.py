"""Standardised uptake of PET against the recipe worked by hand, and every reason why it is not computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from tests.imaging.makers import ct, item, save
from workbench.imaging import Scan, Units, read_scan, read_scans
from workbench.imaging.suv import suv_factor

HALF_LIFE = 6586.2
"""Of fluorine-18, in seconds."""
STORED = np.array([[0, 100], [1000, 30000]], np.uint16)


def _pet(**changes: object) -> FileDataset:
    """70 kg, 370 MBq injected an hour before the scan."""
    image = ct(STORED)
    image.Modality, image.Units, image.DecayCorrection = "PT", "BQML", "START"
    image.CorrectedImage = ["ATTN", "SCAT", "DECY", "RAN"]
    image.RescaleSlope, image.RescaleIntercept = 2.5, 0
    image.PatientWeight = 70
    image.SeriesDate = image.AcquisitionDate = "20240301"
    image.SeriesTime, image.AcquisitionTime = "110000", "110030.5"
    image.RadiopharmaceuticalInformationSequence = [
        item(
            RadionuclideTotalDose=3.7e8,
            RadionuclideHalfLife=HALF_LIFE,
            RadiopharmaceuticalStartTime="100000.00",
        )
    ]
    for name, value in changes.items():
        if value is None:
            delattr(image, name)
        else:
            setattr(image, name, value)
    return image


def _factor(seconds: float) -> float:
    return 70_000 / (3.7e8 * 0.5 ** (seconds / HALF_LIFE))


def _codes(scan: Scan) -> dict[str, str]:
    return {finding.code: finding.message for finding in scan.findings}


def test_activity_becomes_uptake_by_weight_dose_and_decay(tmp_path: Path) -> None:
    image = _pet()
    image.WindowCenter, image.WindowWidth = 5000, 10000
    scan = read_scan(save(image, tmp_path / "x"))
    assert scan.units is Units.SUV
    np.testing.assert_allclose(scan.pixels[0, ..., 0], STORED * 2.5 * _factor(3600), rtol=1e-6)
    assert scan.window == pytest.approx((5000 * _factor(3600), 10000 * _factor(3600)))
    assert scan.value_range == pytest.approx((0, 65535 * 2.5 * _factor(3600)))
    assert "suv" in _codes(scan)


def test_dose_given_after_midnight_is_of_the_day_before() -> None:
    image = _pet(SeriesTime="003000", AcquisitionTime="003100")
    image.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "233000"
    assert suv_factor(image).factor == pytest.approx(_factor(3600))


def test_a_start_with_its_date_is_preferred() -> None:
    image = _pet()
    image.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime = "20240301093000"
    assert suv_factor(image).factor == pytest.approx(_factor(5400))


def test_a_series_made_later_takes_the_acquisition_and_the_frames_mean_time() -> None:
    """Reprocessed a day later; the frame began where its reference time says (Siemens)."""
    image = _pet(SeriesDate="20240302", FrameReferenceTime=100_000.0, ActualFrameDuration=180_000)
    rate = np.log(2) / HALF_LIFE
    mean = np.log(rate * 180 / (1 - np.exp(-rate * 180))) / rate
    assert mean == pytest.approx(90, abs=1)
    assert suv_factor(image).factor == pytest.approx(_factor(3630.5 + mean - 100), rel=1e-9)


def test_a_series_made_later_takes_the_makers_scan_time_where_there_is_one() -> None:
    image = _pet(SeriesDate="20240302")
    image.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", "20240301105500.00")
    assert suv_factor(image).factor == pytest.approx(_factor(3300))


def test_decay_corrected_to_administration_needs_no_times() -> None:
    image = _pet(DecayCorrection="ADMIN", SeriesTime=None)
    assert suv_factor(image).factor == pytest.approx(70_000 / 3.7e8)


def test_uptake_in_the_file_stays() -> None:
    assert suv_factor(_pet(Units="GML")).factor == 1.0
    assert suv_factor(_pet(Units="GML", SUVType="BW")).factor == 1.0
    assert "another kind" in suv_factor(_pet(Units="GML", SUVType="LBM")).reason


def test_counts_take_the_makers_factor() -> None:
    image = _pet(Units="CNTS")
    assert "counts" in suv_factor(image).reason
    block = image.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x09, "DS", "3.0")
    assert suv_factor(image).factor == pytest.approx(3 * _factor(3600))
    block.add_new(0x00, "DS", "0.000551")
    assert suv_factor(image).factor == 0.000551


WITHOUT: dict[str, Callable[[FileDataset], object]] = {
    "PatientWeight": lambda image: delattr(image, "PatientWeight"),
    "RadionuclideTotalDose": lambda image: setattr(image, "RadiopharmaceuticalInformationSequence", []),
    "RadionuclideHalfLife": lambda image: delattr(
        image.RadiopharmaceuticalInformationSequence[0], "RadionuclideHalfLife"
    ),
    "attenuation": lambda image: setattr(image, "CorrectedImage", "DECY"),
    "DecayCorrection": lambda image: setattr(image, "DecayCorrection", "NONE"),
    "Units is PROPCPS": lambda image: setattr(image, "Units", "PROPCPS"),
    "Units is missing": lambda image: delattr(image, "Units"),
    "time of the scan": lambda image: [delattr(image, name) for name in ("SeriesTime", "AcquisitionTime")],
    "time of the injection is missing": lambda image: delattr(
        image.RadiopharmaceuticalInformationSequence[0], "RadiopharmaceuticalStartTime"
    ),
    "after the scan": lambda image: setattr(
        image.RadiopharmaceuticalInformationSequence[0], "RadiopharmaceuticalStartDateTime", "20240301120000"
    ),
    "too long before": lambda image: setattr(
        image.RadiopharmaceuticalInformationSequence[0], "RadionuclideHalfLife", 10.0
    ),
}


@pytest.mark.parametrize("reason", WITHOUT)
def test_what_is_missing_is_named_and_values_stay(tmp_path: Path, reason: str) -> None:
    image = _pet()
    WITHOUT[reason](image)
    scan = read_scan(save(image, tmp_path / "x"))
    assert scan.units is Units.MODALITY
    np.testing.assert_allclose(scan.pixels[0, ..., 0], STORED * 2.5)
    assert reason in _codes(scan)["suv-not-computed"]
    assert "suv" not in _codes(scan)


def test_each_slice_of_a_series_keeps_its_own_slope_in_uptake(tmp_path: Path) -> None:
    for index in range(3):
        image = _pet(RescaleSlope=index + 1)
        image.ImagePositionPatient = [0, 0, 2 * index]
        save(image, tmp_path / str(index))
    (scan,) = read_scans([tmp_path]).scans
    np.testing.assert_allclose(scan.pixels[:, 1, 0, 0], 1000 * _factor(3600) * np.array([1, 2, 3]), rtol=1e-6)


def test_messages_hold_no_weight_and_no_date(tmp_path: Path) -> None:
    scan = read_scan(save(_pet(), tmp_path / "x"))
    said = _codes(scan)
    assert "suv" in said
    for message in (text for code, text in said.items() if code != "tiny"):
        assert not any(digit in message for digit in "0123456789")
