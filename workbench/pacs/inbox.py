"""The private folder that received instances are written into, bounded in number and bytes.

File names are running numbers: the UIDs and names of DICOM objects identify people. Called by both
protocols and the receiver.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from workbench.errors import PacsError
from workbench.pacs.archive import Limits


def make_private(name: str, folder: Path) -> None:
    """Make a folder that only its owner can enter (0700).

    Args:
        name: whose it is, for messages.
        folder: may be there if it is empty.

    Raises:
        PacsError: it is not empty, or cannot be made or made private.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise PacsError(
                name,
                f"The folder {folder.name} is not empty.",
                "Choose a new one: patients must not be mixed.",
            )
        folder.chmod(0o700)
    except OSError as error:
        raise PacsError(
            name, f"The folder {folder.name} cannot be made or made private.", "Choose another place."
        ) from error


class InboxFull(Exception):
    """A limit is reached; callers name the instance that no longer fits."""


class Inbox:
    """Writes files ``000001.dcm``, ``000002.dcm``, ...; safe for several threads.

    Args:
        name: of the archive, for messages.
        folder: made if it is not there, and made private (0700); must be empty.
        limits: what may be written in all.

    Raises:
        PacsError: the folder is not empty, or cannot be made or made private.
    """

    def __init__(self, name: str, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.files: list[Path] = []
        self.bytes = 0
        self._taken = 0
        self._lock = Lock()
        make_private(name, folder)

    def write(self, chunks: Iterable[bytes]) -> Path:
        """Write one instance, whole or not at all.

        Raises:
            InboxFull: a limit would be passed; nothing of the instance is left.
        """
        with self._lock:
            if self._taken >= self.limits.instances:
                raise InboxFull
            self._taken += 1
            path = self.folder / f"{self._taken:06d}.dcm"
        part = path.with_suffix(".part")
        size, done = 0, False
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                for chunk in chunks:
                    with self._lock:
                        if self.bytes + len(chunk) > self.limits.bytes:
                            raise InboxFull
                        self.bytes += len(chunk)
                    size += len(chunk)
                    stream.write(chunk)
            part.rename(path)
            done = True
        finally:
            with self._lock:
                if done:
                    self.files.append(path)
                else:
                    self.bytes -= size
                    part.unlink(missing_ok=True)
        return path

    def drop(self, path: Path) -> None:
        """Take back a file that turned out not to belong."""
        with self._lock:
            self.files.remove(path)
            self.bytes -= path.stat().st_size
            path.unlink()
