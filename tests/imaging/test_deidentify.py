from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from tests.imaging.makers import ct, save, write_series
from workbench.errors import WorkbenchError
from workbench.imaging import read_scan, read_scans
from workbench.imaging.deidentify import Deidentified, Look, deidentify
from workbench.imaging.deidentify_codestream import without_comments
from workbench.imaging.deidentify_dicom import Wishes
from workbench.imaging.deidentify_report import as_html, as_json

pytestmark = pytest.mark.usefixtures("private_home")
VALUES = np.arange(60 * 60, dtype=np.int16).reshape(60, 60)


def copied(image: FileDataset, tmp_path: Path, wishes: Wishes | None = None) -> Dataset:
    """The header of the copy of one image."""
    path = save(image, tmp_path / "in" / "image.dcm")
    result = deidentify([path], tmp_path / "out", wishes)
    return pydicom.dcmread(tmp_path / "out" / result.written[0].name)


def test_a_name_mistyped_into_a_coded_field_does_not_get_through(tmp_path: Path) -> None:
    image = ct(VALUES)
    image.BodyPartExamined, image.ImageType = "DOE JANE", ["ORIGINAL", "PRIMARY", "DOE", "AXIAL"]
    image.ScanOptions, image.Manufacturer = ["HELICAL DOE", "FS"], "GE MEDICAL, room of Dr Doe"
    image.WindowCenterWidthExplanation = "DOE"
    copy = copied(image, tmp_path)
    assert "DOE" not in str(copy)
    assert list(copy.ImageType) == ["ORIGINAL", "PRIMARY", "OTHER", "AXIAL"]
    assert list(copy.ScanOptions) == ["", "FS"]
    assert (copy.BodyPartExamined, copy.Manufacturer) == ("", "GE")


def test_pixels_and_geometry_stay_as_they_were(tmp_path: Path) -> None:
    write_series(tmp_path / "in", np.random.default_rng(0).integers(0, 999, (5, 40, 40)).astype(np.int16))
    deidentify([tmp_path / "in"], tmp_path / "out")
    (before,), (after,) = read_scans([tmp_path / "in"]).scans, read_scans([tmp_path / "out"]).scans
    np.testing.assert_array_equal(after.pixels, before.pixels)
    np.testing.assert_allclose(after.affine, before.affine)
    assert (after.units, after.modality) == (before.units, before.modality)


def test_one_patient_stays_one_patient_and_a_series_one_series(tmp_path: Path) -> None:
    for number, patient in enumerate(("A", "A ", "B")):
        image = ct(VALUES + number)
        image.PatientID = patient
        save(image, tmp_path / "in" / f"{number}.dcm")
    result = deidentify([tmp_path / "in"], tmp_path / "out")
    copies = [pydicom.dcmread(tmp_path / "out" / one.name) for one in result.written]
    assert copies[0].PatientID == copies[1].PatientID == copies[0].PatientName != copies[2].PatientID
    assert len({copy.SeriesInstanceUID for copy in copies}) == 1
    assert len({copy.SOPInstanceUID for copy in copies}) == 3
    assert all(copy.SOPInstanceUID == copy.file_meta.MediaStorageSOPInstanceUID for copy in copies)
    assert all(copy.StudyInstanceUID.startswith("2.25.") for copy in copies)


def test_identity_is_called_removed_only_when_a_person_has_looked(tmp_path: Path) -> None:
    copy = copied(ct(VALUES), tmp_path)
    assert copy.PatientIdentityRemoved == "NO"
    methods = [item.CodeValue for item in copy.DeidentificationMethodCodeSequence]
    assert methods == ["113100", "113108"]
    reviewed = copied(ct(VALUES), tmp_path / "again", Wishes(reviewed=True, shift_dates=True))
    assert (reviewed.PatientIdentityRemoved, reviewed.BurnedInAnnotation) == ("YES", "NO")
    methods = [item.CodeValue for item in reviewed.DeidentificationMethodCodeSequence]
    assert methods == ["113100", "113101", "113107", "113108"]


