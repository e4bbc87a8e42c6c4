"""Builds the web application and serves it on this machine's loopback address.

Called by ``workbench ui``. There is no login yet, so that no other address is served.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response

from ui.former import exports, theme, work
from ui.former.page import Page
from ui.former.server import Gate, read_cookie
from ui.former.session import Session, Sessions
from ui.former.work import Engine
from workbench.errors import ModelFileError, WorkbenchError
from workbench.weights import DEFAULT

MAX_UPLOAD = "2gb"
_PORTS_TRIED = 20
_PREFIX = "workbench-ui-"


@dataclass(frozen=True, slots=True)
class Site:
    """A built application.

    Attributes:
        app: ASGI application with the gate in front.
        sessions: of all browsers.
        folder: private to this run; removed by `close`.
    """

    app: Gate
    sessions: Sessions
    folder: Path

    def close(self) -> None:
        """End all sessions and remove every file they kept."""
        _remove(self.sessions, self.folder)


def build(
    weights: str | Path = DEFAULT, port: int = 7860, data_dir: Path | None = None, pool_slices: int = 0
) -> Site:
    """The whole application, not yet served.

    Args:
        weights: a shipped name, or a learner file.
        port: that it will be served on; part of the cookie's name.
        data_dir: where the run's private folder is made; the system's temporary folder by default.
        pool_slices: see `Engine`.

    Raises:
        ModelFileError: there are no such weights, or the file is damaged.
    """
    engine = Engine(weights, pool_slices)
    if data_dir is not None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = _private_folder(data_dir)
    uploads = folder / "uploads"
    uploads.mkdir(mode=0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    sessions = Sessions(folder / "sessions")
    (folder / "sessions").mkdir(mode=0o700)
    cookie = f"workbench_{port}"
    page = Page(engine, sessions, cookie)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        # Here and not only in `launch`: a terminated server gets no further than this.
        _remove(sessions, folder)

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    _add_exports(app, sessions, cookie)
    gr.mount_gradio_app(
        app,
        page.blocks,
        path="/",
        server_name="127.0.0.1",
        server_port=port,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        blocked_paths=[str(folder / "sessions")],
        show_error=False,
        max_file_size=MAX_UPLOAD,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        favicon_path=str(theme.ASSETS / "icon.png"),
        theme=theme.theme(),
        head=theme.head(),
    )
    return Site(Gate(app, sessions, cookie), sessions, folder)


def launch(
    host: str = "127.0.0.1",
    port: int = 7860,
    weights: str | Path = DEFAULT,
    data_dir: Path | None = None,
    pool_slices: int = 0,
) -> None:
    """Serve the page until interrupted, and print its address.

    Args:
        host: a loopback address.
        port: the next free one is taken if it is in use.
        weights: a shipped name, or a learner file.
        data_dir: where scans are kept while somebody works; everything is removed at the end.

    Raises:
        WorkbenchError: the address is not this machine's own, or no port is free.
        ModelFileError: there are no such weights.
    """
    listening = _listen(host, port)
    taken = listening.getsockname()[1]
    site = build(weights, taken, data_dir)
    name = f"[{host}]" if ":" in host else host
    try:
        if taken != port:
            print(f"Port {port} is in use.")
        print(f"Few-shot diagnosis workbench: http://{name}:{taken}\nStop with Ctrl+C.", flush=True)
        config = uvicorn.Config(
            site.app, log_level="warning", server_header=False, timeout_graceful_shutdown=2, access_log=False
        )
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()
        site.close()


def _private_folder(parent: Path | None) -> Path:
    """A folder for this run, with no rights for others; what runs that were killed left behind is removed."""
    root = parent or Path(tempfile.gettempdir())
    for left in root.glob(f"{_PREFIX}*-*"):
        process = left.name.removeprefix(_PREFIX).split("-")[0]
        if process.isdecimal() and not _is_running(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))  # made 0700


def _is_running(process: int) -> bool:
    if os.name != "posix":
        return True  # there is no harmless way to ask
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _remove(sessions: Sessions, folder: Path) -> None:
    sessions.close()
    shutil.rmtree(folder, ignore_errors=True)


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket on a loopback address, on the port asked for or the next free one."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise WorkbenchError(
            f"The web UI has no login yet and is served on this machine only, not on {host!r}. "
            "Use 127.0.0.1; to reach it from elsewhere, forward the port over ssh."
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, min(port + _PORTS_TRIED, 65536)):
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, candidate))
            return listening
        except OSError as error:
            listening.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise WorkbenchError(
                    f"{host}:{candidate} cannot be listened on: {error.strerror}."
                ) from error
    raise WorkbenchError(f"No port from {port} on is free. Choose another with --port.")


def _add_exports(app: FastAPI, sessions: Sessions, cookie: str) -> None:
    """What a session may take away; the cookie decides whose it is."""

    def session_of(request: Request) -> Session | None:
        return sessions.find(read_cookie(request.headers.get("cookie", ""), cookie))

    @app.get("/health")
    def health() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/export/readings.csv")
    def readings_csv(request: Request, names: bool = False) -> Response:
        session = session_of(request)
        if session is None:
            return _nothing()
        # With a byte order mark, spreadsheets take it for UTF-8.
        text = "\ufeff" + exports.readings_csv(session, names)
        return _download(text, "text/csv; charset=utf-8", "readings.csv")

    @app.get("/export/readings.json")
    def readings_json(request: Request, names: bool = False) -> Response:
        session = session_of(request)
        if session is None:
            return _nothing()
        return _download(exports.readings_json(session, names), "application/json", "readings.json")

    @app.get("/export/model.safetensors")
    def model(request: Request) -> Response:
        session = session_of(request)
        if session is None:
            return _nothing()
        try:
            path = work.save_model(session)
        except ModelFileError as error:
            return PlainTextResponse(str(error), status_code=404)
        return FileResponse(path, media_type="application/octet-stream", filename="model.safetensors")


def _download(text: str, media_type: str, name: str) -> Response:
    return Response(
        text, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'}
    )


def _nothing() -> Response:
    return PlainTextResponse("The session has ended. Reload the page.", status_code=404)
