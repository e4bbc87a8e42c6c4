"""The gate: which requests are answered at all, and with which headers."""

from __future__ import annotations

import inspect
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import gradio as gr
import httpx
import pytest
from starlette.testclient import TestClient

from tests.pacs import certificates
from ui import app as application
from ui.app import build
from ui.server import Gate
from ui.serving import Serving
from workbench.errors import WorkbenchError
from workbench.service import accounts
from workbench.service.kinds import Role
from workbench.store.database import Store

from .people import PASSWORD, Person, client, signed_in
from .serve import Served, served

EVERYWHERE = (
    "/",
    "/config",
    "/health",
    "/login",
    "/api/v1/me",
    "/api/v1/openapi.json",
    "/files/preview/x",
    "/x",
)


@dataclass(frozen=True)
class Built:
    """An application that is not served: behind a proxy that ends TLS, under a public name."""

    app: Gate
    store: Store

    @property
    def blocks(self) -> gr.Blocks:
        (mounted,) = (
            route.app for route in self.app._app.routes if hasattr(getattr(route, "app", None), "get_blocks")
        )
        return mounted.get_blocks()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    serving = Serving(login=True, workers=0, allow_hosts=("wb.example.org",), proxy="127.0.0.1")
    store = Store.open(tmp_path_factory.mktemp("built") / "data")
    accounts.create_user(store, accounts.CONSOLE, "ada", Role.ADMIN, PASSWORD)
    old = os.umask(0)
    try:
        app = build(store, serving).app
    finally:
        os.umask(old)
    yield Built(app, store)
    store.close()


@pytest.mark.parametrize("path", EVERYWHERE)
def test_every_answer_carries_the_security_headers(department: Served, ada: Person, path: str) -> None:
    with client(department.address) as nobody:
        for http in (ada.http, nobody):
            headers = http.get(path).headers
            assert "frame-ancestors" in headers["content-security-policy"]
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cache-control"] == "no-store"
            assert "access-control-allow-origin" not in headers
            assert "server" not in headers
            assert "strict-transport-security" not in headers, "it is plain HTTP"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]"])
def test_a_name_that_is_not_served_is_refused(department: Served, ada: Person, host: str) -> None:
    for path in ("/", "/api/v1/me", "/login", "/health"):
        assert ada.http.get(path, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://{host}"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_an_evil_origin_is_refused_and_never_reflected_with_credentials(
    department: Served, ada: Person, headers: dict[str, str]
) -> None:
    host = department.address.removeprefix("http://")
    sent = {name: value.format(host=host) for name, value in headers.items()}
    for path in ("/config", "/api/v1/me", "/gradio_api/queue/data?session_hash=x", "/files/preview/x"):
        answer = ada.http.get(path, headers=sent)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_an_evil_origin_is_not_reflected_under_a_public_host_name_either(built: Built) -> None:
    own, evil = {"Origin": "https://wb.example.org"}, {"Origin": "http://evil.example"}
    with TestClient(built.app, base_url="https://wb.example.org") as http:
        form = {"name": "ada", "password": PASSWORD}
        assert http.post("/login", data=form, headers=evil).status_code == 403
        http.post("/login", data=form, headers=own)
        assert http.get("/api/v1/me").status_code == 200
        for answer in (http.get("/config", headers=evil), http.options("/config", headers=evil)):
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers


