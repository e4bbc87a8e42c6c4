"""Slices of a series that lie at the same place: copies, several measurements, or a contradiction.

Called by `series`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

from pydicom.dataset import Dataset

from workbench.errors import ScanRefused
from workbench.imaging import geometry
from workbench.imaging.dicomfile import DicomFile, refusing
from workbench.imaging.geometry import Plane
from workbench.imaging.options import ReadOptions, Remedy
from workbench.imaging.scan import Finding, Severity

Member = tuple[DicomFile, Plane]
"""A file and its place."""

_REPEAT_ATTRIBUTES = (
    "EchoTime",
    "EchoNumbers",
    "DiffusionBValue",
    "DiffusionGradientOrientation",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "ImageType",
    "AcquisitionTime",
)
"""What tells measurements at the same place apart, the most telling first."""
_SIEMENS_B_VALUE = (0x0019, "SIEMENS MR HEADER", 0x0C)


def without_copies(members: list[Member]) -> list[Member]:
    """Drop files that repeat an instance already there, byte for byte."""
    seen: dict[tuple[str, str], int] = {}
    kept: list[tuple[DicomFile, Plane]] = []
    counts: dict[str, int] = defaultdict(int)
    for file, _ in members:
        counts[str(file.dataset.get("SOPInstanceUID"))] += 1
    for file, plane in members:
        uid = str(file.dataset.get("SOPInstanceUID"))
        if counts[uid] > 1:
            with refusing(file.source):
                mark = (uid, file.digest)
            if mark in seen:
                original, place = kept[seen[mark]]
                kept[seen[mark]] = (_with_copy_finding(original), place)
                continue
            seen[mark] = len(kept)
        kept.append((file, plane))
    return kept


def _with_copy_finding(file: DicomFile) -> DicomFile:
    note = Finding(
        "copies-dropped", Severity.INFO, "Some files were there more than once; copies were dropped."
    )
    return replace(file, findings=tuple(dict.fromkeys((*file.findings, note))))


def split_repeats(members: list[Member], options: ReadOptions) -> list[list[Member]]:
    """One part where every place occurs once, else one part per echo, b-value, acquisition...

    Raises:
        ScanRefused: nothing tells slices at the same place apart, and no remedy was chosen.
    """
    if not geometry.repeated([plane for _, plane in members]):
        return [members]
    if (found := _divided(members, ())) is not None:
        parts, names = found
        note = Finding(
            "series-split",
            Severity.INFO,
            f"The series measures each place {len(parts)} times; it was split by {' and '.join(names)}.",
        )
        return [[(file.noting(note), plane) for file, plane in part] for part in parts]
    if Remedy.KEEP_FIRST_DUPLICATE in options.remedies:
        return [_without_duplicates(members)]
    raise ScanRefused(
        f"{members[0][0].source} (+{len(members) - 1} more)",
        "Slices of the series lie at the same place, and nothing in their headers tells them apart.",
        f"Export one acquisition at a time, or choose the remedy {Remedy.KEEP_FIRST_DUPLICATE}.",
    )


def _divided(
    members: list[Member], done: tuple[str, ...]
) -> tuple[list[list[Member]], tuple[str, ...]] | None:
    """Members divided by the first attributes that leave no place measured twice, and their names."""
    most = _measurements(members)
    for name in _REPEAT_ATTRIBUTES:
        parts: dict[str, list[Member]] = defaultdict(list)
        for file, plane in members:
            parts[_attribute(file.dataset, name)].append((file, plane))
        # More parts than measurements of a place would take slices of one volume apart.
        if not 1 < len(parts) <= most:
            continue
        found, names = [], (*done, name)
        for part in parts.values():
            if not geometry.repeated([plane for _, plane in part]):
                found.append(part)
            elif (deeper := _divided(part, (*done, name))) is not None:
                found += deeper[0]
                names = tuple(dict.fromkeys((*names, *deeper[1])))
            else:
                break
        else:
            return found, names
    return None


def _measurements(members: list[Member]) -> int:
    """How often the place that is measured most often is measured."""
    again = Counter(geometry.repeated([plane for _, plane in members]).values())
    return 1 + max(again.values(), default=0)


def _attribute(dataset: Dataset, name: str) -> str:
    value = dataset.get(name)
    if name == "DiffusionBValue" and value is None:
        group, creator, element = _SIEMENS_B_VALUE
        try:
            value = dataset.private_block(group, creator)[element].value
        except KeyError:
            value = None
    return "" if value is None else str(value)


def _without_duplicates(members: list[Member]) -> list[Member]:
    """Of slices at one place, the one with the lowest instance number (then UID), as chosen."""
    ranked = sorted(members, key=lambda member: _rank(member[0].dataset))
    dropped = set(geometry.repeated([plane for _, plane in ranked]))
    note = Finding(
        "duplicates-dropped",
        Severity.WARNING,
        f"{len(dropped)} slices lay where others do, with nothing to tell them apart; those with the lowest "
        "instance number were kept, as chosen.",
        "Export one acquisition at a time.",
    )
    return [(file.noting(note), plane) for i, (file, plane) in enumerate(ranked) if i not in dropped]


def _rank(dataset: Dataset) -> tuple[int, str]:
    number = dataset.get("InstanceNumber")
    return (int(number) if number not in (None, "") else 2**31, str(dataset.get("SOPInstanceUID") or ""))
