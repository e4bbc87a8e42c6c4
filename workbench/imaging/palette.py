"""How large a segmented palette grows, counted before it is expanded (DICOM PS3.3 C.7.9.2).

Called by `pixelchain`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from workbench.errors import ScanRefused

MAX_PALETTE = 65_536
"""Entries a palette may have (PS3.3 C.7.6.3.1.5)."""


def check_palette(dataset: Dataset, source: str) -> None:
    """Refuse a segmented palette that expands past what a palette may hold (PS3.3 C.7.9.2).

    A segment of three words claims up to 65,535 entries, and an indirect one repeats others.

    Raises:
        ScanRefused: as said.
    """
    for colour in ("Red", "Green", "Blue"):
        data = dataset.get(f"Segmented{colour}PaletteColorLookupTableData")
        descriptor = dataset.get(f"{colour}PaletteColorLookupTableDescriptor")
        if not data or not descriptor:
            continue
        words = np.frombuffer(data, "u1" if int(descriptor[2]) == 8 else "<u2")
        if _expanded(words) > MAX_PALETTE:
            raise ScanRefused(
                source, "Its palette expands to more entries than a palette may hold.", "Export it as RGB."
            )


def _expanded(words: npt.NDArray[np.generic]) -> int:
    """Entries of a segmented palette, indirect segments taken at their largest."""
    total, offset, longest = 0, 0, 0
    while offset + 1 < len(words) and total <= MAX_PALETTE:
        code, length = int(words[offset]), int(words[offset + 1])
        total += length * longest if code == 2 else length
        longest = max(longest, length if code in (0, 1) else 0)
        offset += 2 + {0: length, 1: 1, 2: 4 if words.dtype.itemsize == 1 else 2}.get(code, len(words))
    return total