def test_a_change_by_cookie_needs_the_header_and_a_foreign_form_cannot_send_it(
    department: Served, ada: Person
) -> None:
    del ada.http.headers["X-Workbench"]
    body = {"title": "forged"}
    assert ada.http.post("/api/v1/conditions", json=body).status_code == 403
    own = {"Origin": department.address}
    assert ada.http.post("/api/v1/conditions", json=body, headers=own).status_code == 403
    assert ada.http.post("/logout").status_code == 403, "a form's request without an origin"
    answer = ada.http.post("/api/v1/conditions", json=body, headers={"X-Workbench": "1"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/proxy=http://example.org/",
        "/gradio_api/run/predict",
        "/gradio_api/call/handle",
        "/gradio_api/upload",
        "/gradio_api/upload_progress",
        "/gradio_api/stream/a/b/c/playlist.m3u8",
        "/gradio_api/mcp/sse",
        "/gradio_api/openapi.json",
        "/gradio_api/deep_link",
        "/monitoring/summary",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/robots.txt",
    ],
)
def test_routes_that_nothing_needs_are_shut_for_everybody(ada: Person, path: str) -> None:
    for method in ("GET", "POST"):
        assert ada.http.request(method, path).status_code == 404


def test_nothing_is_reached_by_climbing(department: Served, ada: Person) -> None:
    host, port = department.address.removeprefix("http://").split(":")
    cookie = "; ".join(f"{name}={value}" for name, value in ada.http.cookies.items())
    for path in (
        "/assets/../monitoring/summary",
        "/static/..%2f..%2f..%2fetc/passwd",
        "/assets/%2e%2e/config",
    ):
        connection = HTTPConnection(host, int(port), timeout=20)
        connection.request("GET", path, headers={"Cookie": cookie})
        assert connection.getresponse().status in (403, 404)
        connection.close()


def test_gradio_takes_no_uploads_so_that_nobody_reads_anothers_by_its_address(
    department: Served, ada: Person, ben: Person
) -> None:
    answer = ada.http.post("/gradio_api/upload", files={"files": ("a.png", b"secret")})
    assert answer.status_code == 404
    folder = department.store.data_dir / "gradio"
    assert not [path for path in folder.rglob("*") if path.is_file()]
    for person in (ada, ben):
        assert person.http.get(f"/gradio_api/file={folder}/a.png").status_code == 404


def test_gradio_itself_also_asks_who_is_there_and_synchronously(built: Built) -> None:
    assert not inspect.iscoroutinefunction(application._name_of)
    # Past the gate, to what stands behind it.
    with TestClient(built.app._app, base_url="http://127.0.0.1:7860") as http:
        assert http.get("/config").status_code == 401
        assert http.post("/gradio_api/queue/join", json={"data": [], "fn_index": 0}).status_code == 401


def test_everything_gradio_could_open_is_closed(built: Built) -> None:
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    blocks = built.blocks
    assert blocks.allowed_paths == []
    assert str(built.store.data_dir) in blocks.blocked_paths
    assert blocks.ssr_mode is False
    assert blocks.analytics_enabled is False
    assert blocks.show_error is False
    assert not blocks.mcp_server_obj
    assert not blocks.share_url
    assert not blocks.enable_monitoring


def test_the_page_has_no_component_that_opens_files_or_foreign_code(built: Built) -> None:
    kinds = {type(block).__name__ for block in built.blocks.blocks.values()}
    assert not kinds & {"File", "UploadButton", "FileExplorer", "Image", "Gallery", "Interface", "State"}
    assert "Timer" in kinds, "jobs are polled"
    assert all(fn.api_visibility == "private" for fn in built.blocks.fns.values())


