"""Downloads from a server on this machine: whole and verified, or nothing."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.test_layouts import make_card, picture, write_npz
from workbench.data.card import Card
from workbench.data.catalogue import find_data
from workbench.data.fetch import fetch
from workbench.errors import FetchError


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder on the loopback interface; counts requests and can break off in the middle."""

    requests = 0
    break_after: int | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        outputfile.write(source.read(self.server.break_after))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "www").mkdir()
    server = Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path / "www")))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def npz(tmp_path: Path, server: Server) -> Path:
    path = tmp_path / "www" / "cells.npz"
    write_npz(path, np.arange(6 * 784).reshape(6, 28, 28).astype(np.uint8), np.zeros((6, 1), np.uint8))
    return path


def npz_card(server: Server, path: Path, **changes: Any) -> Card:
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    file = {"name": path.name, "address": f"{server.address}/{path.name}", "md5": digest}
    source = {"page": "https://example.org", "files": [file | changes]}
    return make_card({"kind": "npz", "file": "cells.npz"}, source=source)


def files_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_verified_file_arrives_whole_and_is_found(server: Server, npz: Path, tmp_path: Path) -> None:
    card = npz_card(server, npz)
    found = fetch(card, cache=tmp_path / "cache", progress=False)
    assert (found.folder / "cells.npz").read_bytes() == npz.read_bytes()
    assert found.unverified == ()
    assert find_data(card, tmp_path / "cache" / "data") == found.folder


def test_a_file_that_is_there_is_not_downloaded_again(server: Server, npz: Path, tmp_path: Path) -> None:
    card = npz_card(server, npz)
    for _ in range(2):
        fetch(card, cache=tmp_path / "cache", progress=False)
    assert server.requests == 1


def test_an_altered_file_leaves_nothing(server: Server, npz: Path, tmp_path: Path) -> None:
    card = npz_card(server, npz)
    npz.write_bytes(npz.read_bytes()[:-1] + b"!")
    with pytest.raises(FetchError, match=r"cells\.npz.*checksum"):
        fetch(card, cache=tmp_path / "cache", progress=False)
    assert files_in(tmp_path / "cache") == []


def test_a_broken_connection_leaves_nothing_and_a_second_run_is_whole(
    server: Server, npz: Path, tmp_path: Path
) -> None:
    card = npz_card(server, npz)
    server.break_after = npz.stat().st_size // 2
    with pytest.raises(FetchError):
        fetch(card, cache=tmp_path / "cache", progress=False)
    assert files_in(tmp_path / "cache") == []
    server.break_after = None
    found = fetch(card, cache=tmp_path / "cache", progress=False)
    assert (found.folder / "cells.npz").read_bytes() == npz.read_bytes()


def test_a_broken_connection_is_noticed_without_a_checksum(server: Server, npz: Path, tmp_path: Path) -> None:
    server.break_after = npz.stat().st_size // 2
    with pytest.raises(FetchError):
        fetch(npz_card(server, npz, md5=None), cache=tmp_path / "cache", progress=False)
    assert files_in(tmp_path / "cache") == []


def test_a_damaged_file_in_the_cache_is_replaced(server: Server, npz: Path, tmp_path: Path) -> None:
    card = npz_card(server, npz)
    found = fetch(card, cache=tmp_path / "cache", progress=False)
    (found.folder / "cells.npz").write_bytes(b"half")
    fetch(card, cache=tmp_path / "cache", progress=False)
    assert (found.folder / "cells.npz").read_bytes() == npz.read_bytes()


def test_a_missing_checksum_is_reported(server: Server, npz: Path, tmp_path: Path) -> None:
    found = fetch(npz_card(server, npz, md5=None), cache=tmp_path / "cache", progress=False)
    assert found.unverified == ("cells.npz",)


def test_a_wrong_size_is_refused_where_there_is_no_checksum(
    server: Server, npz: Path, tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="bytes"):
        fetch(npz_card(server, npz, md5=None, size=5), cache=tmp_path / "cache", progress=False)
    assert files_in(tmp_path / "cache") == []


