"""What a file is, judged by its first bytes and never by its name. Called by `read`."""

from __future__ import annotations

import stat
import zlib
from enum import Enum, auto
from pathlib import Path
from typing import Literal

from workbench.imaging.nifti import has_header, header_kind


class Kind(Enum):
    """Formats that readers exist for, and some that deserve a better refusal than "unknown"."""

    DICOM = auto()
    DICOMDIR = auto()
    NIFTI = auto()
    NIFTI_IMAGE = auto()
    NRRD = auto()
    RASTER = auto()
    ZIP = auto()
    GZIP = auto()
    PDF = auto()
    OTHER_PICTURE = auto()
    EMPTY = auto()
    UNKNOWN = auto()


_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", Kind.RASTER),
    (b"\xff\xd8\xff", Kind.RASTER),
    (b"BM", Kind.RASTER),
    (b"II*\x00", Kind.RASTER),
    (b"MM\x00*", Kind.RASTER),
    (b"II+\x00", Kind.RASTER),
    (b"MM\x00+", Kind.RASTER),
    (b"NRRD000", Kind.NRRD),
    (b"PK\x03\x04", Kind.ZIP),
    (b"PK\x05\x06", Kind.ZIP),
    (b"%PDF", Kind.PDF),
    (b"GIF8", Kind.OTHER_PICTURE),
    (b"RIFF", Kind.OTHER_PICTURE),
    (b"<svg", Kind.OTHER_PICTURE),
)
_HEAD = 544
_DIRECTORY = b"UI\x14\x001.2.840.10008.1.3.10"
"""Class of a DICOMDIR as it stands in a file's header, with its length before it (PS3.10 8.6)."""


def sniff(path: Path) -> Kind:
    """Kind of a file.

    Raises:
        OSError: the file cannot be read.
    """
    # Opening a pipe or a device could wait for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        return Kind.UNKNOWN
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head:
        return Kind.EMPTY
    # First, since a DICOM preamble may hold anything, a TIFF header included (PS3.10 7.1).
    if head[128:132] == b"DICM":
        return Kind.DICOMDIR if _DIRECTORY in head else Kind.DICOM
    # The one format that names decide: the image of a pair is numbers alone, and they may look like anything.
    if has_header(path):
        return Kind.NIFTI_IMAGE
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head[:2] == b"\x1f\x8b":
        return _gzipped(path)
    if header_kind(head):
        return Kind.NIFTI
    return Kind.DICOM if _is_bare_dicom(head) else Kind.UNKNOWN


def is_companion(path: Path) -> bool:
    """Whether a file of a folder is no scan of its own, and read or not needed with the rest of the folder: a
    DICOMDIR, or the image of a NIfTI pair."""
    try:
        return sniff(path) in (Kind.DICOMDIR, Kind.NIFTI_IMAGE)
    except OSError:
        return False


def _gzipped(path: Path) -> Kind:
    # Of a bounded beginning: a gzip header may hold a file name of gigabytes.
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        with path.open("rb") as stream:
            head = inflater.decompress(stream.read(2**16), _HEAD)
    except zlib.error:
        return Kind.GZIP
    is_dicom = head[128:132] == b"DICM"
    return Kind.NIFTI if header_kind(head) and not is_dicom else Kind.GZIP


def _is_bare_dicom(head: bytes) -> bool:
    """A data set without the part 10 header: begins with an element of group 2 or 8, either byte order."""
    little, big = int.from_bytes(head[:2], "little"), int.from_bytes(head[:2], "big")
    if len(head) < 16 or not {little, big} & {2, 8}:
        return False
    order: Literal["little", "big"] = "little" if little in (2, 8) else "big"
    element, length = int.from_bytes(head[2:4], order), int.from_bytes(head[4:8], order)
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return element < 0x2000 and (explicit or length < 1024)
