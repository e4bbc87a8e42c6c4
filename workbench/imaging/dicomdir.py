"""Files that a DICOMDIR names, none of them outside its folder (PS3.10 8).

A DICOMDIR is text from a stranger that names files: each part of a name is checked, and where the name leads
after links are followed. Called by `read`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pydicom
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from workbench.errors import ScanRefused
from workbench.imaging.dicomfile import quiet, refusing
from workbench.imaging.limits import LIMITS, check_file_size

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")
"""Wider than the standard's ``[A-Z0-9_]{1,8}``, as discs are; never ``..``, a drive or a separator."""


def referenced_files(path: Path, source: str) -> tuple[tuple[Path, ...], tuple[ScanRefused, ...]]:
    """Files named by the records of a DICOMDIR, in its order, and refusals of those that are not there.

    Raises:
        ScanRefused: a name leads outside of the folder (nothing of that disc is read), there are too many, or
            the DICOMDIR is damaged.
    """
    with refusing(source), quiet():
        check_file_size(source, path.stat().st_size)
        if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            # No disc has one (PS3.10 8.6), and it would have to be inflated to be looked at.
            raise ScanRefused(source, "The DICOMDIR is deflated.", "Give its folder instead.")
        records = pydicom.dcmread(path).get("DirectoryRecordSequence") or ()
        if len(records) > LIMITS.archive_entries:
            raise ScanRefused(
                source, f"It names more than {LIMITS.archive_entries:,} files.", "Give parts of its folder."
            )
        root = path.parent.resolve()
        found: dict[Path, None] = {}
        absent: list[ScanRefused] = []
        for record in records:
            name = record.get("ReferencedFileID")
            if not name:
                continue
            parts = [name] if isinstance(name, str) else [str(part) for part in name]
            if not all(_PART.fullmatch(part) for part in parts):
                raise _escapes(source)
            file = _existing(root, parts)
            if not file.resolve().is_relative_to(root):
                raise _escapes(source)
            if file.is_file():
                found[file] = None
            else:
                absent.append(
                    ScanRefused(
                        f"{source}: {parts[-1]}",
                        "The DICOMDIR names it and it is not there.",
                        "Copy the whole disc again.",
                    )
                )
        return tuple(found), tuple(absent)


def _existing(root: Path, parts: list[str]) -> Path:
    """The file of that name, in small letters where a copied disc has lost its capitals."""
    exact = root.joinpath(*parts)
    return exact if exact.exists() else root.joinpath(*(part.lower() for part in parts))


def _escapes(source: str) -> ScanRefused:
    return ScanRefused(
        source,
        "The DICOMDIR names a file outside of its folder.",
        "Do not trust this disc; give the images themselves.",
    )
