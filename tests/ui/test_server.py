from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from http.client import HTTPMessage
from pathlib import Path

import pytest

from ui.former.app import _listen, _private_folder
from workbench.errors import WorkbenchError


def ask(
    url: str, headers: dict[str, str] | None = None, data: bytes | None = None
) -> tuple[int, HTTPMessage, bytes]:
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, _rest(error)


def _rest(error: urllib.error.HTTPError) -> bytes:
    """What a refusal says, as far as it arrives: the server closes without reading a refused upload."""
    try:
        return error.read()
    except ConnectionResetError:
        return b""


def upload(former_address: str, cookie: str, name: str, content: bytes) -> tuple[int, bytes]:
    body = (
        f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n--b--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Cookie": cookie}
    for _ in range(5):
        try:
            status, _, answer = ask(f"{former_address}/gradio_api/upload", headers, body)
        except (ConnectionError, urllib.error.URLError):
            continue  # closed by the refusal before its status could be read
        return status, answer
    raise AssertionError("the server never answered an upload")


def cookie_of(former_address: str) -> str:
    _, headers, _ = ask(former_address + "/")
    return headers["set-cookie"].split(";")[0]


def test_the_page_is_answered_with_security_headers_and_a_strict_cookie(former_address: str) -> None:
    status, headers, body = ask(former_address + "/")
    assert status == 200
    assert b"research use" in body
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=Strict" in headers["set-cookie"]
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_other_origins_are_refused(former_address: str, headers: dict[str, str]) -> None:
    for path in ("/config", "/export/readings.csv", "/gradio_api/upload"):
        assert ask(former_address + path, headers)[0] == 403


def test_a_foreign_host_name_is_refused(former_address: str) -> None:
    assert ask(former_address + "/", {"Host": "evil.example"})[0] == 421


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/proxy=http://example.org/",
        "/gradio_api/run/predict",
        "/gradio_api/call/handle",
        "/monitoring/summary",
        "/docs",
        "/openapi.json",
        "/gradio_api/openapi.json",
        "/gradio_api/deep_link",
    ],
)
def test_routes_that_the_page_does_not_need_are_shut(former_address: str, path: str) -> None:
    assert ask(former_address + path)[0] == 404


def test_uploads_need_a_session_and_are_never_served(former_address: str) -> None:
    assert upload(former_address, "", "a.png", b"secret")[0] == 403
    assert upload(former_address, "workbench_1=guess", "a.png", b"secret")[0] == 403
    status, answer = upload(former_address, cookie_of(former_address), "a.png", b"secret pixels")
    assert status == 200
    path = answer.decode().strip('[]"')
    assert Path(path).read_bytes() == b"secret pixels"
    assert ask(f"{former_address}/gradio_api/file={path}")[0] == 404


def test_exports_belong_to_a_session(former_address: str) -> None:
    for name in ("readings.csv", "readings.json", "model.safetensors"):
        assert ask(f"{former_address}/export/{name}")[0] == 404
    status, _, body = ask(f"{former_address}/export/model.safetensors", {"Cookie": cookie_of(former_address)})
    assert status == 404
    assert b"Adapt first" in body


def test_only_this_machine_is_served() -> None:
    for host in ("0.0.0.0", "192.0.2.1", "example.org", "::"):
        with pytest.raises(WorkbenchError, match="no login"):
            _listen(host, 7860)


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _listen("127.0.0.1", port) as other:
            assert port < other.getsockname()[1] <= port + 20


def test_what_a_killed_run_left_behind_is_removed_and_a_running_ones_kept(tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    left = tmp_path / f"workbench-ui-{killed.pid}-abc"
    kept = tmp_path / f"workbench-ui-{os.getpid()}-abc"
    for folder in (left, kept):
        (folder / "sessions").mkdir(parents=True)
    made = _private_folder(tmp_path)
    assert made.stat().st_mode & 0o077 == 0
    assert not left.exists()
    assert kept.exists()
