"""The file that a backup is: a zip whose manifest names the size and SHA-256 of everything in it.

Whoever can hand somebody a file can hand them a hostile one: nothing is read that the manifest does not name,
no name chooses where anything is written, and nothing is read past its stated size.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from workbench.errors import StoreError

FORMAT, MANIFEST = "fewshot-workbench backup 1", "manifest.json"
LARGEST_MANIFEST = 1 << 28
NAMES = re.compile(r"tables/[a-z_]{1,40}\.jsonl|blobs/[0-9a-f]{64}|keys/(signing|secret)\.key")
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """Something in the archive: its name, its size in bytes, its SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive says that it holds.

    Attributes:
        revision: of the tables (`workbench.store.migrate`).
        created: UTC seconds since 1970.
        audit: the head of the audit trail, as `workbench.store.audit.Verdict` has it.
        members: everything but the manifest.
        lacking: digests of blobs that were missing or damaged when it was made.
    """

    revision: str
    created: float
    audit: str
    members: tuple[Member, ...]
    lacking: tuple[str, ...] = ()


def add(archive: zipfile.ZipFile, name: str, source: Iterator[bytes], squeeze: bool) -> Member:
    """Write `source` under `name`, compressed or as it is."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED if squeeze else zipfile.ZIP_STORED
    entry.external_attr = 0o600 << 16
    sha, size = hashlib.sha256(), 0
    with archive.open(entry, "w", force_zip64=True) as target:
        for chunk in source:
            sha.update(chunk)
            size += len(chunk)
            target.write(chunk)
    return Member(name, size, sha.hexdigest())


def add_manifest(archive: zipfile.ZipFile, manifest: Manifest) -> None:
    """Write the manifest, which comes last."""
    text = json.dumps({"format": FORMAT} | asdict(manifest), indent=1)
    add(archive, MANIFEST, iter([text.encode()]), squeeze=True)


@contextmanager
def opened(file: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """An archive whose names, sizes and kinds of entries are as its manifest says; contents are not read yet.

    Raises:
        StoreError: it is no backup, is damaged, or holds what no backup holds.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive, _manifest(archive)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, zlib.error) as error:
        raise _damaged("it cannot be unpacked") from error


def read(archive: zipfile.ZipFile, member: Member) -> bytes:
    """A small member, whole and verified."""
    return b"".join(lines(archive, member))


def lines(archive: zipfile.ZipFile, member: Member) -> Iterator[bytes]:
    """The lines of a member; its digest is compared once the last one was taken.

    Raises:
        StoreError: the content is not what the manifest says.
    """
    sha, left = hashlib.sha256(), member.size
    with archive.open(member.name) as stream:
        # One line may be as long as the member says to be at all, and no longer.
        while line := stream.readline(left + 1):
            left -= len(line)
            sha.update(line)
            if left < 0:
                break
            yield line
    if left or sha.hexdigest() != member.sha256:
        raise _damaged(f"{member.name} is not what was backed up")


@contextmanager
def stream(archive: zipfile.ZipFile, member: Member) -> Iterator[IO[bytes]]:
    """A member's content, which zipfile cuts off at its stated size; the caller compares its digest."""
    with archive.open(member.name) as content:
        yield content


def _manifest(archive: zipfile.ZipFile) -> Manifest:
    entries = archive.infolist()
    by_name = {entry.filename: entry for entry in entries}
    head = by_name.get(MANIFEST)
    if head is None or head.file_size > LARGEST_MANIFEST:
        raise StoreError("The file is no backup of a workbench. Choose one that `workbench backup` wrote.")
    for entry in entries:
        if not _plain(entry) or (entry is not head and not NAMES.fullmatch(entry.filename)):
            raise _damaged("it holds something that no backup holds")
    manifest = _parsed(archive.read(head))
    stated = {member.name: member.size for member in manifest.members}
    found = {entry.filename: entry.file_size for entry in entries if entry is not head}
    if len(by_name) != len(entries) or len(stated) != len(manifest.members) or stated != found:
        raise _damaged("its contents are not those that its manifest names")
    return manifest


def _parsed(text: bytes) -> Manifest:
    try:
        said = json.loads(text)
        if said.pop("format") != FORMAT:
            raise StoreError("A newer version of the workbench wrote this backup. Install that version.")
        members = tuple(Member(str(m["name"]), int(m["size"]), str(m["sha256"])) for m in said.pop("members"))
        return Manifest(
            str(said["revision"]), float(said["created"]), str(said["audit"]), members, tuple(said["lacking"])
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged("its manifest cannot be read") from error


def _plain(entry: zipfile.ZipInfo) -> bool:
    """Whether it is a regular file that is not encrypted."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind in (0, stat.S_IFREG) and not entry.is_dir() and not entry.flag_bits & 0x1


def _damaged(how: str) -> StoreError:
    return StoreError(f"The backup cannot be used: {how}. Nothing was restored; use another one.")
