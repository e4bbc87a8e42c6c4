"""What can only be seen beside other scans: near-copies, one shown inverted, another body part, mixed
geometry.

`set_findings` judges the labelled scans of one condition against each other; it looks at pixels and headers
only. What needs the encoder's embedding is `workbench.adaptation.similar`'s. Called by the command line and
the web UI, which show its findings beside those of each scan.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

import nibabel as nib
import numpy as np
import numpy.typing as npt

from workbench.data.examples import Example
from workbench.data.near import correlations, near_copies, thumbnails_of
from workbench.imaging.modality import UNKNOWN_MODALITY, modality_group
from workbench.imaging.quality import grey_levels
from workbench.imaging.scan import Finding, Scan, Severity

T = TypeVar("T")
Findings = tuple[Finding, ...]

ENOUGH = 5
"""Scans below which nothing is said about which of them is unlike the others."""
MOST_SHARE = 0.7
"""Share of the scans that must agree before the rest is called different."""
SPACING_RATIO, SIZE_RATIO = 1.5, 2.0
"""Pixel spacing and number of pixels along the longer side may differ from the usual one by these factors."""
INVERTED = -0.20
"""Median correlation with the others' thumbnails below which a scan may be inverted."""
ALIKE = 0.25
"""Median correlation among the others that makes such a statement possible."""


def set_findings(examples: Sequence[Example]) -> tuple[Findings, ...]:
    """Findings of each scan that come from comparing it with the others of its condition.

    Args:
        examples: all labelled scans of one condition.

    Returns:
        a tuple of findings for each example, in the same order: `near-copy`, `inverted`, `other-body-part`,
        `other-modality`, `other-spacing`, `other-size`, `other-orientation`.
    """
    found: list[list[Finding]] = [[] for _ in examples]
    if len(examples) > 1:
        looks = [grey_levels(example.scan) for example in examples]
        _near_copies(examples, looks, found)
        _inverted(thumbnails_of(looks), found)
        for judge in _JUDGES:
            judge([example.scan for example in examples], found)
    return tuple(map(tuple, found))


def _near_copies(
    examples: Sequence[Example], looks: Sequence[npt.NDArray[np.uint8]], found: list[list[Finding]]
) -> None:
    """Scans of different patients, or of one patient under different labels, that look the same."""
    partners: defaultdict[int, set[int]] = defaultdict(set)
    for first, second in near_copies(looks):
        a, b = examples[first], examples[second]
        if a.patient != b.patient or a.label != b.label:
            partners[first].add(second)
            partners[second].add(first)
    for row, others in partners.items():
        mine = examples[row]
        labels = {examples[other].label for other in others} - {mine.label}
        if labels:
            text = f"It looks the same as a scan labelled {min(labels)!r}."
            fix = "Keep it under the right label only."
        else:
            text = "It looks the same as a scan given as another patient's."
            fix = "Give both to one patient, or remove one; otherwise estimates come out too good."
        found[row].append(Finding("near-copy", Severity.WARNING, text, fix))


def _inverted(thumbnails: npt.NDArray[np.float32], found: list[list[Finding]]) -> None:
    if len(thumbnails) < ENOUGH:
        return
    alike = correlations(thumbnails)
    n = len(alike)
    apart = ~np.eye(n, dtype=bool)
    middle = np.array([np.median(alike[row, apart[row]]) for row in range(n)])
    for row in np.flatnonzero(middle < INVERTED):
        others = np.arange(n) != row
        rest = alike[np.ix_(others, others)][~np.eye(n - 1, dtype=bool)]
        if np.median(rest) >= ALIKE:
            found[row].append(_INVERTED)


def _odd_ones(values: Sequence[T | None]) -> tuple[T | None, list[int]]:
    """The value that most scans share, and the rows that have another; unknown values count not."""
    known = [value for value in values if value is not None]
    if len(known) < ENOUGH:
        return None, []
    usual, count = Counter(known).most_common(1)[0]
    if count < MOST_SHARE * len(known):
        return None, []
    return usual, [row for row, value in enumerate(values) if value is not None and value != usual]


