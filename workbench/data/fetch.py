"""Download a catalogued dataset into the user's cache: whole and verified, or not at all.

Every file is written under a temporary name and renamed once its checksum matches (pooch); an archive is
unpacked beside its destination and the folder renamed, so an interrupted run leaves nothing that could be
taken for the set. An interrupted download starts again; files already complete are kept.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from workbench.data.card import Card, SourceFile
from workbench.data.catalogue import cache_folder
from workbench.data.layouts import is_present
from workbench.errors import FetchError

_TIMEOUT = 30
pooch.get_logger().setLevel("WARNING")  # its advice on hashes is for programmers


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a download left behind.

    Attributes:
        folder: where the files are.
        unverified: names of files for which the publisher gives no checksum.
    """

    folder: Path
    unverified: tuple[str, ...]


def fetch(card: Card, pixels: int | None = None, cache: Path | None = None, progress: bool = True) -> Fetched:
    """Download a dataset, unless it is there already.

    Args:
        card: what to download.
        pixels: image side, for sets published in several sizes; the smallest by default.
        cache: cache folder; the user's by default.
        progress: show a progress bar per file.

    Raises:
        FetchError: if it has no download address, the connection fails, or a file arrives incomplete or
            altered. What was there before is left as it was.
    """
    files = files_to_fetch(card, pixels)
    folder = (cache or cache_folder()) / "data" / card.place
    unverified = tuple(file.name for file in files if not (file.md5 or file.sha256))
    try:
        if any(file.extract for file in files):
            if not is_present(card, folder):
                _fetch_archives(card, files, folder, progress)
        else:
            for file in files:
                _download(card, file, folder, progress)
    except OSError as error:
        if isinstance(error, requests.RequestException):
            raise
        raise FetchError(f"{card.name}: {folder} cannot be written ({error}). Free some space?") from error
    if not is_present(card, folder):
        raise FetchError(f"{card.name}: was downloaded, but is not laid out as its card says. Report this.")
    return Fetched(folder, unverified)


def files_to_fetch(card: Card, pixels: int | None = None) -> Sequence[SourceFile]:
    """The files of one size of a dataset.

    Raises:
        FetchError: if nothing can be downloaded, or not in that size.
    """
    files = card.source.files
    if not files or any(file.address is None for file in files):
        how = card.source.manual or "Its publisher offers no direct download."
        page = f" Page: {card.source.page}." if card.source.page else ""
        raise FetchError(
            f"{card.name}: has no direct download. {how}{page} Put the files into a "
            f"folder '{card.place}' and name the folder above it with --data or WORKBENCH_DATA."
        )
    sizes = sorted({file.pixels for file in files if file.pixels is not None})
    if not sizes:
        if pixels is not None:
            raise FetchError(f"{card.name}: is published in one size only. Leave out --size.")
        return files
    wanted = sizes[0] if pixels is None else pixels
    if wanted not in sizes:
        offered = ", ".join(map(str, sizes))
        raise FetchError(f"{card.name}: is not published at {wanted} pixels, but at {offered}.")
    return [file for file in files if file.pixels in (None, wanted)]


def _download(card: Card, file: SourceFile, folder: Path, progress: bool) -> Path:
    assert file.address is not None
    known = f"sha256:{file.sha256}" if file.sha256 else f"md5:{file.md5}" if file.md5 else None
    try:
        path = pooch.retrieve(
            file.address,
            known_hash=known,
            fname=file.name,
            path=folder,
            downloader=pooch.HTTPDownloader(progressbar=progress, timeout=_TIMEOUT, chunk_size=1 << 16),
        )
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "an error"
        raise FetchError(
            f"{card.name}: {_host(file)} answered {status} for {file.name}. Try later, or "
            f"download it by hand from {card.source.page}."
        ) from error
    except requests.RequestException as error:
        raise FetchError(
            f"{card.name}: {_host(file)} cannot be reached ({type(error).__name__}). Check the "
            "connection and run the command again; nothing incomplete was kept."
        ) from error
    except ValueError as error:  # pooch's word for a checksum that does not match
        raise FetchError(
            f"{card.name}: {file.name} arrived altered or incomplete (its checksum is not the "
            "published one) and was thrown away. Run the command again."
        ) from error
    found = Path(path)
    if file.size is not None and found.stat().st_size != file.size:
        size = found.stat().st_size
        found.unlink()
        raise FetchError(
            f"{card.name}: {file.name} has {size} bytes where {file.size} are published; it was "
            "thrown away. Run the command again."
        )
    return found


def _fetch_archives(card: Card, files: Sequence[SourceFile], folder: Path, progress: bool) -> None:
    """Build the whole dataset beside its destination, then rename."""
    downloads = folder.parent / f".{folder.name}-downloads"
    arrived = [(file, _download(card, file, downloads, progress)) for file in files]
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as work:
        whole = Path(work) / "whole"
        whole.mkdir()
        for file, path in arrived:
            if file.extract:
                _unpack(card, file, path, whole)
            else:
                target = whole / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        if not is_present(card, whole):
            raise FetchError(f"{card.name}: {files[0].name} is not laid out as its card says. Report this.")
        if folder.exists():
            folder.rename(Path(work) / "old")
        whole.rename(folder)
    shutil.rmtree(downloads, ignore_errors=True)


def _unpack(card: Card, file: SourceFile, path: Path, whole: Path) -> None:
    """Unpack a zip or tar; members that point outside the folder are refused."""
    unpacked = whole.parent / "unpacked"
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(unpacked)  # noqa: S202 - zipfile strips drives, roots and '..'
        else:
            with tarfile.open(path) as archive:
                archive.extractall(unpacked, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        path.unlink()
        raise FetchError(
            f"{card.name}: {file.name} is not a whole archive and was thrown away "
            f"({error}). Run the command again."
        ) from error
    inner = unpacked / file.strip
    for entry in sorted((inner if inner.is_dir() else unpacked).iterdir()):
        shutil.move(entry, whole / entry.name)
    shutil.rmtree(unpacked)


def _host(file: SourceFile) -> str:
    return urlsplit(file.address or "").netloc
