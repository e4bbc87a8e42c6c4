"""Against a real Orthanc, by both protocols: what is stored is found, and comes back as it was."""

from __future__ import annotations

import stat
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.filereader import read_preamble

from tests.pacs.conftest import PATIENT, made_series
from workbench.errors import PacsError
from workbench.imaging import read_scans
from workbench.pacs.archive import Archive, Limits, Query, Selection
from workbench.pacs.config import ArchivesFile
from workbench.pacs.connect import open_archive


def data_sets(files: list[Path] | tuple[Path, ...]) -> dict[str, bytes]:
    """Encoded data set, after the file meta information, of each instance."""
    found = {}
    for path in files:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        with path.open("rb") as stream:
            read_preamble(stream, force=False)
            pydicom.filereader._read_file_meta_info(stream)
            found[str(header.SOPInstanceUID)] = stream.read()
    return found


def elements(files: list[Path] | tuple[Path, ...]) -> dict[str, list[DataElement]]:
    """Public elements of each instance, pixels among them.

    Left out are the retired group lengths, which Orthanc's C-GET counts anew, and the phantom's private
    elements, one of which the header reader cannot convert.
    """
    found = {}
    for path in files:
        dataset = pydicom.dcmread(path)
        tags = [tag for tag in dataset.keys() if tag.elem != 0 and not tag.is_private]  # noqa: SIM118
        found[str(dataset.SOPInstanceUID)] = [dataset[tag] for tag in tags]
    return found


def test_the_archive_answers(archive: Archive) -> None:
    archive.echo()


def test_a_made_series_comes_back_byte_for_byte(archive: Archive, tmp_path: Path) -> None:
    sent = made_series(tmp_path / "sent", study=f"10{len(archive.name)}")
    assert archive.store(sent).failed == ()
    (study,) = archive.find_studies(Query(patient=PATIENT, accession=f"ACC10{len(archive.name)}"))
    back = archive.retrieve(Selection(study.uid), tmp_path / "back")
    assert back.failed == ()
    assert data_sets(back.files) == data_sets(sent)
    assert back.bytes == sum(path.stat().st_size for path in back.files)


def test_a_real_series_comes_back_and_is_read_as_before(
    archive: Archive, tmp_path: Path, shared: Path
) -> None:
    sent = sorted((shared / "dicom" / "ct_phantom").glob("*.dcm"))
    if not sent:
        pytest.skip("no CT phantom in the shared folder")
    told: list[tuple[int, int]] = []
    assert archive.store(sent, lambda done, total: told.append((done, total))).count == len(sent)
    assert told[-1] == (len(sent), len(sent))
    header = pydicom.dcmread(sent[0], stop_before_pixels=True)
    selection = Selection(str(header.StudyInstanceUID), str(header.SeriesInstanceUID))
    back = archive.retrieve(selection, tmp_path / "back")
    assert elements(back.files) == elements(sent)
    assert archive.name == "dimse" or data_sets(back.files) == data_sets(sent)
    (before,), (after,) = read_scans(sent).scans, read_scans(back.files).scans
    assert (before.pixels == after.pixels).all()
    assert before.patient == after.patient


@pytest.mark.parametrize("name", ["JPEG2000_UNC.dcm", "JPEG-LL.dcm", "MR2_J2KR.dcm", "OBXXXX1A_rle.dcm"])
def test_compressed_pixels_are_not_touched(archive: Archive, tmp_path: Path, shared: Path, name: str) -> None:
    found = sorted((shared / "dicom").rglob(name))
    if not found:
        pytest.skip(f"no {name} in the shared folder")
    header = pydicom.dcmread(found[0])
    assert archive.store(found[:1]).failed == ()
    back = archive.retrieve(Selection(str(header.StudyInstanceUID)), tmp_path / "back")
    again = {str(one.SOPInstanceUID): one for one in map(pydicom.dcmread, back.files)}[header.SOPInstanceUID]
    assert again.file_meta.TransferSyntaxUID == header.file_meta.TransferSyntaxUID
    assert again.PixelData == header.PixelData