def usual_body_part(scans: Sequence[Scan]) -> str:
    """The body part that most headers name, or empty where few name one or they differ."""
    return _odd_ones([scan.body_part or None for scan in scans])[0] or ""


def _body_parts(scans: Sequence[Scan], found: list[list[Finding]]) -> None:
    usual, odd = _odd_ones([scan.body_part or None for scan in scans])
    for row in odd:
        found[row].append(
            Finding(
                "other-body-part",
                Severity.WARNING,
                f"Its header names another body part ({scans[row].body_part}) than most others ({usual}).",
                "Check that it belongs to this condition.",
            )
        )


def _modalities(scans: Sequence[Scan], found: list[list[Finding]]) -> None:
    known = [None if scan.modality == UNKNOWN_MODALITY else modality_group(scan.modality) for scan in scans]
    usual, odd = _odd_ones(known)
    for row in odd:
        found[row].append(
            Finding(
                "other-modality",
                Severity.WARNING,
                f"It is of another modality ({scans[row].modality}) than most others ({usual}).",
                "Keep one modality per condition.",
            )
        )


def _orientations(scans: Sequence[Scan], found: list[list[Finding]]) -> None:
    usual, odd = _odd_ones([_plane_of(scan) for scan in scans])
    for row in odd:
        found[row].append(
            Finding(
                "other-orientation",
                Severity.WARNING,
                f"It is a {_plane_of(scans[row])} image; most others are {usual}.",
                "Keep one orientation per condition.",
            )
        )


def _spacings(scans: Sequence[Scan], found: list[list[Finding]]) -> None:
    spacings = [None if scan.spacing is None else float(np.mean(scan.spacing[1:])) for scan in scans]
    for row, usual in _far_off(spacings, SPACING_RATIO):
        found[row].append(
            Finding(
                "other-spacing",
                Severity.WARNING,
                f"Its pixels measure {spacings[row]:.2f} mm; {usual:.2f} mm is usual here.",
                "Give scans of one magnification, or crop them to the same field of view.",
            )
        )


def _sizes(scans: Sequence[Scan], found: list[list[Finding]]) -> None:
    sides: list[float | None] = [float(max(scan.pixels.shape[1:3])) for scan in scans]
    for row, usual in _far_off(sides, SIZE_RATIO):
        found[row].append(
            Finding(
                "other-size",
                Severity.INFO,
                f"Its longer side has {sides[row]:.0f} pixels; {usual:.0f} are usual here.",
                "Check that it shows the same field of view.",
            )
        )


def _far_off(values: Sequence[float | None], ratio: float) -> list[tuple[int, float]]:
    """Rows whose value is off the median by more than a factor, with the median."""
    known = [value for value in values if value is not None and value > 0]
    if len(known) < ENOUGH:
        return []
    usual = float(np.median(known))
    return [
        (row, usual)
        for row, value in enumerate(values)
        if value is not None and value > 0 and not usual / ratio <= value <= usual * ratio
    ]


def _plane_of(scan: Scan) -> str | None:
    """``axial``, ``coronal`` or ``sagittal``, by the axis that slices are stacked along."""
    if scan.affine is None:
        return None
    return {"R": "sagittal", "L": "sagittal", "A": "coronal", "P": "coronal"}.get(
        nib.orientations.aff2axcodes(scan.affine)[2], "axial"
    )


_JUDGES: tuple[Callable[[Sequence[Scan], list[list[Finding]]], None], ...] = (
    _body_parts,
    _modalities,
    _orientations,
    _spacings,
    _sizes,
)

_INVERTED = Finding(
    "inverted",
    Severity.WARNING,
    "Bright and dark seem to be exchanged, compared with the other scans.",
    "Export it with the same polarity as the others.",
)
