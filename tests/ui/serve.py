"""Serves a page in this process, on a free port."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn

from ui.app import build, config
from ui.serving import Serving
from ui.supervise import Workers
from workbench.store.database import Store


@dataclass(frozen=True)
class Served:
    """A page that is served.

    Attributes:
        address: without a slash at its end.
        store: of its data directory.
        workers: that do its jobs.
    """

    address: str
    store: Store
    serving: Serving
    workers: Workers


@contextmanager
def served(data_dir: Path, serving: Serving) -> Iterator[Served]:
    """The page with its workers, on a free port of this machine."""
    listening = socket.create_server(("127.0.0.1", 0))
    serving = replace(serving, port=listening.getsockname()[1])
    store = Store.open(data_dir)
    site = build(store, serving)
    scheme = "https" if serving.tls_cert else "http"
    try:
        site.workers.start()
        with running(uvicorn.Server(config(site, serving)), listening):
            yield Served(f"{scheme}://127.0.0.1:{serving.port}", store, serving, site.workers)
    finally:
        site.workers.close()
        store.close()


@contextmanager
def running(server: uvicorn.Server, listening: socket.socket) -> Iterator[None]:
    """The server in a thread of its own, until the block ends."""
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield
    server.should_exit = True
    thread.join(timeout=20)