def test_dates_are_dropped_or_move_by_the_same_days_for_all_files_of_a_patient(tmp_path: Path) -> None:
    days = []
    for number, date in enumerate(("20200228", "20200301")):
        image = ct(VALUES + number)
        image.StudyDate, image.StudyTime, image.PatientBirthDate = date, "101500", "19500102"
        plain = copied(image, tmp_path / f"plain{number}")
        assert (plain.StudyDate, plain.StudyTime, plain.PatientBirthDate) == ("", "", "")
        shifted = copied(image, tmp_path / f"shifted{number}", Wishes(shift_dates=True))
        assert (shifted.StudyTime, shifted.PatientBirthDate) == ("101500", "")
        assert shifted.LongitudinalTemporalInformationModified == "MODIFIED"
        days.append(
            np.datetime64(f"{shifted.StudyDate[:4]}-{shifted.StudyDate[4:6]}-{shifted.StudyDate[6:]}")
        )
        assert shifted.StudyDate < date
    assert days[1] - days[0] == np.timedelta64(2, "D")


@pytest.mark.parametrize(("age", "band"), [("043Y", "045Y"), ("018M", "005Y"), ("096Y", "090Y"), ("DOE", "")])
def test_ages_become_decades(tmp_path: Path, age: str, band: str) -> None:
    image = ct(VALUES)
    image.add_new("PatientAge", "AS", age)
    assert copied(image, tmp_path).PatientAge == band


def test_coded_concepts_keep_the_standards_words_only(tmp_path: Path) -> None:
    image, known, own = ct(VALUES), Dataset(), Dataset()
    known.CodeValue, known.CodingSchemeDesignator, known.CodeMeaning = (
        "76752008",
        "SCT",
        "left breast of Jane Doe",
    )
    own.CodeValue, own.CodingSchemeDesignator, own.CodeMeaning = "D17", "99DOE", "Jane Doe"
    image.AnatomicRegionSequence = Sequence([known, own])
    copy = copied(image, tmp_path)
    assert "Doe" not in str(copy)
    (item,) = copy.AnatomicRegionSequence
    assert (item.CodeValue, item.CodeMeaning) == ("76752008", "Breast structure (body structure)")


@pytest.mark.parametrize("signed", [False, True])
def test_bits_beside_the_stored_ones_are_cleared(tmp_path: Path, signed: bool) -> None:
    stored = np.arange(-8 if signed else 0, 3592 if signed else 3600).reshape(60, 60) % 2048
    stored = stored - 1024 if signed else stored
    hidden = (stored.astype(np.int32) & 0x0FFF) | 0x5000
    image = ct(hidden.astype(np.uint16))
    image.BitsStored, image.HighBit, image.PixelRepresentation = 12, 11, int(signed)
    copy = copied(image, tmp_path)
    words = np.frombuffer(copy.PixelData, np.int16 if signed else np.uint16).reshape(60, 60)
    np.testing.assert_array_equal(words, stored)


def test_people_are_asked_about_heads_text_ultrasound_and_screens(tmp_path: Path) -> None:
    head, banner, screen = ct(VALUES), ct(VALUES), ct(VALUES)
    head.BodyPartExamined, head.BurnedInAnnotation = "HEAD", "NO"
    picture = Image.new("L", (300, 200))
    ImageDraw.Draw(picture).text((10, 10), "DOE JANE 12.03.1961", fill=255, font_size=18)
    banner = ct(np.asarray(picture))
    banner.Modality = "US"
    screen.ImageType, screen.BodyPartExamined = ["DERIVED", "SECONDARY", "SCREEN SAVE"], "CHEST"
    for name, image in (("0", head), ("1", banner), ("2", screen)):
        save(image, tmp_path / "in" / name)
    result = deidentify([tmp_path / "in"], tmp_path / "out")
    assert [set(one.looks) for one in result.written] == [
        {Look.FACE},
        {Look.TEXT, Look.BURNED_IN, Look.ULTRASOUND},
        {Look.CAPTURE, Look.BURNED_IN},
    ]
    assert pydicom.dcmread(tmp_path / "out" / result.written[1].name).BurnedInAnnotation == "YES"
    again = deidentify([tmp_path / "in"], tmp_path / "reviewed", Wishes(reviewed=True))
    assert all(one.looks == () for one in again.written)


