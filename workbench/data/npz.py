"""Read the arrays of an .npz row by row, so that a set larger than memory can be walked.

`numpy.load` inflates a whole member at once: 13 GB for PathMNIST at 224 pixels. Pickled arrays are refused.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
import numpy.typing as npt

from workbench.errors import CohortError


class Archive:
    """An .npz file; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises `CohortError` if it is not a whole zip."""
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise CohortError(f"{path.name}: is not a whole .npz file. Fetch it again.") from error

    def __enter__(self) -> Self:
        """The archive itself."""
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Close the file."""
        self._zip.close()

    def array(self, name: str) -> npt.NDArray[np.generic]:
        """One array, whole; empty where the archive has none of that name."""
        if f"{name}.npy" not in self._zip.namelist():
            return np.empty((0,), dtype=np.uint8)
        try:
            with self._zip.open(f"{name}.npy") as file:
                loaded: npt.NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
        except (ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise CohortError(f"{self._path.name}: {name} cannot be read ({error}).") from error
        return loaded

    def length(self, name: str) -> int:
        """Number of rows of an array; 0 where the archive has none of that name."""
        if f"{name}.npy" not in self._zip.namelist():
            return 0
        with self._zip.open(f"{name}.npy") as file:
            return _header(file)[0][0]

    def rows(self, name: str) -> Iterator[npt.NDArray[np.uint8]]:
        """The rows of a uint8 array, one at a time; none where the archive has no such array.

        Raises:
            CohortError: if the values are not 8-bit, or the file ends early.
        """
        if f"{name}.npy" not in self._zip.namelist():
            return
        with self._zip.open(f"{name}.npy") as file:
            shape, fortran, dtype = _header(file)
            if dtype != np.uint8 or fortran:
                raise CohortError(f"{self._path.name}: {name} must be uint8 in C order, not {dtype}.")
            size = int(np.prod(shape[1:]))
            for _ in range(shape[0]):
                try:
                    row = file.read(size)
                except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                    raise CohortError(
                        f"{self._path.name}: {name} is damaged. Fetch the file again."
                    ) from error
                if len(row) != size:
                    raise CohortError(f"{self._path.name}: {name} ends early. Fetch the file again.")
                yield np.frombuffer(row, dtype=np.uint8).reshape(shape[1:])


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)