def test_the_server_s_refusal_is_named(server: Server, npz: Path, tmp_path: Path) -> None:
    card = npz_card(server, npz, address=f"{server.address}/gone.npz")
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:\d+ answered 404"):
        fetch(card, cache=tmp_path / "cache", progress=False)


def test_no_connection_is_said_as_such(server: Server, npz: Path, tmp_path: Path) -> None:
    card = npz_card(server, npz, address="http://127.0.0.1:1/cells.npz")
    with pytest.raises(FetchError, match="cannot be reached"):
        fetch(card, cache=tmp_path / "cache", progress=False)


def test_a_set_without_an_address_says_how_to_get_it(tmp_path: Path) -> None:
    source = {"page": "https://example.org/ask", "manual": "Sign the form."}
    card = make_card({"kind": "class_folders"}, source=source)
    with pytest.raises(FetchError, match=r"Sign the form.*https://example\.org/ask.*'cells'"):
        fetch(card, cache=tmp_path / "cache", progress=False)


def test_the_size_asked_for_is_fetched_alone(server: Server, npz: Path, tmp_path: Path) -> None:
    files = []
    for side in (28, 64):
        name = "cells.npz" if side == 28 else "cells_64.npz"
        path = tmp_path / "www" / name
        write_npz(path, np.zeros((6, side, side), np.uint8), np.zeros((6, 1), np.uint8))
        files.append({"name": name, "address": f"{server.address}/{name}", "pixels": side})
    card = make_card({"kind": "npz", "file": "cells.npz"}, source={"page": "x", "files": files})
    found = fetch(card, 64, cache=tmp_path / "cache", progress=False)
    assert files_in(found.folder) == ["cells_64.npz"]
    with pytest.raises(FetchError, match="not published at 50 pixels, but at 28, 64"):
        fetch(card, 50, cache=tmp_path / "cache", progress=False)


def archive_card(server: Server, name: str, **changes: Any) -> Card:
    file = {"name": name, "address": f"{server.address}/{name}", "extract": True, "strip": "Top"}
    source = {"page": "https://example.org", "files": [file | changes]}
    return make_card({"kind": "class_folders"}, source=source)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_an_archive_is_unpacked_without_its_top_folder(server: Server, tmp_path: Path, kind: str) -> None:
    images = [picture(tmp_path / "Top" / label / "x.png", 9) for label in "01"]
    target = tmp_path / "www" / f"cells.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            for path in images:
                archive.write(path, path.relative_to(tmp_path))
    else:
        with tarfile.open(target, "w:gz") as tar:
            tar.add(tmp_path / "Top", "Top")
    card = archive_card(server, f"cells.{kind}")
    for _ in range(2):
        found = fetch(card, cache=tmp_path / "cache", progress=False)
    assert files_in(tmp_path / "cache") == ["data/cells/0/x.png", "data/cells/1/x.png"]
    assert found.folder == tmp_path / "cache" / "data" / "cells"
    assert server.requests == 1


def test_a_broken_archive_leaves_nothing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "www" / "cells.zip").write_bytes(b"PK but no more")
    with pytest.raises(FetchError, match="not a whole archive"):
        fetch(archive_card(server, "cells.zip"), cache=tmp_path / "cache", progress=False)
    assert files_in(tmp_path / "cache") == []


def test_an_archive_laid_out_otherwise_is_refused(server: Server, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "www" / "cells.zip", "w") as archive:
        archive.writestr("Top/other/x.png", b"")
    with pytest.raises(FetchError, match="not laid out"):
        fetch(archive_card(server, "cells.zip"), cache=tmp_path / "cache", progress=False)
    assert not (tmp_path / "cache" / "data" / "cells").exists()


@pytest.mark.parametrize("member", ["../../evil.txt", "/evil.txt"])
def test_a_tar_member_outside_the_folder_is_not_written(server: Server, tmp_path: Path, member: str) -> None:
    with tarfile.open(tmp_path / "www" / "cells.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo(member)
        info.size = 4
        tar.addfile(info, io.BytesIO(b"evil"))
    with pytest.raises(FetchError):
        fetch(archive_card(server, "cells.tar.gz"), cache=tmp_path / "cache", progress=False)
    assert not [path for path in tmp_path.rglob("evil.txt")]
    assert not Path("/evil.txt").exists()
