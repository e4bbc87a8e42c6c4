"""An archive that loses, mixes up or breaks instances: each is named, and the others are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from tests.pacs.conftest import made_series
from tests.pacs.orthanc import free_port
from tests.pacs.test_refusals import dimse, web
from tests.pacs.test_round_trip import data_sets
from workbench.errors import PacsError
from workbench.pacs.archive import Limits, Retrieved, Selection
from workbench.pacs.connect import open_archive
from workbench.pacs.multipart import one_part

STUDY = "1.2.826.0.1.3680043.10.999.9"


@contextmanager
def broken_web(bodies: dict[str, bytes | int]) -> Iterator[str]:
    """A DICOMweb service with one series: for each instance what it answers, a body or a status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.split("?")[0].endswith("/instances"):
                known = list(bodies) if "offset=0" in self.path else []
                kind = {"vr": "UI", "Value": [CTImageStorage]}
                listing = [{"00080018": {"vr": "UI", "Value": [uid]}, "00080016": kind} for uid in known]
                self.answer(200, json.dumps(listing).encode(), "application/dicom+json")
                return
            found = bodies[self.path.rsplit("/", 1)[1]]
            if isinstance(found, int):
                self.answer(found, b"", "text/plain")
            else:
                self.answer(200, found, 'multipart/related; type="application/dicom"; boundary=b')

        def answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def part(path: Path) -> bytes:
    return b"".join(one_part([path.read_bytes()], b"b"))


def reasons(found: Retrieved) -> dict[str, str]:
    return {failure.what: failure.reason for failure in found.failed}


def test_what_goes_wrong_with_one_web_instance_leaves_the_others(tmp_path: Path) -> None:
    first, _, third = made_series(tmp_path / "sent")
    bodies: dict[str, bytes | int] = {
        f"{STUDY}.1.1": part(first),
        f"{STUDY}.1.2": 500,
        f"{STUDY}.1.3": part(first),
        f"{STUDY}.1.4": part(third)[:-200],
        f"{STUDY}.1.5": b"\r\n--b\r\n\r\nno image\r\n--b--",
    }
    with broken_web(bodies) as url:
        found = open_archive("it", web(url)).retrieve(Selection(STUDY, f"{STUDY}.1"), tmp_path / "in")
    assert data_sets(found.files) == data_sets([first])
    assert reasons(found) == {
        "instance 2 of 5": "The archive answered 500 (Internal Server Error).",
        "instance 3 of 5": "The archive sent something else.",
        "instance 4 of 5": "What the archive sent is cut short or no DICOM object.",
        "instance 5 of 5": "The archive sent something else.",
    }
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["000001.dcm"]
    assert found.bytes == first.stat().st_size


def test_access_that_is_withdrawn_ends_a_retrieval(tmp_path: Path) -> None:
    with broken_web({f"{STUDY}.1.1": 403}) as url, pytest.raises(PacsError, match="403"):
        open_archive("it", web(url)).retrieve(Selection(STUDY, f"{STUDY}.1"), tmp_path / "in")


def test_a_flood_is_stopped_while_it_comes(tmp_path: Path) -> None:
    flood = b"\r\n--b\r\n\r\n" + b"\0" * 10_000_000
    with broken_web({f"{STUDY}.1.1": flood}) as url:
        archive = open_archive("it", web(url))
        found = archive.retrieve(Selection(STUDY, f"{STUDY}.1"), tmp_path / "in", Limits(bytes=100_000))
    assert "no longer fits" in found.failed[0].reason
    assert list((tmp_path / "in").iterdir()) == []


def test_uids_that_are_none_make_no_address_and_no_warning_quotes_them(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    with broken_web({"../../patients": b""}) as url, pytest.raises(PacsError, match="not DICOMweb"):
        open_archive("it", web(url)).retrieve(Selection(STUDY, f"{STUDY}.1"), tmp_path / "in")
    assert [one for one in recwarn if "patients" in str(one.message)] == []


@contextmanager
def broken_dimse(listed: list[str], sent: list[Path], name_class: bool) -> Iterator[int]:
    """A DIMSE archive that lists some instances and sends others."""

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for uid in listed:
            answer = Dataset()
            answer.QueryRetrieveLevel, answer.SOPInstanceUID = "IMAGE", uid
            if name_class:
                answer.SOPClassUID = CTImageStorage
            yield 0xFF00, answer

    def get(event: evt.Event) -> Iterator[object]:
        yield len(sent)
        for path in sent:
            yield 0xFF00, dcmread(path)

    entity, port = AE("ANY"), free_port()
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
    entity.add_supported_context(CTImageStorage, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_GET, get)]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield port
    finally:
        server.shutdown()


@pytest.mark.parametrize("name_class", [True, False])
def test_instances_lost_or_not_asked_for(tmp_path: Path, name_class: bool) -> None:
    """Also where the archive does not tell what kind of object its instances are."""
    first, _, third = made_series(tmp_path / "sent")
    listed = [f"{STUDY}.1.1", f"{STUDY}.1.2"]
    with broken_dimse(listed, [first, third], name_class) as port:
        found = open_archive("it", dimse(port)).retrieve(Selection(STUDY, f"{STUDY}.1"), tmp_path / "in")
    assert list(data_sets(found.files)) == [f"{STUDY}.1.1"]
    assert reasons(found) == {"instance 2 of 2": "It did not arrive."}


def test_an_instance_that_passes_every_limit_is_broken_off(tmp_path: Path) -> None:
    (path,) = made_series(tmp_path / "sent", slices=1)
    image = dcmread(path)
    image.add_new(0x00091010, "OB", b"\0" * 2**22)
    image.add_new(0x00090010, "LO", "TEST")
    image.save_as(path)
    with broken_dimse([f"{STUDY}.1.1"], [path], True) as port:
        archive = open_archive("it", dimse(port, timeout=2))
        found = archive.retrieve(Selection(STUDY, f"{STUDY}.1"), tmp_path / "in", Limits(bytes=10_000))
    assert found.files == ()
    assert "no longer fits" in found.failed[0].reason


def test_an_archive_that_goes_away_while_files_are_sent(tmp_path: Path) -> None:
    """What it has taken is counted, and the rest is named with the reason."""
    taken: list[str] = []

    def store(event: evt.Event) -> int:
        if taken:
            event.assoc.abort()
        taken.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    entity, port = AE("ANY"), free_port()
    entity.add_supported_context(CTImageStorage, ExplicitVRLittleEndian)
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        done = open_archive("it", dimse(port)).store(made_series(tmp_path))
    finally:
        server.shutdown()
    assert done.count == 1
    assert [failure.what for failure in done.failed] == ["slice1.dcm", "slice2.dcm"]
    assert all("broke off" in failure.reason for failure in done.failed)
