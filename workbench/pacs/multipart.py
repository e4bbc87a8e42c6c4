"""The two parts of ``multipart/related`` that WADO-RS and STOW-RS need (RFC 2387), block by block.

dicomweb-client parses and re-encodes every object it transfers, which changes bytes and inflates a deflated
data set before anybody could count; so the two transfers are done here, over the same session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_MOST_HEADER = 16_384


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart message, or None where the message is no multipart one."""
    if not content_type.lower().startswith("multipart/related"):
        return None
    found = re.search(r'boundary="?([^";]+)"?', content_type, re.IGNORECASE)
    return found.group(1).encode() if found else None


def first_part(blocks: Iterable[bytes], boundary: bytes) -> Iterator[bytes]:
    """Content of a message's first part, as it arrives.

    Raises:
        ValueError: it is no multipart message of that boundary, or ends before the part does.
    """
    source = iter(blocks)
    held = b""
    while (begin := held.find(b"\r\n\r\n")) < 0:
        if len(held) > _MOST_HEADER:
            raise ValueError("no part")
        block = next(source, None)
        if block is None:
            raise ValueError("no part")
        held += block
    if b"--" + boundary not in held[:begin]:
        raise ValueError("another boundary")
    end = b"\r\n--" + boundary
    held = held[begin + 4 :]
    while (found := held.find(end)) < 0:
        # What may be the beginning of the boundary is held back.
        safe = len(held) - len(end) + 1
        if safe > 0:
            yield held[:safe]
            held = held[safe:]
        block = next(source, None)
        if block is None:
            raise ValueError("cut short")
        held += block
    yield held[:found]


def one_part(blocks: Iterable[bytes], boundary: bytes) -> Iterator[bytes]:
    """A message of one DICOM part around a file's bytes."""
    yield b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n"
    yield from blocks
    yield b"\r\n--" + boundary + b"--\r\n"
