"""Putting the single-frame files of DICOM series together into volumes.

Slices are sorted by position along their normal, never by instance number. What the files disagree about
becomes a finding or a refusal; nothing is averaged, and resampled only where a person chose to (see
`remedies`). Called by `read`.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset

from workbench.errors import ScanRefused
from workbench.imaging import geometry
from workbench.imaging.dicom import (
    CROSS_SECTIONAL,
    assemble,
    decoded,
    file_digest,
    header_findings,
    placed,
    scan_of,
)
from workbench.imaging.dicomfile import DicomFile, image_type, refusing
from workbench.imaging.frames import by_orientation, plane_of
from workbench.imaging.geometry import Plane
from workbench.imaging.limits import check_values
from workbench.imaging.options import DEFAULTS, ReadOptions, Remedy
from workbench.imaging.pixelchain import Values, frame_count, full_range
from workbench.imaging.remedies import arranged, upright
from workbench.imaging.scan import Finding, Scan, Severity

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Files that make one scan.

    Attributes:
        files: in the order they were given.
        planes: place of each; empty for a group of one file.
    """

    files: tuple[DicomFile, ...]
    planes: tuple[Plane, ...] = ()


def group_series(
    files: Sequence[DicomFile], options: ReadOptions = DEFAULTS
) -> tuple[list[Group], list[ScanRefused]]:
    """Divide files by series, then orientation and size, then echo, b-value or acquisition where needed.

    Localisers and pictures of reports are left out where the same study holds other images, which then say
    so. Files without a place in the patient (X-rays, photographs) and multi-frame files stay single scans.
    """
    kept, refused = _without_companions(files)
    singles: list[Group] = []
    series: dict[Key, list[tuple[DicomFile, Plane]]] = defaultdict(list)
    for file in kept:
        try:
            with refusing(file.source):
                uid = str(file.dataset.get("SeriesInstanceUID") or "")
                plane = _plane(file)
                if uid and plane is not None and frame_count(file.dataset) == 1:
                    series[_key(uid, file.dataset)].append((file, plane))
                else:
                    singles.append(Group((file,)))
        except ScanRefused as error:
            refused.append(error)
    groups = list(singles)
    for alike in series.values():
        for part in by_orientation([plane for _, plane in alike]):
            try:
                with refusing(alike[part[0]][0].source):
                    groups += _split_repeats(_without_copies([alike[i] for i in part]), options)
            except ScanRefused as error:
                refused.append(error)
    return groups, refused


