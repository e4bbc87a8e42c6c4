"""What goes wrong with an archive is said in one sentence that names it and the fix, and nobody else."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from tests.pacs.certificates import make
from tests.pacs.conftest import PATIENT, described, made_series
from tests.pacs.orthanc import PASSWORD, USER, Orthanc, free_port, running
from tests.pacs.relay import encrypted
from workbench.errors import PacsError
from workbench.pacs.archive import Query, Selection
from workbench.pacs.config import ArchivesFile
from workbench.pacs.connect import open_archive


def one(settings: dict[str, object]) -> ArchivesFile:
    return ArchivesFile.model_validate({"archives": {"it": {"timeout": 2, "tls": False} | settings}})


def web(url: str, **more: object) -> ArchivesFile:
    return one({"kind": "dicomweb", "url": url, **more})


def dimse(port: int, **more: object) -> ArchivesFile:
    return one({"kind": "dimse", "host": "127.0.0.1", "port": port, "called": "ANY", **more})


@pytest.mark.parametrize("secret", [f"{USER}:wrong-{PASSWORD}", f"nobody:{PASSWORD}"])
def test_a_wrong_password_is_refused_and_not_repeated(
    orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch, secret: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEST_PACS", secret)
    archive = open_archive("web", described(orthanc))
    attempts = (
        archive.echo,
        lambda: archive.find_studies(Query(patient=PATIENT)),
        lambda: archive.store(made_series(tmp_path, slices=1)),
        lambda: archive.retrieve(Selection("1.2.3"), tmp_path / "out"),
    )
    for attempt in attempts:
        with pytest.raises(PacsError, match=r"^web: It does not accept the credential \(401\)") as caught:
            attempt()
        assert secret.split(":")[1] not in str(caught.value)
        assert PATIENT not in str(caught.value)


def test_no_credential_where_one_is_asked_for(orthanc: Orthanc) -> None:
    with pytest.raises(PacsError, match="It asks who we are"):
        open_archive("it", web(f"{orthanc.url}/dicom-web")).echo()


def test_a_wrong_address_is_said(orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_PACS", f"{USER}:{PASSWORD}")
    given = {"auth": "basic", "secret": "env:TEST_PACS"}
    with pytest.raises(PacsError, match=r"no DICOMweb service at its url \(404\)"):
        open_archive("it", web(f"{orthanc.url}/elsewhere", **given)).echo()


def test_the_titles_are_checked(orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PacsError, match=r"does not go by this AE title\. Correct `called`"):
        open_archive("it", dimse(orthanc.dicom, called="WRONG")).echo()
    with pytest.raises(PacsError, match=r"^it: .*(AE title|refuses)"):
        open_archive("it", dimse(orthanc.dicom, called="TESTPACS", calling="STRANGER")).echo()


def test_nothing_listens() -> None:
    port = free_port()
    with pytest.raises(PacsError, match="Nothing listens there"):
        open_archive("it", dimse(port)).echo()
    with pytest.raises(PacsError, match="It cannot be reached"):
        open_archive("it", web(f"http://127.0.0.1:{port}/dicom-web")).echo()


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_silence_is_a_time_out() -> None:
    with silent() as port:
        with pytest.raises(PacsError, match="did not answer within 1 seconds"):
            open_archive("it", web(f"http://127.0.0.1:{port}/x", timeout=1)).echo()
        with pytest.raises(PacsError, match=r"^it: "):
            open_archive("it", dimse(port, timeout=1)).echo()


@contextmanager
def redirecting(port: int) -> Iterator[int]:
    """Sends every request to another port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                place = f"http://127.0.0.1:{port}/"
                connection.sendall(
                    f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
                )

        thread = Thread(target=answer, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join(5)


def test_no_redirection_is_followed() -> None:
    with redirecting(free_port()) as port, pytest.raises(PacsError, match="sends us to another address"):
        open_archive("it", web(f"http://127.0.0.1:{port}/x")).echo()


@contextmanager
def peer(**handlers: object) -> Iterator[int]:
    """A small archive that offers verification and takes CT in one syntax."""
    entity, port = AE("ANY"), free_port()
    entity.add_supported_context(Verification)
    entity.add_supported_context(CTImageStorage, [ExplicitVRLittleEndian])
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=list(handlers.values()))
    try:
        yield port
    finally:
        server.shutdown()


def test_a_service_that_is_not_offered(tmp_path: Path) -> None:
    with peer() as port:
        archive = open_archive("it", dimse(port))
        archive.echo()
        with pytest.raises(PacsError, match="no presentation context"):
            archive.find_studies(Query(patient=PATIENT))


