"""Pseudonymous patient keys.

A key is a keyed HMAC, so that nobody who sees it can try all patient numbers. The secret is made once per
installation and lives in the user's data folder, never in a model or an export. Called by the readers and
by whoever reads a patient column from a table.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from functools import lru_cache
from pathlib import Path

from platformdirs import user_data_path

from workbench.errors import WorkbenchError

KEY_BYTES = 32
SHOWN_DIGITS = 20
MOST_DAYS = 3650
_PADDING = " \x00"


def patient_key(raw_id: str) -> str:
    """Pseudonym of a patient identifier: 20 hexadecimal digits (80 bits) of HMAC-SHA256.

    Leading and trailing blanks are ignored, as DICOM pads with them. The same identifier gives the same key
    in one installation and unrelated keys in two.

    Raises:
        WorkbenchError: the secret can be neither read nor made.
    """
    digest = hmac.new(_secret(key_file()), raw_id.strip(_PADDING).encode(), hashlib.sha256)
    return digest.hexdigest()[:SHOWN_DIGITS]


def pseudonym_uid(uid: str) -> str:
    """Another UID for a UID, always the same one in this installation: ``2.25.`` and 128 bits of HMAC-SHA256.

    ISO/IEC 9834-8 form (PS3.5 B.2), so that references between files go on to hold.
    """
    digest = hmac.new(_secret(key_file()), f"uid {uid.strip(_PADDING)}".encode(), hashlib.sha256)
    return f"2.25.{int.from_bytes(digest.digest()[:16], 'big')}"


def shift_days(raw_id: str) -> int:
    """By how many days all dates of a patient move: 1 to `MOST_DAYS` into the past, the same for all
    files."""
    digest = hmac.new(_secret(key_file()), f"days {raw_id.strip(_PADDING)}".encode(), hashlib.sha256)
    return -(1 + int.from_bytes(digest.digest()[:8], "big") % MOST_DAYS)


def key_file() -> Path:
    """Where the secret lives: ``WORKBENCH_KEY_FILE``, or ``patient.key`` in the user's data folder."""
    named = os.environ.get("WORKBENCH_KEY_FILE")
    return Path(named) if named else user_data_path("fewshot-workbench") / "patient.key"


@lru_cache(maxsize=4)
def _secret(path: Path) -> bytes:
    try:
        if not path.exists():
            _make(path)
        secret = path.read_bytes()
    except OSError as error:
        raise WorkbenchError(
            f"The patient key file {path.name} can be neither read nor made ({error.strerror}). "
            "Point WORKBENCH_KEY_FILE at a private, writable place."
        ) from error
    if len(secret) < KEY_BYTES:
        raise WorkbenchError(
            f"The patient key file {path.name} is shorter than {KEY_BYTES} bytes. "
            "Restore it from a backup, or remove it to begin with new patient keys."
        )
    return secret


def _make(path: Path) -> None:
    """Write a new secret so that of several processes starting at once exactly one decides."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
