"""Keeping account of a retrieval: what was expected, what has arrived, what is missing and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydicom.uid import UID

from workbench.errors import PacsError
from workbench.pacs.archive import Failure, Limits, Progress, Retrieved
from workbench.pacs.inbox import Inbox, InboxFull
from workbench.pacs.matches import Instance
from workbench.pacs.sopclasses import STORAGE


class Arrivals:
    """Instances on their way into a folder.

    Args:
        name: of the archive.
        listing: what the archive says there is.
        folder, limits: see `Inbox`.
        progress: told after each instance.

    Raises:
        PacsError: there is nothing, or more than `limits.instances`, or the folder cannot be used.
    """

    def __init__(
        self, name: str, listing: Sequence[Instance], folder: Path, limits: Limits, progress: Progress
    ) -> None:
        if not listing:
            raise PacsError(
                name, "It has no instances of what was selected.", "Look at what `workbench pacs find` lists."
            )
        if len(listing) > limits.instances:
            raise PacsError(
                name,
                f"The selection has {len(listing):,} instances; {limits.instances:,} are allowed.",
                "Select one series, or raise the limit.",
            )
        self.inbox = Inbox(name, folder, limits)
        self.full = False
        self._numbers = {instance.uid: number for number, instance in enumerate(listing, start=1)}
        self._open = {instance.uid for instance in listing}
        self._failed: dict[str, str] = {}
        self._progress = progress
        for instance in listing:
            if instance.sop_class and instance.sop_class not in STORAGE:
                kind = UID(instance.sop_class).name
                self.fail(instance.uid, f"It is of a kind that is not retrieved ({kind}).")

    def wanted(self, instances: Iterable[Instance]) -> list[Instance]:
        """Those that have neither arrived nor failed."""
        return [instance for instance in instances if instance.uid in self._open]

    def take(self, uid: str, chunks: Iterable[bytes]) -> Path | None:
        """Write an instance; None, and nothing written, where it was not asked for or no longer fits."""
        if uid not in self._open:
            return None
        try:
            path = self.inbox.write(chunks)
        except InboxFull:
            self.full = True
            return None
        self._close(uid)
        return path

    def fail(self, uid: str, reason: str) -> None:
        """An instance will not arrive, or what has arrived was not it."""
        self._failed[uid] = reason
        if uid in self._open:
            self._close(uid)

    def result(self) -> Retrieved:
        """Everything that is still open counts as failed."""
        missing = "It did not arrive."
        if self.full:
            missing = f"It no longer fits: {self.inbox.limits.bytes / 2**20:,.0f} MiB are allowed in all."
        reasons = self._failed | dict.fromkeys(self._open, missing)
        total = len(self._numbers)
        failed = sorted((self._numbers[uid], reason) for uid, reason in reasons.items())
        return Retrieved(
            tuple(sorted(self.inbox.files)),
            self.inbox.bytes,
            tuple(Failure(f"instance {number} of {total}", reason) for number, reason in failed),
        )

    def _close(self, uid: str) -> None:
        self._open.discard(uid)
        self._progress(len(self._numbers) - len(self._open), len(self._numbers))
