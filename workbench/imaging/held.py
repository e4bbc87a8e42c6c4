"""Pixel values on their way from a worker to the scan they become. Called by `decoding` and `dicom`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from workbench.errors import ScanRefused
from workbench.imaging.pixelchain import Values


class Held:
    """Decoded values of one DICOM file, or why there are none; handed out once.

    Keeping no hold of what was handed out lets a volume be filled slice by slice in the memory of one volume
    instead of two. Values that are whole numbers of 16 bits, as CT's are, are held as such: half the memory,
    and half as much to move between processes.

    Args:
        outcome: of decoding.
    """

    def __init__(self, outcome: Values | ScanRefused) -> None:
        self._pixels: npt.NDArray[np.generic] | None = None
        self._rest: Values | ScanRefused = outcome
        if isinstance(outcome, Values):
            self._pixels = _compact(outcome.pixels)
            self._rest = replace(outcome, pixels=np.empty((0, 0, 0, 0), np.float32))

    @property
    def size(self) -> int:
        """Number of pixel values held."""
        return 0 if self._pixels is None else self._pixels.size

    def take(self) -> Values:
        """The values, which are not held from now on.

        Raises:
            ScanRefused: decoding failed.
        """
        if isinstance(self._rest, ScanRefused):
            raise self._rest
        pixels, self._pixels = self._pixels, None
        assert pixels is not None, "pixel values are handed out once"
        return replace(self._rest, pixels=pixels.astype(np.float32, copy=False))


def _compact(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.generic]:
    """The same values as int16 where that holds them all."""
    with np.errstate(invalid="ignore"):  # what does not fit is unequal afterwards
        short = pixels.astype(np.int16)
    return short if np.array_equal(short, pixels) else pixels
