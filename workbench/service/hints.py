"""What folders of uploaded files say: the class, and whose scans lie together. Called by the import job."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

_BETWEEN = re.compile(r"[\s_\-.]+")


class Hints:
    """Reads folders as `workbench.data.folders` does: class folders, in them a subfolder for each patient.

    Only names of classes are ever told: any other folder name may identify somebody.

    Args:
        classes: names of the condition's classes; none for no hints.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._names = {_plain(name): name for name in classes}

    def label(self, folder: PurePosixPath) -> str:
        """The class whose name a folder has, the innermost first; empty for none."""
        at = self._place(folder)
        return self._names[_plain(folder.parts[at])] if at is not None else ""

    def patient(self, folder: PurePosixPath) -> str:
        """The subfolder of the class folder, which stands for a patient, or empty. Never to be stored."""
        at = self._place(folder)
        return folder.parts[at + 1] if at is not None and at + 1 < len(folder.parts) else ""

    def _place(self, folder: PurePosixPath) -> int | None:
        named = [k for k, part in enumerate(folder.parts) if _plain(part) in self._names]
        return named[-1] if named else None


def _plain(name: str) -> str:
    """``No_Condition`` and ``no condition`` are the same."""
    return _BETWEEN.sub(" ", name).strip().casefold()
