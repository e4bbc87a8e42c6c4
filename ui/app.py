"""Builds the web application, and serves it with the workers that do its jobs.

Called by ``workbench ui``. Without login no other address than this machine's own is served.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import threading
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI

from ui import api, files, login, theme
from ui.page import Page
from ui.protocol import Protocol
from ui.server import Gate
from ui.serving import Serving, is_loopback
from ui.state import Context
from ui.supervise import Job, Workers
from workbench.errors import WorkbenchError
from workbench.service import accounts
from workbench.store.database import Store

_PORTS_TRIED = 20


@dataclass(frozen=True, slots=True)
class Site:
    """A built application.

    Attributes:
        app: ASGI application with the gate in front.
        workers: not yet started.
    """

    app: Gate
    workers: Workers


def build(store: Store, serving: Serving, database: str = "") -> Site:
    """The whole application, not yet served.

    Args:
        store: of the data directory.
        serving: how it is served.
        database: address of a PostgreSQL database for the workers, or empty.

    Raises:
        WorkbenchError: it would not be safe to serve it so.
    """
    serving = serving.checked()
    job = Job(store.data_dir, database, str(serving.weights), serving.pool_slices)
    workers = Workers(job, serving.workers)
    folder = _gradio_folder(store.data_dir)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        shutil.rmtree(folder, ignore_errors=True)

    app = FastAPI(
        title="Few-shot diagnosis workbench",
        summary="Adapt a model to an imaging condition from a few labelled scans, and read new cases.",
        description=api.DESCRIPTION,
        version=api.VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        lifespan=lifespan,
    )
    api.install(app, store, serving, workers)
    app.include_router(files.routes)
    app.include_router(login.router(store, serving))
    if serving.provider is not None:
        from ui import oidc

        app.include_router(oidc.router(store, serving, serving.provider))
    gr.mount_gradio_app(
        app,
        Page(Context(store, login=serving.login)).blocks,
        path="/",
        server_name=serving.host,
        server_port=serving.port,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        blocked_paths=[str(store.data_dir)],
        show_error=False,
        max_file_size=0,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        favicon_path=str(theme.ASSETS / "icon.png"),
        # Once more beside the gate; synchronous, because Gradio has let everybody in by an asynchronous one.
        auth_dependency=_name_of,
        theme=theme.theme(),
        head=theme.head(),
    )
    return Site(Gate(app, store, serving), workers)


def launch(serving: Serving, data_dir: Path, database: str = "", open_browser: bool = False) -> None:
    """Serve until interrupted, and print the address.

    Args:
        serving: how; the next free port is taken if its port is in use.
        data_dir: where everything is kept.
        database: address of a PostgreSQL database, or empty for SQLite in the data directory.
        open_browser: open the page in this machine's browser.

    Raises:
        WorkbenchError: it would not be safe, or no port is free.
        StoreError: the data directory or the database cannot be used.
    """
    serving = serving.checked()
    store = Store.open(data_dir, database or None)
    try:
        _serve(store, serving, data_dir, database, open_browser)
    finally:
        store.close()


def _serve(store: Store, serving: Serving, data_dir: Path, database: str, open_browser: bool) -> None:
    listening = _listen(serving.host, serving.port)
    taken = int(listening.getsockname()[1])
    if taken != serving.port:
        print(f"Port {serving.port} is in use.")
    serving = replace(serving, port=taken)
    site = build(store, serving, database)
    try:
        address = _address(serving)
        _tell(store, serving, address, data_dir, database)
        site.workers.start()
        if open_browser:
            threading.Timer(2.0, webbrowser.open, (address,)).start()
        uvicorn.Server(config(site, serving)).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()
        site.workers.close()


def config(site: Site, serving: Serving) -> uvicorn.Config:
    """The server's settings: no access log (it would hold identifiers), slow clients given up."""
    return uvicorn.Config(
        site.app,
        http=Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=bool(serving.proxy),
        forwarded_allow_ips=serving.proxy or None,
        ssl_certfile=None if serving.tls_cert is None else str(serving.tls_cert),
        ssl_keyfile=None if serving.tls_key is None else str(serving.tls_key),
        limit_concurrency=512,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=2,
    )


def _address(serving: Serving) -> str:
    host = f"[{serving.host}]" if ":" in serving.host else serving.host
    if serving.host in ("0.0.0.0", "::"):  # noqa: S104
        host = serving.allow_hosts[0]
    return f"{'https' if serving.tls_cert else 'http'}://{host}:{serving.port}"


def _tell(store: Store, serving: Serving, address: str, data_dir: Path, database: str) -> None:
    where = " and in the PostgreSQL database" if database else ""
    print(f"Few-shot diagnosis workbench: {address}\nEverything is kept in {data_dir}{where}.")
    if not serving.login:
        print(
            "There is no login: whoever uses this machine can use the page, and no other machine is served."
        )
    elif not any(user.name != accounts.LOCAL for user in accounts.users(store, accounts.CONSOLE)):
        print("Nobody can sign in yet: workbench users add NAME --role admin")
    print("Stop with Ctrl+C.", flush=True)


def _name_of(request: gr.Request) -> str | None:
    actor = getattr(request.state, "actor", None)
    return None if actor is None else actor.user_id


def _gradio_folder(data_dir: Path) -> Path:
    """Gradio's own folder, made before Gradio would make it readable to all; nothing is uploaded to it."""
    folder = data_dir / "gradio"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    return folder


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket, on the port asked for or (on this machine's own address) the next free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tried = _PORTS_TRIED if is_loopback(host) else 1
    for candidate in range(port, min(port + tried, 65536)):
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
