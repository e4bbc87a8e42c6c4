"""What becomes of the identifiers in uploaded files, in a few lines for a person. Called by imports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from workbench.imaging.carried import carried
from workbench.service.spools import SpooledFile

MOST_FILES = 120
"""Files looked at; of more, evenly many of the whole."""
_MOST_LINES = 14
_KEPT = (
    "Kept of a scan: its pixels, modality, body part, spacing and orientation, display window, class of "
    "maker, and a keyed number in place of the patient's. Files themselves are removed once they are read; "
    "file names are not stored."
)
_PIXELS = (
    "Text burned into the pixels stays in them; findings say on which scans it was seen. Crop it off before, "
    "if it names anybody."
)


def summary(files: Sequence[SpooledFile]) -> tuple[str, ...]:
    """Lines such as ``PatientName: in 10 of 10 files; not kept``; no value of any element."""
    step = max(1, -(-len(files) // MOST_FILES))
    chosen = files[::step]
    found = carried([(one.path, one.path.name) for one in chosen])
    counts = Counter(name for one in found for name in one.elements)
    total = len(found)
    lines = [f"{name}: in {count} of {total} files; {_fate(name)}" for name, count in counts.most_common()]
    if len(lines) > _MOST_LINES:
        more = len(lines) - _MOST_LINES
        lines = [
            *lines[:_MOST_LINES],
            f"{more} further kinds of elements; not kept",
        ]
    if step > 1:
        lines.insert(0, f"{len(chosen)} of {len(files)} files were looked at.")
    if not counts:
        lines.append("No element that names a person, a place or a visit was found in the headers.")
    return (*lines, _KEPT, _PIXELS)


def _fate(name: str) -> str:
    return "kept as a keyed number only" if name == "PatientID" else "not kept"
