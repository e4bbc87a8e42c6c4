"""Pixel values on their way from a worker to the scan they become. Called by `decoding` and `dicom`."""

from __future__ import annotations

from workbench.errors import ScanRefused
from workbench.imaging.pixelchain import Values


class Held:
    """Decoded values of one DICOM file, or why there are none; handed out once.

    Keeping no hold of what was handed out lets a volume be filled slice by slice in the memory of one volume
    instead of two.

    Args:
        outcome: of decoding.
    """

    def __init__(self, outcome: Values | ScanRefused) -> None:
        self._outcome: Values | ScanRefused | None = outcome

    @property
    def size(self) -> int:
        """Number of pixel values held."""
        return self._outcome.pixels.size if isinstance(self._outcome, Values) else 0

    def take(self) -> Values:
        """The values, which are not held from now on.

        Raises:
            ScanRefused: decoding failed.
        """
        outcome, self._outcome = self._outcome, None
        assert outcome is not None, "pixel values are handed out once"
        if isinstance(outcome, ScanRefused):
            self._outcome = outcome
            raise outcome
        return outcome