def test_a_bad_file_does_not_take_the_others_down(tmp_path: Path) -> None:
    good = save(ct(VALUES), tmp_path / "in" / "b.dcm")
    (tmp_path / "in" / "a.dcm").write_bytes(good.read_bytes()[:700])
    (tmp_path / "in" / "c.txt").write_text("notes")
    result = deidentify([tmp_path / "in"], tmp_path / "out")
    assert [one.case for one in result.written] == [2]
    assert [case for case, _ in result.refused] == [1, 3]


def test_an_occupied_folder_and_one_inside_the_input_are_refused(tmp_path: Path) -> None:
    save(ct(VALUES), tmp_path / "in" / "a.dcm")
    with pytest.raises(WorkbenchError, match="not an empty folder"):
        deidentify([tmp_path / "in"], tmp_path / "in")
    with pytest.raises(WorkbenchError, match="inside"):
        deidentify([tmp_path / "in"], tmp_path / "in" / "out")


def test_reports_name_elements_and_no_values(tmp_path: Path) -> None:
    image = ct(VALUES)
    image.private_block(0x0029, "DOE PRIVATE", create=True).add_new(1, "LO", "Doe")
    result: Deidentified = deidentify([save(image, tmp_path / "in" / "Doe.dcm")], tmp_path / "out")
    for text in (as_html(result, "Research."), as_json(result, "Research.")):
        assert "Doe" not in text
        assert "DOE" not in text
        assert "SECRET" not in text
        assert "PatientName (0010,0010)" in text
        assert "private, group 0029" in text
        assert "Research." in text


def test_a_stripped_jpeg_decodes_to_the_same_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 48, 3)).astype(np.uint8)
    for progressive in (False, True):
        exif = Image.Exif()
        exif[0x013B] = "Doe"
        out = io.BytesIO()
        Image.fromarray(noise).save(
            out, "JPEG", exif=exif, comment=b"Doe", icc_profile=b"Doe" * 9, progressive=progressive
        )
        plain, dropped = without_comments(out.getvalue() + b"Doe")
        assert b"Doe" not in plain
        assert dropped == 3
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(plain))), np.asarray(Image.open(out)))


def test_an_orientation_stays_with_its_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "Doe"
    Image.fromarray(VALUES.astype(np.uint8)[:30]).save(tmp_path / "turned.jpg", exif=exif)
    result = deidentify([tmp_path / "turned.jpg"], tmp_path / "out")
    copy = tmp_path / "out" / result.written[0].name
    np.testing.assert_array_equal(read_scan(copy).pixels, read_scan(tmp_path / "turned.jpg").pixels)
    assert b"Doe" not in copy.read_bytes()


@pytest.mark.parametrize("series", ["ct_phantom", "mr_t1_uih"])
@pytest.mark.parametrize("reviewed", [False, True])
def test_real_copies_are_no_worse_than_their_originals(
    shared: Path, tmp_path: Path, series: str, reviewed: bool
) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian's dicom3tools)")
    if not (shared / "dicom" / series).is_dir():
        pytest.skip(f"no {series} among the real data")
    original = sorted((shared / "dicom" / series).glob("*.dcm"))[0]
    result = deidentify([original], tmp_path / "out", Wishes(reviewed=reviewed, shift_dates=reviewed))
    copy = tmp_path / "out" / result.written[0].name
    assert _faults(copy) <= _faults(original)
    np.testing.assert_array_equal(read_scan(copy).pixels, read_scan(original).pixels)


def _faults(path: Path) -> set[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return {line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")}
