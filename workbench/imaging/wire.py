"""Objects between this process and its workers over a socket; arrays travel beside the pickle, uncopied.

A message is a pickle (protocol 5) and the buffers of the arrays in it (PEP 574). Called by `workers` and
`worker`, both of which know what the other may say: what comes back from a worker is unpickled into
classes of pydicom, NumPy and the workbench alone, so that a worker taken over by a hostile file cannot name
a function for us to call.
"""

from __future__ import annotations

import io
import mmap
import pickle
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from pydicom.multival import MultiValue

from workbench.imaging.limits import LIMITS, MIB

_HEAD = struct.Struct("<QI")
_SIZE = struct.Struct("<Q")
MAX_PICKLE = 256 * MIB
MAX_BUFFERS = 4096
_OWN_PAGES = 256 * 1024
_TRUSTED = ("workbench", "pydicom", "numpy", "datetime", "decimal", "pathlib", "enum")
_BUILTINS = ("set", "frozenset", "bytearray", "complex", "slice", "range", "object")
_FUNCTIONS = {
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("copyreg", "_reconstructor"),
    ("workbench.imaging.wire", "values_of"),
}


class BrokenMessage(Exception):
    """A message ended early, took too much, or named what it must not."""


def send(channel: socket.socket, value: object) -> None:
    """Send one object.

    Raises:
        OSError: the other side is gone.
    """
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
    head = stream.getbuffer()
    raw = [buffer.raw() for buffer in buffers]
    sizes = b"".join(_SIZE.pack(part.nbytes) for part in raw)
    channel.sendall(_HEAD.pack(head.nbytes, len(raw)) + sizes)
    channel.sendall(head)
    for part in raw:
        channel.sendall(part)


def receive(channel: socket.socket, deadline: float | None = None, *, trusted: bool = False) -> Any:
    """Receive one object.

    Args:
        channel: from a worker, or in a worker from its parent.
        deadline: `time.monotonic` at which to give up, or None to wait for ever.
        trusted: whether any class or function may be named: the parent's calls are, answers are not.

    Raises:
        TimeoutError: the deadline has passed.
        EOFError: the other side is gone.
        BrokenMessage: see there.
    """
    length, count = _HEAD.unpack(_exactly(channel, _HEAD.size, deadline))
    if length > MAX_PICKLE or count > MAX_BUFFERS:
        raise BrokenMessage
    sizes = [size for (size,) in _SIZE.iter_unpack(_exactly(channel, count * _SIZE.size, deadline))]
    if sum(sizes) > 3 * 4 * LIMITS.values:
        raise BrokenMessage
    head = _exactly(channel, length, deadline)
    buffers = [_exactly(channel, size, deadline) for size in sizes]
    if trusted:
        return pickle.loads(head, buffers=buffers)  # noqa: S301 - from the process that started this one
    try:
        return _Answers(io.BytesIO(head), buffers=buffers).load()
    except Exception as error:
        raise BrokenMessage from error


class _Pickler(pickle.Pickler):
    """Sends pydicom's lists of values without the function that made each, which may be a local one."""

    def reducer_override(self, obj: Any) -> Any:
        return (values_of, (list(obj),)) if isinstance(obj, MultiValue) else NotImplemented


def values_of(items: list[Any]) -> MultiValue[Any]:
    """A list of DICOM values that are converted already."""
    return MultiValue(_as_it_is, items)


def _as_it_is(item: Any) -> Any:
    return item


class _Answers(pickle.Unpickler):
    """Makes objects of known classes and calls no function but NumPy's makers of arrays."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "builtins" and name in _BUILTINS:
            return super().find_class(module, name)
        found = super().find_class(module, name)
        if (module, name) in _FUNCTIONS:
            return found
        # Where it was defined counts: a module's own imports can be reached by name as well.
        if isinstance(found, type) and found.__module__.partition(".")[0] in _TRUSTED:
            return found
        raise pickle.UnpicklingError(f"{module}.{name} may not be part of an answer")


def _exactly(channel: socket.socket, size: int, deadline: float | None) -> Any:
    """A writable buffer of so many bytes."""
    # Large buffers get pages of their own, which go back to the system with them; a freed slice in the
    # middle of the heap would not.
    buffer: Any = mmap.mmap(-1, size) if size >= _OWN_PAGES else bytearray(size)
    view = memoryview(buffer)
    wait: Callable[[float | None], None] = channel.settimeout
    while view.nbytes:
        if deadline is None:
            wait(None)
        else:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            wait(left)
        got = channel.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return buffer