def test_a_refused_file_is_named_with_the_reason(tmp_path: Path) -> None:
    def full(event: evt.Event) -> int:
        return 0xA700

    sent = made_series(tmp_path, slices=1)
    with peer(store=(evt.EVT_C_STORE, full)) as port:
        done = open_archive("it", dimse(port)).store(sent)
    assert done.count == 0
    (failure,) = done.failed
    assert (failure.what, failure.reason) == ("slice0.dcm", "The archive refused it: it is full (0xA700).")


def test_a_search_is_nowhere_in_the_log(
    archives: ArchivesFile, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        for name in ("web", "dimse"):
            open_archive(name, archives).find_studies(Query(patient="CANARY-4711"))
    out, err = capfd.readouterr()
    assert "CANARY" not in caplog.text + out + err


def test_answers_that_contradict_the_search_are_dropped() -> None:
    """An archive that ignores the patient would hand out another one's study."""
    from pydicom.dataset import Dataset

    from workbench.pacs.archive import fits_study
    from workbench.pacs.matches import study_match

    answer = Dataset()
    answer.StudyInstanceUID, answer.PatientID, answer.StudyDate = "1.2.3", "OTHER", "20240229"
    assert fits_study(Query(since="20240101"), study_match(answer))
    assert not fits_study(Query(patient=PATIENT), study_match(answer))


def test_what_identifies_is_in_no_representation() -> None:
    query = Query(patient="CANARY", accession="CANARY", description="CANARY", study="1.2.3.4711")
    assert "CANARY" not in repr(query)
    assert "4711" not in repr(query) + repr(Selection("1.2.3.4711", "1.2.3.4711.1"))


@pytest.mark.parametrize(
    "given",
    [{"patient": "*"}, {"accession": "A?"}, {"patient": "a\\b"}, {"since": "2024-01-01"}, {"study": "x"}],
)
def test_a_query_that_means_more_than_it_says_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(PacsError) as caught:
        Query(**given)  # type: ignore[arg-type]
    assert next(iter(given.values())) not in str(caught.value)


def over_tls(server: Orthanc, https: int, **changes: object) -> ArchivesFile:
    """The same server over TLS."""
    found = described(server).model_dump(exclude_none=True)["archives"]
    found["web"] |= {"url": f"https://localhost:{https}/dicom-web", "tls": True} | changes
    found["dimse"] |= {"tls": True} | changes
    return ArchivesFile.model_validate({"archives": found})


def test_tls_with_an_authority_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_PACS", f"{USER}:{PASSWORD}")
    ours, another = make(tmp_path / "ours"), make(tmp_path / "another")
    sent = made_series(tmp_path / "sent", study="77")
    with running(tmp_path / "orthanc", tls=ours) as server, encrypted(server.http, ours) as https:
        for name in ("web", "dimse"):
            archive = open_archive(name, over_tls(server, https, ca=ours / "ca.pem"))
            archive.echo()
            assert archive.store(sent).failed == ()
            (study,) = archive.find_studies(Query(accession="ACC77"))
            assert len(archive.retrieve(Selection(study.uid), tmp_path / name).files) == 3
            for wrong in ({"ca": another / "ca.pem"}, {}):
                with pytest.raises(PacsError, match="certificate is not trusted"):
                    open_archive(name, over_tls(server, https, **wrong)).echo()
        with pytest.raises(PacsError, match="closed the connection"):
            open_archive("it", dimse(server.dicom)).echo()


def test_a_certificate_of_ours_is_shown_where_one_is_asked_for(
    orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_PACS", f"{USER}:{PASSWORD}")
    pki = make(tmp_path)
    shown = {"certificate": pki / "client.pem", "key": pki / "client.key"}
    with (
        encrypted(orthanc.http, pki, client=True) as https,
        encrypted(orthanc.dicom, pki, client=True) as dicom,
    ):
        there = Orthanc(orthanc.http, dicom)
        for name in ("web", "dimse"):
            open_archive(name, over_tls(there, https, ca=pki / "ca.pem", **shown)).echo()
            with pytest.raises(PacsError, match=r"`certificate`|cannot be reached"):
                open_archive(name, over_tls(there, https, ca=pki / "ca.pem")).echo()


def test_a_port_without_tls_is_recognised(orthanc: Orthanc) -> None:
    with pytest.raises(PacsError, match=r"No encrypted connection|did not answer|cannot be reached"):
        open_archive("it", dimse(orthanc.dicom, tls=True)).echo()
