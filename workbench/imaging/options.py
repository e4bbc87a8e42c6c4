"""What a person may choose about reading, in one object that travels from the command line to the readers.

Nothing here is chosen for them: each default reads what the file says and reports what is wrong with it.
Called by `read` and by whoever asks it to read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from workbench.errors import ScanRefused
from workbench.imaging.scan import Finding, Severity


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


def chosen_volume(count: int, options: ReadOptions, source: str) -> tuple[int, list[Finding]]:
    """Number of the volume to take of a file that holds `count`, and what to say about it.

    Raises:
        ScanRefused: there is none of the number asked for.
    """
    if options.volume is not None and options.volume >= count:
        has = "one volume" if count == 1 else f"{count} volumes, numbered from 0"
        raise ScanRefused(
            source,
            f"It has no volume {options.volume}: it holds {has}.",
            "Ask for one of them, or for none to take the first.",
        )
    if count == 1:
        return 0, []
    if options.volume is not None:
        said = f"Of {count} volumes in the file, number {options.volume} (from 0) was taken, as chosen."
        return options.volume, [Finding("volume-chosen", Severity.INFO, said)]
    note = Finding(
        "first-volume",
        Severity.WARNING,
        f"The file holds {count} volumes (echoes, b-values, phases, ...); the first was taken.",
        "Choose another by its number, or save the volume of interest as its own file.",
    )
    return 0, [note]
