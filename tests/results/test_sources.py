"""A scan's instances are told by digest, never guessed; what has no study is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.imaging.makers import asymmetric, ct, save, write_series
from tests.pacs.conftest import made_series
from tests.userfiles import picture
from workbench.errors import ScanRefused
from workbench.imaging.dicomfile import quiet
from workbench.results.sources import SourcedScan, sourced_scans


def found_in(*paths: Path) -> tuple[list[SourcedScan], list[ScanRefused]]:
    found = list(sourced_scans(paths))
    scans = [one for one in found if isinstance(one, SourcedScan)]
    return scans, [one for one in found if isinstance(one, ScanRefused)]


def test_every_series_keeps_its_own_instances(tmp_path: Path) -> None:
    made_series(tmp_path / "one", study="61")
    made_series(tmp_path / "two", slices=2, study="62")
    scans, refused = found_in(tmp_path)
    assert refused == []
    assert sorted(len(scan.headers) for scan in scans) == [2, 3]
    for scan in scans:
        assert len({str(header.SeriesInstanceUID) for header in scan.headers}) == 1


def test_a_series_split_by_echo_refers_to_the_right_files(tmp_path: Path) -> None:
    for echo in (10, 20):
        for number in range(3):
            image = ct(np.full((6, 6), echo + number, np.int16), (0, 0, 2.0 * number))
            image.EchoTime = echo
            save(image, tmp_path / f"{echo}-{number}.dcm")
    scans, refused = found_in(tmp_path)
    assert refused == []
    assert len(scans) == 2
    for scan in scans:
        own = {f"{int(value)}" for value in np.unique(scan.scan.pixels)}
        assert len(scan.headers) == 3
        assert len(own) == 3
    first, second = ({str(h.SOPInstanceUID) for h in scan.headers} for scan in scans)
    assert not first & second


def test_copies_count_once_and_a_broken_file_is_named(tmp_path: Path) -> None:
    (path, *_) = made_series(tmp_path)
    (tmp_path / "copy.dcm").write_bytes(path.read_bytes())
    (tmp_path / "broken.dcm").write_bytes(path.read_bytes()[:300])
    scans, refused = found_in(tmp_path)
    assert [len(scan.headers) for scan in scans] == [3]
    assert [refusal.source for refusal in refused] == ["broken.dcm"]


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID"])
def test_an_image_that_names_no_study_is_refused(tmp_path: Path, keyword: str) -> None:
    image = ct(asymmetric()[0])
    delattr(image, keyword)
    save(image, tmp_path / "image.dcm")
    scans, (refusal,) = found_in(tmp_path)
    assert scans == []
    assert keyword in refusal.reason


def test_other_formats_have_no_study_to_go_into(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    write_series(tmp_path / "series", asymmetric())
    scans, refused = found_in(tmp_path)
    assert len(scans) == 1
    assert [refusal.source for refusal in refused] == ["a.png"]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("StudyInstanceUID", "05fa52"), ("SOPInstanceUID", "1.2.x"), ("PatientID", "X" * 80)],
)
def test_an_identifier_that_breaks_the_rules_is_refused_and_not_quoted(
    tmp_path: Path, keyword: str, value: str
) -> None:
    with quiet():
        image = ct(asymmetric()[0])
        setattr(image, keyword, value)
        save(image, tmp_path / "image.dcm")
    scans, (refusal,) = found_in(tmp_path)
    assert scans == []
    assert keyword in refusal.reason
    assert value not in str(refusal)


def test_other_values_that_break_the_rules_are_left_empty_or_mended(tmp_path: Path) -> None:
    with quiet():
        image = ct(asymmetric()[0])
        image.StudyTime, image.StudyDate, image.StudyID = "14:04:38", "1997.04.24", "X" * 40
        image.PatientSex, image.PatientAge = "female", "22 years"
        save(image, tmp_path / "image.dcm")
    (scan,), _ = found_in(tmp_path)
    (header,) = scan.headers
    assert (header.StudyTime, header.StudyDate) == ("140438", "19970424")
    assert (header.StudyID, header.PatientSex, header.get("PatientAge")) == (None, None, None)


def test_no_warning_quotes_a_name(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    image = ct(asymmetric()[0])
    image.PatientName = "Canary"
    save(image, tmp_path / "image.dcm")
    found_in(tmp_path)
    assert [str(one.message) for one in recwarn if "Canary" in str(one.message)] == []