def test_what_is_retrieved_is_private(archive: Archive, tmp_path: Path) -> None:
    archive.store(made_series(tmp_path / "sent", study="11"))
    found = archive.find_studies(Query(accession="ACC11"))
    back = archive.retrieve(Selection(found[0].uid), tmp_path / "back")
    assert stat.S_IMODE((tmp_path / "back").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in back.files} == {0o600}
    assert sorted(path.name for path in back.files) == ["000001.dcm", "000002.dcm", "000003.dcm"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(patient=PATIENT, accession="ACC12"), 1),
        (Query(patient="SECRET-1", accession="ACC12"), 0),
        (Query(patient="secret-17", accession="ACC12"), 0),
        (Query(accession="ACC12", since="20240229", until="20240229"), 1),
        (Query(accession="ACC12", since="20240301"), 0),
        (Query(accession="ACC12", until="20240228"), 0),
        (Query(accession="ACC12", modality="ct"), 1),
        (Query(accession="ACC12", modality="MR"), 0),
        (Query(accession="ACC12", description="Chest*"), 1),
        (Query(accession="ACC12", description="*follow*"), 1),
        (Query(accession="ACC12", description="abdomen*"), 0),
    ],
)
def test_studies_are_found_by_what_is_asked(
    archive: Archive, tmp_path: Path, query: Query, expected: int
) -> None:
    archive.store(made_series(tmp_path, study="12"))
    assert len(archive.find_studies(query)) == expected


def test_series_are_found_within_their_study(archive: Archive, tmp_path: Path) -> None:
    archive.store(made_series(tmp_path, study="13"))
    (study,) = archive.find_studies(Query(accession="ACC13"))
    assert (study.modalities, study.date, study.instances) == (("CT",), "20240229", 3)
    (series,) = archive.find_series(Query(study=study.uid, modality="CT", description="Thin*"))
    assert (series.uid, series.number, series.instances) == (f"{study.uid}.1", "4", 3)
    assert archive.find_series(Query(study=study.uid, modality="MR")) == ()


def test_no_more_matches_are_returned_than_asked_for(archive: Archive, tmp_path: Path) -> None:
    for study in ("14", "15"):
        archive.store(made_series(tmp_path / study, slices=1, study=study, patient="OTHER-2"))
    assert len(archive.find_studies(Query(patient="OTHER-2", limit=1))) == 1
    assert len(archive.find_studies(Query(patient="OTHER-2"))) == 2


def test_a_file_that_cannot_be_sent_is_named_and_the_others_go(archive: Archive, tmp_path: Path) -> None:
    sent = made_series(tmp_path, study="16")
    (tmp_path / "letter.dcm").write_bytes(b"not an image" * 50)
    done = archive.store([*sent, tmp_path / "letter.dcm"])
    assert done.count == 3
    assert [(failure.what, failure.reason) for failure in done.failed] == [
        ("letter.dcm", "It is not a DICOM file.")
    ]


def test_what_passes_the_byte_limit_is_named_and_the_rest_kept(archive: Archive, tmp_path: Path) -> None:
    sent = made_series(tmp_path / "sent", study="17")
    archive.store(sent)
    (study,) = archive.find_studies(Query(accession="ACC17"))
    room = 2 * sent[0].stat().st_size + 100
    back = archive.retrieve(Selection(study.uid), tmp_path / "back", Limits(bytes=room))
    assert len(back.files) == 2
    assert back.bytes <= room
    (failure,) = back.failed
    assert "no longer fits" in failure.reason
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == [path.name for path in back.files]


def test_more_instances_than_allowed_are_refused_before_any_is_sent(archive: Archive, tmp_path: Path) -> None:
    archive.store(made_series(tmp_path / "sent", study="18"))
    (study,) = archive.find_studies(Query(accession="ACC18"))
    with pytest.raises(PacsError, match="has 3 instances; 2 are allowed"):
        archive.retrieve(Selection(study.uid), tmp_path / "back", Limits(instances=2))
    assert not (tmp_path / "back").exists()


def test_patients_are_not_mixed_in_one_folder(archive: Archive, tmp_path: Path) -> None:
    archive.store(made_series(tmp_path / "sent", study="19"))
    (study,) = archive.find_studies(Query(accession="ACC19"))
    with pytest.raises(PacsError, match="not empty"):
        archive.retrieve(Selection(study.uid), tmp_path / "sent")


def test_nothing_found_is_said(archive: Archive, tmp_path: Path) -> None:
    assert archive.find_studies(Query(patient="NOBODY-0")) == ()
    with pytest.raises(PacsError, match="no instances of what was selected"):
        archive.retrieve(Selection("1.2.3.4.5.6.7"), tmp_path / "back")


def test_both_protocols_agree(archives: ArchivesFile, tmp_path: Path) -> None:
    web, dimse = open_archive("web", archives), open_archive("dimse", archives)
    dimse.store(made_series(tmp_path, study="20"))
    query = Query(accession="ACC20")
    assert web.find_studies(query) == dimse.find_studies(query)
    series = Query(study=web.find_studies(query)[0].uid)
    assert web.find_series(series) == dimse.find_series(series)
