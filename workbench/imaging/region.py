"""The part of a scan that matters: a range of slices, a box within them, or both, marked by a person.

Applied to a `Scan` before any recipe; what was left out is said by a finding and kept in `Scan.marked`.
People count from 1 and include both ends, as viewers do; `parse_region` reads what they write on the command
line, in a table or on the page.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from workbench.errors import RegionError, ScanRefused
from workbench.imaging.digest import pixel_digest
from workbench.imaging.scan import Finding, Scan, Severity

Unit = Literal["voxel", "mm"]
_RANGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(mm)?\s*:\s*(\d+(?:\.\d+)?)\s*(mm)?\s*")
_HOW = "Write a range as first:last, for example 10:40"


@dataclass(frozen=True, slots=True)
class Region:
    """What is read of a scan.

    Attributes:
        slices: first and last slice, from 1; None for all.
        rows, columns: of the box, both or neither. In voxels: first and last, from 1. In millimetres: from
            the outer edge of the first row and column.
        unit: of `rows` and `columns`.

    Raises:
        RegionError: a range runs backwards or begins before the scan, or the box has one side only.
    """

    slices: tuple[int, int] | None = None
    rows: tuple[float, float] | None = None
    columns: tuple[float, float] | None = None
    unit: Unit = "voxel"

    def __post_init__(self) -> None:
        if (self.rows is None) != (self.columns is None):
            raise RegionError("A box needs rows and columns. Write it as rows,columns: 20:80,30:90.")
        if self.slices is None and self.rows is None:
            raise RegionError("A region needs a range of slices or a box.")
        least = 0.0 if self.unit == "mm" else 1.0
        for what, given, from_ in (("slices", self.slices, 1.0), ("rows", self.rows, least),
                                   ("columns", self.columns, least)):  # fmt: skip
            if given is None:
                continue
            if given[0] < from_:
                raise RegionError(f"The range of {what} begins at {given[0]:g}; the first is {from_:g}.")
            if given[1] < given[0] or (self.unit == "mm" and what != "slices" and given[1] == given[0]):
                raise RegionError(f"The range of {what} {given[0]:g}:{given[1]:g} is empty. {_HOW}.")
            if (self.unit == "voxel" or what == "slices") and any(v != int(v) for v in given):
                raise RegionError(f"The range of {what} must be whole numbers. {_HOW}, or 12.5mm:60mm.")

    def __str__(self) -> str:
        parts = [] if self.slices is None else [f"slices {self.slices[0]} to {self.slices[1]}"]
        if self.rows is not None and self.columns is not None:
            unit = " mm" if self.unit == "mm" else ""
            parts += [
                f"{what} {given[0]:g} to {given[1]:g}{unit}"
                for what, given in (("rows", self.rows), ("columns", self.columns))
            ]
        return ", ".join(parts)

    def apply(self, scan: Scan) -> Scan:
        """The marked part of a scan, with its place in the patient, and a finding that says so.

        Raises:
            ScanRefused: the region does not lie within the scan, the scan is marked already, or the box is in
                millimetres and the scan's spacing is unknown.
        """
        source = scan.provenance.source
        if scan.marked:
            raise ScanRefused(source, f"It is marked already ({scan.marked}).", "Mark the whole scan once.")
        if self.unit == "mm" and self.rows is not None and scan.spacing is None:
            raise ScanRefused(
                source,
                "The box is in millimetres and the file does not say its spacing.",
                "Give it in voxels.",
            )
        sizes = scan.pixels.shape[:3]
        spans = (self._span(self.slices, None), *self._box(scan))
        taken: list[slice] = []
        for what, size, span in zip(("slices", "rows", "columns"), sizes, spans, strict=True):
            first, stop = span or (0, size)
            if stop > size:
                raise ScanRefused(
                    source,
                    f"The marked {what} end at {stop}; the scan has {size}.",
                    "Mark a part that lies within the scan.",
                )
            taken.append(slice(first, stop))
        pixels = np.ascontiguousarray(scan.pixels[taken[0], taken[1], taken[2]])
        affine = scan.affine
        if affine is not None:
            affine = affine.copy()
            affine[:3, 3] = (affine @ [taken[2].start, taken[1].start, taken[0].start, 1.0])[:3]
        rows, columns = pixels.shape[1:3]
        said = Finding(
            "region-marked",
            Severity.INFO,
            f"Only the marked part is read: {self}; {columns} x {rows} x {len(pixels)} of "
            f"{sizes[2]} x {sizes[1]} x {sizes[0]}.",
        )
        marked = replace(scan, pixels=pixels, affine=affine, whole=pixel_digest(scan), marked=str(self))
        return marked.with_findings(said)

    def _box(self, scan: Scan) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        spacing = scan.spacing if self.unit == "mm" else None
        return (
            self._span(self.rows, spacing[1] if spacing else None),
            self._span(self.columns, spacing[2] if spacing else None),
        )

    @staticmethod
    def _span(given: tuple[float, float] | None, spacing: float | None) -> tuple[int, int] | None:
        """Half-open voxel range from 0: every voxel that the range touches."""
        if given is None:
            return None
        if spacing is None:
            return int(given[0]) - 1, int(given[1])
        # A hair's breadth over the edge of a voxel is rounding.
        return math.floor(given[0] / spacing + 1e-6), math.ceil(given[1] / spacing - 1e-6)


def parse_region(slices: str = "", box: str = "") -> Region | None:
    """A region as people write it, or None where nothing is given.

    Args:
        slices: ``10:40``.
        box: rows, then columns: ``20:80,30:90`` in voxels, or ``12.5mm:60mm,0mm:45mm``.

    Raises:
        RegionError: it cannot be read, or makes no region.
    """
    if not slices.strip() and not box.strip():
        return None
    span = None
    if slices.strip():
        (first, last), unit = _range(slices, "slices")
        if unit == "mm":
            raise RegionError(f"Slices are counted, not measured. {_HOW}.")
        if first != int(first) or last != int(last):
            raise RegionError(f"The range of slices must be whole numbers. {_HOW}.")
        span = (int(first), int(last))
    if not box.strip():
        return Region(span)
    sides = box.split(",")
    if len(sides) != 2:
        raise RegionError("A box needs rows and columns. Write it as rows,columns: 20:80,30:90.")
    rows, row_unit = _range(sides[0], "rows")
    columns, column_unit = _range(sides[1], "columns")
    if row_unit != column_unit:
        raise RegionError("Give the box's rows and columns both in voxels, or both in mm.")
    return Region(span, rows, columns, row_unit)


def _range(text: str, what: str) -> tuple[tuple[float, float], Unit]:
    found = _RANGE.fullmatch(text)
    if found is None or (found[2] is None) != (found[4] is None):
        raise RegionError(f"The {what} {text.strip()[:40]!r} are no range. {_HOW}.")
    return (float(found[1]), float(found[3])), "mm" if found[2] else "voxel"
