"""How much a request may send, and how files come in."""

from __future__ import annotations

import io
import os
import pickle
import socket
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.exceptions import HTTPException

from ui import protocol
from ui.limits import Uploads
from ui.serving import LIMITS, Limits, Serving
from workbench.service import accounts
from workbench.service.kinds import Role

from .people import PASSWORD, Person, client, contents, signed_in
from .serve import Served, served


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page with tight limits."""
    limits = Limits(upload=300_000, files=5000, body=2_000, page=10_000, pause=1.0, patience=2.0)
    serving = Serving(login=True, workers=0, limits=limits)
    with served(tmp_path_factory.mktemp("small") / "data", serving) as site:
        for name in ("ada", "ben"):
            accounts.create_user(site.store, accounts.CONSOLE, name, Role.EDITOR, PASSWORD)
        yield site


@pytest.fixture
def uploader(small: Served) -> Iterator[tuple[Person, str]]:
    """Somebody with an import that was begun."""
    with signed_in(small.address, "ada") as person:
        condition = person.condition()
        yield person, person.ask("POST", f"/api/v1/conditions/{condition}/imports", json={})["job"]


def chunks(size: int, boundary: bytes = b"b") -> Iterator[bytes]:
    """A form with one file, without a length being told beforehand."""
    yield b"--" + boundary + b'\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    for _ in range(size // 10_000):
        yield b"x" * 10_000
    yield b"\r\n--" + boundary + b"--\r\n"


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def status_of(
    http: httpx.Client, path: str, content: Iterator[bytes] | bytes, headers: dict[str, str]
) -> int:
    """The status; a server that has refused closes without reading on, which a client may see first."""
    for _ in range(5):
        try:
            return http.post(path, content=content, headers=headers).status_code
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            time.sleep(0.05)
            if not isinstance(content, bytes):
                return 413
    raise AssertionError("never answered")


def test_a_request_that_says_it_is_too_large_is_refused_before_it_is_read(
    uploader: tuple[Person, str],
) -> None:
    person, job = uploader
    path = f"/api/v1/imports/{job}/files"
    assert status_of(person.http, path, b"".join(chunks(400_000)), FORM) == 413
    assert status_of(person.http, path, b"".join(chunks(200_000)), FORM) == 200


def test_a_request_that_does_not_say_is_counted_while_it_streams(uploader: tuple[Person, str]) -> None:
    person, job = uploader
    path = f"/api/v1/imports/{job}/files"
    assert status_of(person.http, path, chunks(400_000), FORM) == 413
    assert person.http.post(path, content=chunks(200_000), headers=FORM).json()["taken"] == 1


@pytest.mark.parametrize("path", ["/api/v1/conditions", "/login", "/gradio_api/queue/join"])
def test_other_bodies_are_limited_too(small: Served, uploader: tuple[Person, str], path: str) -> None:
    headers = {"Content-Type": "application/json", "Origin": small.address}
    assert status_of(uploader[0].http, path, b" " * 20_000, headers) == 413


def test_a_quota_is_kept_to(small: Served, uploader: tuple[Person, str]) -> None:
    person, job = uploader
    user = person.ask("GET", "/api/v1/me")["actor"]["user_id"]
    accounts.set_quota(small.store, accounts.CONSOLE, user, 1000)
    try:
        answer = person.http.post(f"/api/v1/imports/{job}/files", files={"file": ("a.png", b"x" * 2000)})
        assert answer.status_code == 413
        assert "no room" in answer.json()["title"]
    finally:
        accounts.set_quota(small.store, accounts.CONSOLE, user, None)


def test_uploads_at_once_are_counted_for_each_person_and_for_all() -> None:
    uploads = Uploads(replace(LIMITS, uploads_each=1, uploads=2))
    with uploads.one("ada"), uploads.one("ben"):
        for name in ("ada", "cy"):
            with pytest.raises(HTTPException) as refused, uploads.one(name):
                pass
            assert refused.value.status_code == 429
    with uploads.one("cy"):
        pass


def raw(site: Served, *lines: str) -> socket.socket:
    host, port = site.address.removeprefix("http://").split(":")
    made = socket.create_connection((host, int(port)), timeout=20)
    made.sendall("\r\n".join(lines).encode())
    return made


def test_a_body_that_stops_arriving_is_given_up(small: Served, uploader: tuple[Person, str]) -> None:
    host = small.address.removeprefix("http://")
    cookie = "; ".join(f"{name}={value}" for name, value in uploader[0].http.cookies.items())
    lines = (
        "POST /api/v1/conditions HTTP/1.1",
        f"Host: {host}",
        f"Cookie: {cookie}",
        "X-Workbench: 1",
        "Content-Type: application/json",
        "Content-Length: 100",
        "",
        '{"title"',
    )
    with raw(small, *lines) as slow:
        assert b" 408 " in slow.recv(4096).splitlines()[0]


def test_headers_that_trickle_in_are_given_up(small: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.5)
    with raw(small, "GET / HTTP/1.1", "Host: x") as slow:
        slow.sendall(b"\r\nX-A: b")
        assert slow.recv(4096) == b""
    with client(small.address) as http:
        assert http.get("/health").status_code == 200


def test_a_series_of_more_than_a_thousand_files_comes_in_one_request(
    small: Served, uploader: tuple[Person, str]
) -> None:
    person, job = uploader
    files = [("file", (f"series/{i:04}.dcm", b"%d" % i)) for i in range(1200)]
    answer = person.ask("POST", f"/api/v1/imports/{job}/files", files=files)
    assert answer["taken"] == 1200


def test_names_that_climb_stay_inside_and_hold_up_nothing(
    small: Served, uploader: tuple[Person, str]
) -> None:
    person, job = uploader
    names = [
        "../../../evil.png",
        "/etc/evil.png",
        "a/../../evil.png",
        "..\\..\\evil.png",
        "..",
        "ev\x00il.png",
    ]
    files = [("file", (name, b"x")) for name in names] + [("file", ("class/good.png", b"y"))]
    answer = person.ask("POST", f"/api/v1/imports/{job}/files", files=files)
    assert answer["taken"] + len(answer["refused"]) == len(files)
    assert answer["refused"]
    spool = small.store.data_dir / "spool" / job
    kept = [path for path in small.store.data_dir.rglob("*evil*")]
    assert all(path.resolve().is_relative_to(spool) for path in kept)
    assert not Path("/etc/evil.png").exists()


@pytest.mark.parametrize(
    "content",
    [
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
        b"not a form at all",
        b"--b\r\n" + b"X-Long: " + b"y" * 20_000 + b"\r\n\r\nz\r\n--b--\r\n",
    ],
)
def test_a_damaged_form_is_refused_in_words(uploader: tuple[Person, str], content: bytes) -> None:
    person, job = uploader
    answer = person.http.post(f"/api/v1/imports/{job}/files", content=content, headers=FORM)
    assert answer.status_code == 422
    assert "form of files" in answer.json()["title"]


def test_uploads_are_written_where_only_their_owner_may_look(
    small: Served, uploader: tuple[Person, str]
) -> None:
    person, job = uploader
    person.ask("POST", f"/api/v1/imports/{job}/files", files={"file": ("a.png", b"x" * 300_00)})
    for path in (small.store.data_dir, *small.store.data_dir.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path.name


class Canary:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._path),)


def zipped(*members: tuple[str, bytes], links: tuple[str, ...] = ()) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
        for name in links:
            link = zipfile.ZipInfo(name)
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
    return written.getvalue()


def test_hostile_zips_and_pickles_are_refused_and_good_files_come_in(
    department: Served, ben: Person, phantoms: Path, tmp_path: Path
) -> None:
    (name, good), *_ = contents(phantoms)
    canary = tmp_path / "unpickled"
    condition = ben.condition("smooth", "spiculated", title="hostile")
    files = [
        ("climbs.zip", zipped(("../../climbed.dcm", good))),
        ("absolute.zip", zipped(("/tmp/absolute.dcm", good))),
        ("nested.zip", zipped(("inner.zip", zipped(("x.dcm", good))))),
        ("links.zip", zipped(links=("link.dcm",))),
        ("weights.pt", pickle.dumps(Canary(canary))),
        ("weights.ckpt", zipped(("archive/data.pkl", pickle.dumps(Canary(canary))))),
        ("fine.zip", zipped((name, good))),
    ]
    assert ben.bring(condition, files)["state"] == "done"
    (batch,) = ben.ask("GET", f"/api/v1/conditions/{condition}/imports")
    assert len(batch["scans"]) == 1
    assert len(batch["refused"]) >= 6
    assert all(one["reason"] and one["fix"] for one in batch["refused"])
    assert not canary.exists()
    assert not list(department.store.data_dir.rglob("climbed*"))
    assert not Path("/tmp/absolute.dcm").exists()


def test_a_model_cannot_be_uploaded(ben: Person) -> None:
    paths = ben.ask("GET", "/api/v1/openapi.json")["paths"]
    forms = [
        path
        for path, methods in paths.items()
        for about in methods.values()
        if "multipart/form-data" in about.get("requestBody", {}).get("content", {})
    ]
    assert forms == ["/api/v1/imports/{job_id}/files"]


def test_a_job_goes_on_when_the_browser_that_asked_is_gone(department: Served, phantoms: Path) -> None:
    with signed_in(department.address, "ben") as first:
        condition = first.condition("smooth", "spiculated", title="left alone")
        job = first.ask("POST", f"/api/v1/conditions/{condition}/imports", json={})["job"]
        files = [("file", one) for one in contents(phantoms)]
        first.ask("POST", f"/api/v1/imports/{job}/files", files=files)
        first.ask("POST", f"/api/v1/imports/{job}/commit")
    with signed_in(department.address, "ben") as second:
        assert second.done(job)["state"] == "done"
