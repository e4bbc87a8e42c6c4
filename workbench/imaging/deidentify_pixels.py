"""Pixel data of a DICOM copy: nothing beside, between or behind the pixels. Called by `deidentify`."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID

from workbench.imaging.deidentify_codestream import without_comments
from workbench.imaging.pixelchain import frame_count


def bare_pixels(header: Dataset, syntax: UID) -> None:
    """Pixel data without comments of codecs, without unused bits and without anything behind it."""
    if syntax.is_encapsulated:
        frames = generate_frames(header.PixelData, number_of_frames=frame_count(header))
        element = header["PixelData"]
        header.PixelData = encapsulate([without_comments(frame)[0] for frame in frames])
        header["PixelData"].VR, header["PixelData"].is_undefined_length = element.VR, True
        return
    allocated, stored = int(header.BitsAllocated), int(header.get("BitsStored") or header.BitsAllocated)
    samples = int(header.get("SamplesPerPixel") or 1)
    bits = int(header.Rows) * int(header.Columns) * samples * frame_count(header) * allocated
    if header.get("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3
    size = (bits + 7) // 8 // 2 * 2 + (bits % 16 != 0) * 2
    data = bytes(header.PixelData)[:size]
    if allocated in (8, 16, 32) and stored < allocated and not syntax.is_deflated:
        data = _masked(data, header, allocated, stored, syntax)
    header.PixelData = data + b"\x00" * (len(data) % 2)


def _masked(data: bytes, header: Dataset, allocated: int, stored: int, syntax: UID) -> bytes:
    """Bits beside the stored ones are cleared (overlays used to lie there); a sign goes on to fill them."""
    order = "<" if syntax.is_little_endian else ">"
    words = np.frombuffer(data, dtype=f"{order}u{allocated // 8}")
    low = int(header.get("HighBit", stored - 1)) - stored + 1
    if low < 0:
        return data
    field_bits = ((1 << stored) - 1) << low
    kept = words & np.array(field_bits, dtype=words.dtype)
    if int(header.get("PixelRepresentation", 0)) == 1:
        sign, above = 1 << (low + stored - 1), ((1 << allocated) - 1) & ~((1 << (low + stored)) - 1)
        kept = np.where(kept & sign, kept | np.array(above, dtype=words.dtype), kept)
    return np.asarray(kept, dtype=words.dtype).tobytes()