def test_gradios_own_folder_is_private_and_gone_with_the_server(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        folder = application._gradio_folder(tmp_path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
    with served(tmp_path / "data", Serving(workers=0)) as site:
        folder = site.store.data_dir / "gradio"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_websockets_are_not_spoken(department: Served, ada: Person) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "x",
        "Sec-WebSocket-Version": "13",
    }
    assert ada.http.get("/gradio_api/queue/join", headers=upgrade).status_code != 101


@pytest.mark.parametrize(
    ("serving", "said"),
    [
        (Serving(host="0.0.0.0"), "Add --login"),
        (Serving(host="192.0.2.1"), "Add --login"),
        (Serving(host="example.org"), "Add --login"),
        (Serving(host="::"), "Add --login"),
        (Serving(host="192.0.2.1", login=True), "in clear"),
        (Serving(host="0.0.0.0", login=True, proxy="10.0.0.2"), "--allow-host"),
        (Serving(tls_cert=Path("a.pem")), "both"),
        (Serving(tls_cert=Path("a"), tls_key=Path("b"), proxy="10.0.0.2"), "choose one"),
    ],
)
def test_it_is_served_to_this_machine_only_unless_that_is_safe(serving: Serving, said: str) -> None:
    with pytest.raises(WorkbenchError, match=said):
        serving.checked()


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with application._listen("127.0.0.1", port) as other:
            assert port < other.getsockname()[1] <= port + 20


def test_without_login_whoever_opens_the_page_here_is_its_one_person(address: str) -> None:
    with client(address) as http:
        assert http.get("/api/v1/me").status_code == 401, "another site's script has no cookie"
        opened = http.get("/")
        assert opened.status_code == 200
        assert b"SameSite=Strict" in opened.headers["set-cookie"].encode()
        me = http.get("/api/v1/me").json()["actor"]
        assert (me["name"], me["role"]) == ("local", "admin")
        assert http.get("/login").headers["location"] == "/"


def test_neither_queries_nor_cookies_are_logged(
    department: Served, ada: Person, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (cookie,) = ada.http.cookies.values()
    ada.http.get("/api/v1/conditions?secret=patient-4711")
    ada.http.get("/api/v1/conditions/patient-4711")
    ada.http.post("/api/v1/conditions", json={"title": ["patient-4711"]})
    written = "".join(capfd.readouterr()) + caplog.text
    ours = [line for line in written.splitlines() if "HTTP Request" not in line]  # httpx's own, of this test
    assert "patient-4711" not in "".join(ours)
    assert cookie not in "".join(ours)


def test_under_tls_the_cookie_is_bound_to_the_host_and_plain_http_is_forbidden_for_a_year(
    built: Built,
) -> None:
    with TestClient(built.app, base_url="https://wb.example.org", follow_redirects=False) as http:
        form = {"name": "ada", "password": PASSWORD}
        plain = http.post("/login", data=form, headers={"Origin": "http://wb.example.org"})
        assert plain.status_code == 403, "a page over plain HTTP is another origin"
        answer = http.post("/login", data=form, headers={"Origin": "https://wb.example.org"})
        assert answer.headers["set-cookie"].startswith("__Host-workbench_")
        assert "; Secure" in answer.headers["set-cookie"]
        assert "max-age=31536000" in answer.headers["strict-transport-security"]


def test_with_a_certificate_the_page_is_served_by_tls(tmp_path: Path) -> None:
    made = certificates.make(tmp_path / "certificates")
    serving = Serving(login=True, workers=0, tls_cert=made / "server.pem", tls_key=made / "server.key")
    with served(tmp_path / "data", serving) as site:
        accounts.create_user(site.store, accounts.CONSOLE, "ada", Role.ADMIN, PASSWORD)
        trusting = ssl.create_default_context(cafile=str(made / "ca.pem"))
        with signed_in(site.address, "ada", verify=trusting) as person:
            assert person.ask("GET", "/api/v1/me")["actor"]["name"] == "ada"
        with pytest.raises(httpx.HTTPError):
            httpx.get(site.address.replace("https", "http"), timeout=5)


def test_a_defect_is_answered_and_logged_by_kind_and_place_alone(
    built: Built, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    message = "duplicate key (name)=(Jane Doe)"

    def broken(*_: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(accounts, "users", broken)
    own = {"Origin": "https://wb.example.org"}
    with TestClient(built.app, base_url="https://wb.example.org") as http:
        http.post("/login", data={"name": "ada", "password": PASSWORD}, headers=own)
        answer = http.get("/api/v1/users")
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "RuntimeError" in caplog.text
    assert "broken" in caplog.text
    assert "Jane" not in caplog.text + answer.text
