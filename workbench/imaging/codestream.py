"""Size that a JPEG, JPEG-LS or JPEG 2000 codestream claims for itself.

Codecs allocate what the codestream says, not what the DICOM header says; the two are compared before a
codec runs. Called by `dicomfile`.
"""

from __future__ import annotations

_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""JPEG SOF0-15 without DHT, JPG and DAC (ITU-T T.81 B.1), and JPEG-LS SOF55 (T.87)."""
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}


def frame_size(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a compressed frame, or None where it is in another format or damaged."""
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    start = 0
    if data[4:8] == b"jP  ":  # JP2 boxes around the codestream
        start = data.find(b"\xff\x4f\xff\x51")
    if start >= 0 and data[start : start + 4] == b"\xff\x4f\xff\x51":
        return _jpeg2000(data[start + 4 :])
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(data):
        if data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        elif marker in _START_OF_FRAME:
            return (
                int.from_bytes(data[position + 5 : position + 7], "big"),
                int.from_bytes(data[position + 7 : position + 9], "big"),
            )
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def _jpeg2000(segment: bytes) -> tuple[int, int] | None:
    """SIZ (ITU-T T.800 A.5.1): length 2, capabilities 2, Xsiz, Ysiz, XOsiz, YOsiz 4 each."""
    if len(segment) < 20:
        return None
    x, y, x_offset, y_offset = (int.from_bytes(segment[i : i + 4], "big") for i in (4, 8, 12, 16))
    return y - y_offset, x - x_offset
