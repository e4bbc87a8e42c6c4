"""A zip whose every member is named in a manifest by size and SHA-256, and whose manifest is signed.

Ed25519 (RFC 8032) with the site's own key. The public key is in the archive: that the signature holds shows
that nothing was changed since it was made; who made it shows only the key's fingerprint, compared with one
that was got some other way.

Reading trusts nothing: the names are a closed set, sizes are bounded before anything is unpacked, and what
is unpacked never chooses where it goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from workbench.errors import BundleError, StoreError
from workbench.service.serial import dumped, loaded

FORMAT = 1
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
KEY_FILE = "signing.key"
_NAME = re.compile(
    r"(readme\.txt|plan\.json|readings\.json|model\.safetensors)|(support|cases)/[0-9]{6}\.safetensors"
)
_MOST_MEMBERS = 100_000
_MOST_BYTES = 64 * 2**30
_MOST_MANIFEST = 32 * 2**20
_CHUNK = 2**20
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """A member: its name, size in bytes and SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is signed.

    Attributes:
        public_key: raw Ed25519 key, 64 hexadecimal digits.
        members: everything else in the archive, by name.
        format, kind: of the archive.
    """

    public_key: str
    members: tuple[MemberRecord, ...]
    format: int = FORMAT
    kind: str = "case-bundle"


def site_key(data_dir: Path) -> Ed25519PrivateKey:
    """The key that this installation signs with, made when first asked for and readable by its owner only.

    Raises:
        StoreError: it can be neither read nor made.
    """
    path = data_dir / KEY_FILE
    try:
        if not path.exists():
            _make_key(path)
        found = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise StoreError(f"{KEY_FILE} can be neither read nor made. Restore it from a backup.") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise StoreError(f"{KEY_FILE} is a key of another kind. Restore it from a backup.")
    return found


def fingerprint(public_key: str) -> str:
    """SHA-256 of a raw public key: what people compare."""
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()


def public_of(key: Ed25519PrivateKey) -> str:
    """The public half, as a manifest holds it."""
    return key.public_key().public_bytes_raw().hex()


def is_member(name: str) -> bool:
    """Whether a bundle may have a member of that name."""
    return _NAME.fullmatch(name) is not None


def write_sealed(path: Path, members: Iterable[tuple[str, bytes | Path]], key: Ed25519PrivateKey) -> None:
    """Write an archive.

    Args:
        path: new.
        members: names and contents.
        key: signs the manifest.
    """
    records = []
    with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members:
            if not is_member(name):
                raise ValueError(f"no member of a bundle is called {name!r}")
            sha, size = hashlib.sha256(), 0
            with (
                BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source,
                archive.open(_entry(name), "w", force_zip64=True) as target,
            ):
                while chunk := source.read(_CHUNK):
                    sha.update(chunk)
                    size += len(chunk)
                    target.write(chunk)
            records.append(MemberRecord(name, size, sha.hexdigest()))
        manifest = json.dumps(dumped(Manifest(public_of(key), tuple(records))), indent=1).encode()
        archive.writestr(_entry(MANIFEST), manifest)
        archive.writestr(_entry(SIGNATURE), key.sign(manifest))


def open_sealed(path: Path, folder: Path) -> Manifest:
    """Check an archive and unpack it.

    Args:
        path: of unknown origin.
        folder: empty; members are written below it under their names.

    Raises:
        BundleError: it is no bundle, too large, was signed wrongly, or a member is missing, added or changed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = _checked_manifest(archive)
            for member in manifest.members:
                _unpack(archive, member, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise BundleError(f"{path.name}: is damaged or no bundle. Ask for it again.") from error
    except OSError as error:
        raise BundleError(f"{path.name}: cannot be read ({error.strerror}).") from error
    return manifest


def _checked_manifest(archive: zipfile.ZipFile) -> Manifest:
    entries = archive.infolist()
    if len(entries) > _MOST_MEMBERS:
        raise BundleError("The bundle has too many members. It was not made by the workbench.")
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names) or not {MANIFEST, SIGNATURE} <= set(names):
        raise BundleError("The bundle has no manifest, no signature, or a member twice. Ask for it again.")
    text = _bounded(archive, MANIFEST, _MOST_MANIFEST)
    try:
        manifest = loaded(Manifest, json.loads(text))
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(manifest.public_key))
        key.verify(_bounded(archive, SIGNATURE, 64), text)
    except InvalidSignature:
        raise BundleError("The signature does not fit: the manifest was changed after signing.") from None
    except (ValidationError, ValueError, RecursionError) as error:
        raise BundleError("The manifest is damaged. Ask for the bundle again.") from error
    if manifest.format != FORMAT or manifest.kind != "case-bundle":
        raise BundleError(f"The bundle has format {manifest.format}; this version reads {FORMAT}.")
    signed = [member.name for member in manifest.members]
    added = set(names) - {MANIFEST, SIGNATURE} - set(signed)
    missing = set(signed) - set(names)
    if added or missing or len(set(signed)) != len(signed):
        odd = min(added | missing, default="a member")
        raise BundleError(f"{_told(odd)}: is missing, or was added after signing.")
    if not all(map(is_member, signed)):
        raise BundleError("The bundle names a file that no bundle has. It was not made by the workbench.")
    if sum(member.size for member in manifest.members) > _MOST_BYTES or any(
        member.size < 0 for member in manifest.members
    ):
        raise BundleError(f"The bundle is larger than {_MOST_BYTES // 2**30} GiB unpacked.")
    return manifest


def _unpack(archive: zipfile.ZipFile, member: MemberRecord, folder: Path) -> None:
    target = folder / member.name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    sha, left = hashlib.sha256(), member.size
    with _opened(archive, member.name) as source, target.open("xb") as stream:
        while chunk := source.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            sha.update(chunk)
            stream.write(chunk)
    if left != 0 or sha.hexdigest() != member.sha256:
        raise BundleError(f"{member.name}: was changed after signing; its SHA-256 is not the one signed.")


def _bounded(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    with _opened(archive, name) as source:
        content = source.read(most + 1)
    if len(content) > most:
        raise BundleError(f"{name}: is too large. The bundle was not made by the workbench.")
    return content


def _opened(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    entry = archive.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError(f"{name}: is compressed in a way that no bundle is.")
    return archive.open(entry)


def _told(name: str) -> str:
    """A foreign name as it may be printed."""
    return "".join(c if c.isprintable() else "?" for c in name)[:60]


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _FIXED_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


def _make_key(path: Path) -> None:
    """Write a new key so that of several processes starting at once exactly one decides."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
