"""Takes multipart uploads apart as they arrive: each file goes to disk, none is held in memory.

`multipart/form-data` after RFC 7578. A part's file name may be a path below what was dropped, as browsers
send it for folders when asked to; whoever takes the file cleans it.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from workbench.errors import WorkbenchError

_IN_MEMORY = 1 << 18
_HEADERS = 8 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One file.

    Attributes:
        name: as sent.
        file: at its beginning; gone once closed.
        size: in bytes.
    """

    name: str
    file: BinaryIO
    size: int


def boundary_of(content_type: str) -> bytes:
    """The boundary between parts.

    Raises:
        WorkbenchError: it is no multipart form.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        raise WorkbenchError("Send the files as multipart/form-data with a boundary.")
    return boundary


async def parts(stream: AsyncIterator[bytes], boundary: bytes, folder: Path) -> AsyncGenerator[Part, None]:
    """The files of a form, each as soon as it is whole; fields that are no files are passed over.

    Args:
        stream: the body.
        boundary: see `boundary_of`.
        folder: where files that are not tiny are written, without a name.

    Raises:
        WorkbenchError: the form is damaged, or ends before its last part does.
    """
    taking = _Taking(folder)
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": taking.begin,
            "on_header_field": taking.header_field,
            "on_header_value": taking.header_value,
            "on_header_end": taking.header_end,
            "on_headers_finished": taking.open,
            "on_part_data": taking.data,
            "on_part_end": taking.end,
            "on_end": taking.finish,
        },
    )
    try:
        async for chunk in stream:
            try:
                parser.write(chunk)
            except MultipartParseError as error:
                raise WorkbenchError("The form of files is damaged. Send it again.") from error
            while taking.done:
                yield taking.done.pop(0)
        if not taking.whole:
            raise WorkbenchError("The form of files ends too early. Send it again.")
    finally:
        taking.close()


class _Taking:
    """What the parser says, as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._field, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._file: BinaryIO | None = None
        self._size = 0
        self.done: list[Part] = []
        self.whole = False

    def begin(self) -> None:
        self._headers, self._name, self._size = {}, "", 0

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._add(self._field, data[start:end])

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._add(self._value, data[start:end])

    def header_end(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def open(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"filename")
        if name is None:
            return
        self._name = name.decode("utf-8", "replace")
        spooled = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(self._folder))  # noqa: SIM115
        self._file = cast(BinaryIO, spooled)

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
            self._size += end - start

    def end(self) -> None:
        if self._file is not None:
            self._file.seek(0)
            self.done.append(Part(self._name, self._file, self._size))
            self._file = None

    def finish(self) -> None:
        self.whole = True

    def close(self) -> None:
        """Drop what was not given out."""
        for file in (*(part.file for part in self.done), self._file):
            if file is not None:
                file.close()

    def _add(self, buffer: bytearray, data: bytes) -> None:
        buffer += data
        if len(buffer) > _HEADERS:
            raise WorkbenchError("The form of files has a header that is too long.")
