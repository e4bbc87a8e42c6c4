"""What a person may choose about reading, in one object that travels from the command line to the readers.

Nothing here is chosen for them: each default reads what the file says and reports what is wrong with it.
Called by `read` and by whoever asks it to read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Remedy(StrEnum):
    """What may be done about a series whose slices do not make a regular volume.

    Each is applied only where its fault is found, and what was done becomes a finding of the scan.
    """

    LARGEST_REGULAR_BLOCK = "largest-regular-block"
    """Missing slices or uneven spacing: keep the longest run of evenly spaced slices, drop the rest."""
    RESAMPLE_TILT = "resample-tilt"
    """Gantry tilt: shift each slice in its own plane (linear interpolation) until they stack upright."""
    KEEP_FIRST_DUPLICATE = "keep-first-duplicate"
    """Several slices at one place that nothing tells apart: keep the one with the lowest instance number."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read.

    Attributes:
        remedies: see `Remedy`; none by default, so that a fault is reported and nothing is mended.
        volume: which volume of a file that holds several (4-D NIfTI and NRRD, enhanced DICOM with several
            echoes, b-values or phases), counted from 0; None for the first, with a warning.
        allow_no_preamble: read DICOM without the part 10 header, its encoding guessed (PS3.10 7.1).

    Raises:
        ValueError: `volume` is negative.
    """

    remedies: frozenset[Remedy] = field(default=frozenset())
    volume: int | None = None
    allow_no_preamble: bool = False

    def __post_init__(self) -> None:
        if self.volume is not None and self.volume < 0:
            raise ValueError(f"ReadOptions.volume counts from 0; {self.volume} is negative")


DEFAULTS = ReadOptions()
