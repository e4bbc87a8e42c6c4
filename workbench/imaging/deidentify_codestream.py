"""Compressed pictures without comments: JPEG, JPEG-LS and JPEG 2000, not decoded and encoded again.

Cameras and scanners write names, places and thumbnails between the parts of a picture that carry pixels.
What is kept is what a decoder needs. Called by `deidentify_dicom` for frames and by `deidentify_files` for
JPEG files.
"""

from __future__ import annotations

from collections.abc import Iterator

_SOI, _SOS, _EOI, _COM = 0xD8, 0xDA, 0xD9, 0xFE
_JFIF, _ADOBE, _HP = b"JFIF\x00", b"Adobe", b"mrfx"
_J2K_START, _J2K_TILE, _J2K_COMMENT = b"\xff\x4f\xff\x51", 0x90, 0x64


def without_comments(data: bytes) -> tuple[bytes, int]:
    """The picture without comments, application data (EXIF, XMP, IPTC, profiles, thumbnails) and what
    follows it.

    Args:
        data: a JPEG, JPEG-LS or JPEG 2000 codestream; anything else comes back as it is.

    Returns:
        the picture, and how many parts were left out.

    Raises:
        ValueError: a codestream that ends in the middle.
    """
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    if data[:4] == _J2K_START:
        return _jpeg2000(data)
    return data, 0


def _jpeg(data: bytes) -> tuple[bytes, int]:
    """ISO/IEC 10918-1 annex B (and 14495-1, whose markers are the same)."""
    kept, dropped = [b"\xff\xd8"], 0
    for marker, part in _jpeg_parts(data):
        if marker == _COM or (0xE0 <= marker <= 0xEF and not _is_needed(marker, part)):
            dropped += 1
        elif marker == 0xE0:
            kept.append(b"\xff\xe0\x00\x10" + part[4:9] + b"\x01\x01\x00\x00\x01\x00\x01\x00\x00")
        else:
            kept.append(part)
    return b"".join(kept), dropped


def _is_needed(marker: int, part: bytes) -> bool:
    body = part[4:]
    return (
        (marker == 0xE0 and body.startswith(_JFIF))
        or (marker == 0xEE and body.startswith(_ADOBE) and len(body) == 12)
        or (marker == 0xE8 and body.startswith(_HP) and len(body) <= 8)
    )


def _jpeg_parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and bytes of each segment after SOI; entropy-coded data belongs to the scan before it."""
    at = 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if at + 2 > len(data) or data[at] != 0xFF:
            raise ValueError("the JPEG stream ends in the middle")
        marker = data[at + 1]
        if marker == _EOI:
            yield marker, b"\xff\xd9"
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise ValueError("the JPEG stream ends in the middle")
        if marker == _SOS:
            end = _after_scan(data, end)
        yield marker, data[at:end]
        at = end


def _after_scan(data: bytes, at: int) -> int:
    """Where entropy-coded data ends: at a marker that is neither stuffing nor a restart."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        follows = data[at + 1]
        if follows >= 0x80 and not 0xD0 <= follows <= 0xD7 and follows != 0xFF:
            return at
        at += 1 if follows == 0xFF else 2
    raise ValueError("the JPEG stream ends in the middle")


def _jpeg2000(data: bytes) -> tuple[bytes, int]:
    """ISO/IEC 15444-1 annex A: comments of the main header."""
    kept, dropped, at = [data[:2]], 0, 2
    while data[at + 1 : at + 2] != bytes([_J2K_TILE]):
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at : at + 1] != b"\xff" or length < 2 or at + 2 + length > len(data):
            raise ValueError("the JPEG 2000 stream ends in the middle")
        if data[at + 1] == _J2K_COMMENT:
            dropped += 1
        else:
            kept.append(data[at : at + 2 + length])
        at += 2 + length
    end = data.rfind(b"\xff\xd9")
    return b"".join([*kept, data[at : end + 2 if end > at else len(data)]]), dropped
