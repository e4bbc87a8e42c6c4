"""Formats of images and their companions that are not read, told by their first bytes so that the refusal can
say what to do. Called by `read` for what `sniff` does not know.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from workbench.errors import ScanRefused

_HEAD = 512
_CONVERT = "Convert it to NIfTI (for example with {tool}) and give that."
_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (a MINC-2 volume, perhaps)", "mnc2nii"),
    (b"CDF\x01", "a netCDF file (a MINC-1 volume, perhaps)", "mnc2nii"),
    (b"# === DATA DESCRIPTION FILE", "a Philips PAR header", "dcm2niix"),
    (b"MATRIX7", "an ECAT volume", "ecat2nii"),
    (b"\x00\x00\x00\x01\x00\x00", "a FreeSurfer MGH volume", "mri_convert"),
    (b"ObjectType = Image", "a MetaImage volume (MHA or MHD)", "SimpleITK or ITK-SNAP"),
    (b"NDims = ", "a MetaImage volume (MHA or MHD)", "SimpleITK or ITK-SNAP"),
    (b"Comment = ", "a MetaImage volume (MHA or MHD)", "SimpleITK or ITK-SNAP"),
)
_NO_IMAGE: tuple[tuple[bytes, str], ...] = (
    (b"TRACK\x00", "a file of fibre tracts (TrackVis)"),
    (b"mrtrix tracks", "a file of fibre tracts (MRtrix)"),
    (b"SV10", "a Siemens private header (CSA)"),
)


def refuse_foreign(path: Path, source: str) -> None:
    """Name a known format that is not read; return where the file is of no known one.

    Raises:
        ScanRefused: what it is and how to convert it.
        OSError: the file cannot be read.
    """
    # Opening a pipe or a device could wait for ever.
    if not path.is_file():
        return
    head, packed = _head(path)
    if packed and head[128:132] == b"DICM":
        raise ScanRefused(source, "It is a DICOM file inside gzip.", "Unpack it first (gunzip).")
    for beginning, what, tool in _BEGINNINGS:
        if head.startswith(beginning):
            raise ScanRefused(source, f"It is {what}, which is not read.", _CONVERT.format(tool=tool))
    for beginning, what in _NO_IMAGE:
        if head.startswith(beginning):
            raise ScanRefused(source, f"It is {what}, not a scan.", "Give the images themselves.")
    if head.lstrip().startswith(b"type") and b"-attribute" in head and b"count" in head:
        raise ScanRefused(
            source, "It is an AFNI header, which is not read.", _CONVERT.format(tool="3dAFNItoNIFTI")
        )


def _head(path: Path) -> tuple[bytes, bool]:
    """First bytes, inflated where they are gzipped, and whether they were."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head[:2] != b"\x1f\x8b":
        return head, False
    try:
        with gzip.open(path) as packed:
            return packed.read(_HEAD), True
    except (OSError, EOFError, zlib.error):
        return b"", True
