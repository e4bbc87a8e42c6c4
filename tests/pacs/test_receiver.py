"""The storage receiver: what an archive moves to us arrives; strangers and floods do not."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove

from tests.pacs.certificates import make
from tests.pacs.conftest import made_series
from tests.pacs.orthanc import OURS, TITLE, Orthanc, free_port
from tests.pacs.test_round_trip import data_sets
from workbench.errors import PacsError
from workbench.imaging import read_scans
from workbench.pacs.archive import Query
from workbench.pacs.config import ArchivesFile, ReceiverSettings
from workbench.pacs.connect import open_archive
from workbench.pacs.receiver import listening


def settings(**changes: object) -> ReceiverSettings:
    given: dict[str, object] = {"port": free_port(), "calling": ["SENDER"], "tls": False}
    return ReceiverSettings.model_validate(given | changes)


def sender(receiver: ReceiverSettings, **changes: object) -> ArchivesFile:
    """The receiver as an archive that somebody sends to."""
    given: dict[str, object] = {
        "kind": "dimse",
        "host": "localhost",
        "port": receiver.port,
        "called": receiver.title,
        "calling": "SENDER",
        "tls": False,
        "timeout": 5,
    }
    return ArchivesFile.model_validate({"archives": {"it": given | changes}})


def test_what_an_archive_moves_to_us_arrives(
    orthanc: Orthanc, archives: ArchivesFile, receiver_port: int, tmp_path: Path
) -> None:
    sent = made_series(tmp_path / "sent", study="31")
    archive = open_archive("dimse", archives)
    archive.store(sent)
    (study,) = archive.find_studies(Query(accession="ACC31"))
    wanted = Dataset()
    wanted.QueryRetrieveLevel, wanted.StudyInstanceUID = "STUDY", study.uid
    model = StudyRootQueryRetrieveInformationModelMove
    told: list[int] = []
    with listening(settings(port=receiver_port, calling=[TITLE]), tmp_path / "in", told.append) as receiver:
        mover = AE(OURS).associate("127.0.0.1", orthanc.dicom, [build_context(model)], ae_title=TITLE)
        answers = [status.Status for status, _ in mover.send_c_move(wanted, OURS, model)]
        mover.release()
    assert answers[-1] == 0
    assert told == [1, 2, 3]
    assert data_sets(receiver.inbox.files) == data_sets(sent)
    assert stat.S_IMODE((tmp_path / "in").stat().st_mode) == 0o700
    (scan,) = read_scans([tmp_path / "in"]).scans
    assert scan.pixels.shape == (3, 8, 8, 1)


@pytest.mark.parametrize("stranger", [{"calling": "STRANGER"}, {"called": "OTHER"}])
def test_strangers_are_turned_away(tmp_path: Path, stranger: dict[str, object]) -> None:
    here = settings()
    with listening(here, tmp_path / "in") as receiver:
        with pytest.raises(PacsError, match="AE title"):
            open_archive("it", sender(here, **stranger)).store(made_series(tmp_path / "sent"))
        open_archive("it", sender(here)).echo()
    assert receiver.inbox.files == []


def test_no_more_files_are_taken_than_allowed(tmp_path: Path) -> None:
    here = settings(instances=2)
    with listening(here, tmp_path / "in") as receiver:
        done = open_archive("it", sender(here)).store(made_series(tmp_path / "sent"))
    assert (done.count, len(receiver.inbox.files), receiver.refused) == (2, 2, 1)
    assert "it is full" in done.failed[0].reason


def test_an_instance_larger_than_the_room_left_is_broken_off(tmp_path: Path) -> None:
    here = settings(bytes=4096)
    (tmp_path / "sent").mkdir()
    (path,) = made_series(tmp_path / "sent", slices=1)
    path.write_bytes(path.read_bytes() + b"\0" * 2**23)
    with listening(here, tmp_path / "in") as receiver:
        with pytest.raises(PacsError, match="broke off"):
            open_archive("it", sender(here)).store([path])
        open_archive("it", sender(here)).echo()
    assert receiver.refused >= 1
    assert list((tmp_path / "in").iterdir()) == []


def test_the_receiver_speaks_tls_and_asks_for_a_certificate(tmp_path: Path) -> None:
    pki = make(tmp_path / "pki")
    own = {"certificate": pki / "server.pem", "key": pki / "server.key", "ca": pki / "ca.pem"}
    here = settings(tls=True, **own)
    shown = {"certificate": pki / "client.pem", "key": pki / "client.key", "ca": pki / "ca.pem", "tls": True}
    with listening(here, tmp_path / "in") as receiver:
        assert open_archive("it", sender(here, **shown)).store(made_series(tmp_path / "sent")).count == 3
        with pytest.raises(PacsError):
            open_archive("it", sender(here, ca=pki / "ca.pem", tls=True)).echo()
        with pytest.raises(PacsError):
            open_archive("it", sender(here)).echo()
    assert len(receiver.inbox.files) == 3


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    here = settings()
    with (
        listening(here, tmp_path / "one"),
        pytest.raises(PacsError, match=f"cannot listen on port {here.port}"),
        listening(here, tmp_path / "two"),
    ):
        pass


def test_the_port_is_free_again_afterwards(tmp_path: Path) -> None:
    here = settings()
    for name in ("one", "two"):
        with listening(here, tmp_path / name):
            open_archive("it", sender(here)).echo()
