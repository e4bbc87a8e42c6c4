"""What has to be known of a DICOM file to transfer it, read from its file meta information alone.

The data set itself is neither parsed nor inflated: a transfer must not be where a hostile file goes off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID

_PREFIX = 132


@dataclass(frozen=True, slots=True)
class Part10:
    """File meta information (PS3.10 7.1).

    Attributes:
        path: of the file.
        sop_class, transfer_syntax: UIDs.
        instance: SOP instance UID.
    """

    path: Path
    sop_class: UID
    transfer_syntax: UID
    instance: str = field(repr=False)


def read_part10(path: Path) -> Part10 | None:
    """What a file says about itself, or None where it is no DICOM file."""
    try:
        with path.open("rb") as stream:
            if stream.read(_PREFIX)[128:] != b"DICM":
                return None
        meta = read_file_meta_info(path)
        return Part10(
            path,
            UID(str(meta.MediaStorageSOPClassUID)),
            UID(str(meta.TransferSyntaxUID)),
            str(meta.MediaStorageSOPInstanceUID),
        )
    except (AttributeError, ValueError, EOFError, NotImplementedError, KeyError, OSError):
        return None


def chunks(path: Path, size: int = 2**20) -> Iterator[bytes]:
    """A file's bytes."""
    with path.open("rb") as stream:
        while block := stream.read(size):
            yield block
