"""A DICOMDIR stands for the files it names, none of them outside its folder."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from tests.imaging.makers import asymmetric, ct, save, write_series
from workbench.data.folders import iter_scans
from workbench.errors import ScanRefused
from workbench.imaging import Scan, read_scan, read_scans
from workbench.imaging.dicomdir import referenced_files


def _directory(path: Path, names: list[list[str] | str]) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = generate_uid(), ExplicitVRLittleEndian
    index = FileDataset("", {}, file_meta=meta, preamble=b"\x00" * 128)
    records = []
    for name in names:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        # The standard's sixteen characters per part are what a hostile disc does not keep to.
        record.add(pydicom.DataElement("ReferencedFileID", "CS", name, validation_mode=0))
        records.append(record)
    index.DirectoryRecordSequence = Sequence(records)
    data = io.BytesIO()
    index.save_as(data, enforce_file_format=True)
    path.write_bytes(data.getvalue())
    return path


def test_the_files_it_names_are_read_as_series(tmp_path: Path) -> None:
    write_series(tmp_path / "IMAGES", asymmetric())
    save(ct(np.zeros((9, 9), np.int16), series="1.2.3"), tmp_path / "OTHER")
    index = _directory(tmp_path / "DICOMDIR", [["IMAGES", f"IM{n:04d}"] for n in (3, 1, 0, 2)])
    result = read_scans([index])
    assert result.refused == ()
    (scan,) = result.scans
    np.testing.assert_array_equal(scan.pixels[..., 0], asymmetric())


def test_a_folder_with_a_dicomdir_is_read_once(tmp_path: Path) -> None:
    write_series(tmp_path / "IMAGES", asymmetric())
    _directory(tmp_path / "DICOMDIR", [["IMAGES", f"IM{n:04d}"] for n in range(4)])
    result = read_scans([tmp_path])
    assert (len(result.scans), result.refused) == (1, ())
    outcomes = [outcome for _, outcome in iter_scans([tmp_path])]
    assert len(outcomes) == 1
    assert isinstance(outcomes[0], Scan)


def test_where_one_scan_is_expected_it_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ScanRefused, match="index of a disc"):
        read_scan(_directory(tmp_path / "DICOMDIR", []))


def test_files_that_are_missing_are_named_and_the_others_read(tmp_path: Path) -> None:
    save(ct(np.zeros((3, 3), np.int16)), tmp_path / "A")
    result = read_scans([_directory(tmp_path / "DICOMDIR", ["A", "B"])])
    assert len(result.scans) == 1
    assert [error.source for error in result.refused] == ["DICOMDIR: B"]


OUTSIDE: list[list[str] | str] = [
    ["..", "SECRET"],
    "../SECRET",
    ["SUB", "..", "..", "SECRET"],
    ["/etc", "passwd"],
    "/etc/passwd",
    ["C:", "SECRET"],
    ["SUB\x00", "X"],
    ["", "SECRET"],
]


@pytest.mark.parametrize("name", OUTSIDE, ids=repr)
def test_a_name_that_leads_outside_condemns_the_disc(tmp_path: Path, name: list[str] | str) -> None:
    save(ct(np.zeros((3, 3), np.int16)), tmp_path / "SECRET")
    disc = tmp_path / "disc"
    save(ct(np.zeros((3, 3), np.int16)), disc / "GOOD")
    result = read_scans([_directory(disc / "DICOMDIR", ["GOOD", name])])
    assert result.scans == ()
    (refusal,) = result.refused
    assert "outside of its folder" in refusal.reason or "damaged" in refusal.reason
    assert str(tmp_path) not in str(refusal)


def test_a_link_that_leads_outside_condemns_the_disc(tmp_path: Path) -> None:
    save(ct(np.zeros((3, 3), np.int16)), tmp_path / "SECRET")
    disc = tmp_path / "disc"
    disc.mkdir()
    (disc / "LINK").symlink_to(tmp_path / "SECRET")
    (refusal,) = read_scans([_directory(disc / "DICOMDIR", ["LINK"])]).refused
    assert "outside of its folder" in refusal.reason


@pytest.mark.parametrize(
    "name", ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-reordered", "DICOMDIR-nooffset"]
)
def test_a_real_disc_gives_the_scans_of_its_folder(shared: Path, name: str) -> None:
    folder = next((shared / "dicom").rglob("dicomdirtests"))
    found = referenced_files(folder / name, name)
    assert len(found[0]) == 31
    assert found[1] == ()
    if name == "DICOMDIR":
        result = read_scans([folder / name])
        assert sum(len(scan.pixels) for scan in result.scans) + len(result.refused) == 31