def read_group(
    group: Group,
    source: str,
    progress: Callable[[], None] = lambda: None,
    options: ReadOptions = DEFAULTS,
) -> Scan:
    """Decode a group into one scan.

    Args:
        group: from `group_series`.
        source: what to call the scan.
        progress: called after each file.
        options: remedies for slices that do not make a regular volume.

    Raises:
        ScanRefused: a slice cannot be decoded or the volume passes the budget.
    """
    if len(group.files) == 1:
        scan = replace_source(scan_of(group.files[0], options), source)
        progress()
        return scan
    first = group.files[0].dataset
    samples = int(first.get("SamplesPerPixel") or 1)
    check_values(source, (len(group.files), int(first.Rows), int(first.Columns), samples))
    stack = arranged(group.planes, options)
    slices: list[Values] = []
    for index in stack.order:
        slices.append(decoded(group.files[index]))
        progress()
    _check_agreement(slices, source)
    values = slices[len(slices) // 2]
    with refusing(source):
        pixels = np.concatenate([value.pixels for value in slices])
        bottom = group.planes[stack.order[0]]
        pixels, bottom, stack = upright(pixels, bottom, stack, options, source)
        pixels, spacing, affine, findings = placed(
            pixels, bottom, stack.step, stack.spacing, list(stack.findings)
        )
        if spacing is not None:
            findings += geometry.oblong_pixels(spacing)
        # The same finding of many slices is said once, in the words of the middle one.
        said = {finding.code: finding for value in slices for finding in value.findings}
        said |= {finding.code: finding for finding in values.findings}
        opened = [finding for file in group.files for finding in file.findings]
        notes = [*dict.fromkeys(opened), *said.values(), *header_findings(first), *findings]
        values = replace(values, value_range=_common_range(slices))
        return assemble(first, values, pixels, spacing, affine, source, _digest(group.files), notes)


def replace_source(scan: Scan, source: str) -> Scan:
    """The scan under another name."""
    return replace(scan, provenance=replace(scan.provenance, source=source))


_REPORT_PICTURES = {"SCREEN SAVE", "DOSE_INFO", "DOSE", "DOSE REPORT", "PATIENT PROTOCOL"}
"""Image types by which makers mark pictures of tables: dose reports, protocols, saved screens."""


def _companion(file: DicomFile) -> str:
    """What an image is that only accompanies others; empty for an image in its own right."""
    if file.is_localiser:
        return "a localiser (scout)"
    if _REPORT_PICTURES & set(image_type(file.dataset)):
        return "a picture of a report (dose, protocol or screen)"
    return ""


def _without_companions(files: Sequence[DicomFile]) -> tuple[list[DicomFile], list[ScanRefused]]:
    """Leave out what accompanies the images of its study, and say so to both sides."""
    studies = {_study(file) for file in files if not _companion(file)}
    dropped: dict[str, int] = defaultdict(int)
    refused: list[ScanRefused] = []
    for file in files:
        if (what := _companion(file)) and _study(file) in studies:
            dropped[_study(file)] += 1
            reason = f"It is {what} beside the images of its study."
            refused.append(
                ScanRefused(file.source, reason, "Nothing need be done; choose it alone to read it.")
            )
    kept = [file for file in files if not (_companion(file) and _study(file) in studies)]
    return [_with_companions(file, dropped[_study(file)]) for file in kept], refused


def _with_companions(file: DicomFile, count: int) -> DicomFile:
    if not count:
        return file
    note = Finding(
        "companions-dropped",
        Severity.INFO,
        f"{count} localiser(s) or picture(s) of reports of the same study were left out.",
    )
    return _noted(file, note)


def _study(file: DicomFile) -> str:
    return str(file.dataset.get("StudyInstanceUID") or "")


def _plane(file: DicomFile) -> Plane | None:
    """Place of a cross-section; damaged geometry counts as none and is reported when it is decoded."""
    try:
        return plane_of(file.dataset) if _is_cross_section(file.dataset) else None
    except (TypeError, ValueError):
        return None


def _is_cross_section(dataset: Dataset) -> bool:
    return str(dataset.get("Modality") or "") in CROSS_SECTIONAL or "SliceThickness" in dataset


def _key(uid: str, dataset: Dataset) -> Key:
    parts = (dataset.Rows, dataset.Columns, dataset.get("SamplesPerPixel"))
    return (uid, *map(str, parts), str(dataset.get("PhotometricInterpretation")))


def _without_copies(members: list[tuple[DicomFile, Plane]]) -> list[tuple[DicomFile, Plane]]:
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
                mark = (uid, file_digest(file.path))
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

Member = tuple[DicomFile, Plane]


def _split_repeats(members: list[Member], options: ReadOptions) -> list[Group]:
    """One group where every place occurs once, else one group per echo, b-value, acquisition..."""
    if not geometry.repeated([plane for _, plane in members]):
        return [_group(members)]
    if (found := _divided(members, ())) is not None:
        parts, names = found
        note = Finding(
            "series-split",
            Severity.INFO,
            f"The series measures each place {len(parts)} times; it was split by {' and '.join(names)}.",
        )
        return [_group([(_noted(file, note), plane) for file, plane in part]) for part in parts]
    if Remedy.KEEP_FIRST_DUPLICATE in options.remedies:
        return [_group(_without_duplicates(members))]
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
    return [(_noted(file, note), plane) for i, (file, plane) in enumerate(ranked) if i not in dropped]


def _rank(dataset: Dataset) -> tuple[int, str]:
    number = dataset.get("InstanceNumber")
    return (int(number) if number not in (None, "") else 2**31, str(dataset.get("SOPInstanceUID") or ""))


def _noted(file: DicomFile, note: Finding) -> DicomFile:
    return replace(file, findings=(*file.findings, note))


def _group(members: list[tuple[DicomFile, Plane]]) -> Group:
    if len(members) == 1:
        return Group((members[0][0],))
    return Group(tuple(file for file, _ in members), tuple(plane for _, plane in members))


def _common_range(slices: list[Values]) -> tuple[float, float] | None:
    ranges = [value.value_range for value in slices if value.value_range is not None]
    return full_range(ranges) if len(ranges) == len(slices) else None


def _check_agreement(slices: list[Values], source: str) -> None:
    if len({value.units for value in slices}) > 1 or len({value.pixels.shape for value in slices}) > 1:
        raise ScanRefused(
            source, "Its slices differ in kind (units or size).", "Export one acquisition at a time."
        )
    mirrored = any(note.code == "monochrome1-inverted" for value in slices for note in value.findings)
    if mirrored and len({value.value_range for value in slices}) > 1:
        raise ScanRefused(
            source,
            "Its slices are stored inverted and scaled differently, so they cannot be compared.",
            "Export the series as MONOCHROME2.",
        )


def _digest(files: Sequence[DicomFile]) -> str:
    """SHA-256 over the sorted digests of the files, so that their order does not matter."""
    digests = sorted(file_digest(file.path) for file in files)
    return hashlib.sha256("".join(digests).encode()).hexdigest()
