"""Putting the single-frame files of DICOM series together into volumes.

Slices are sorted by position along their normal, never by instance number. What the files disagree about
becomes a finding or a refusal; nothing is averaged, and resampled only where a person chose to (see
`remedies`). Called by `read`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from workbench.errors import ScanRefused
from workbench.imaging import geometry
from workbench.imaging.companions import without_companions
from workbench.imaging.dicom import (
    CROSS_SECTIONAL,
    assemble,
    decoded,
    header_findings,
    placed,
    scan_of,
)
from workbench.imaging.dicomfile import DicomFile, interpret, refusing
from workbench.imaging.frames import by_orientation, plane_of
from workbench.imaging.geometry import Plane
from workbench.imaging.limits import check_values
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.pixelchain import Values, frame_count, full_range
from workbench.imaging.remedies import arranged, upright
from workbench.imaging.repeats import Member, split_repeats, without_copies
from workbench.imaging.scan import Scan

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
    kept, refused = without_companions(files)
    singles: list[Group] = []
    series: dict[Key, list[Member]] = defaultdict(list)
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
            divided, damaged = _divided([alike[i] for i in part], options)
            groups += map(_group, divided)
            refused += damaged
    return groups, refused


def _divided(members: list[Member], options: ReadOptions) -> tuple[list[list[Member]], list[ScanRefused]]:
    """Members without copies, one list for each volume, and refusals.

    Elements are interpreted when they are first used. Where one cannot be, its file alone is refused.
    """
    try:
        with refusing(members[0][0].source):
            return split_repeats(without_copies(members), options), []
    except ScanRefused as error:
        sound, damaged = _interpreted(members)
        if not damaged:
            return [], [error]
    if not sound:
        return [], damaged
    divided, refused = _divided(sound, options)
    return divided, [*damaged, *refused]


def _interpreted(members: list[Member]) -> tuple[list[Member], list[ScanRefused]]:
    """Members all of whose elements can be interpreted, and refusals of the others."""
    sound: list[Member] = []
    damaged: list[ScanRefused] = []
    for file, plane in members:
        try:
            with refusing(file.source):
                interpret(file)
            sound.append((file, plane))
        except ScanRefused as error:
            damaged.append(error)
    return sound, damaged


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
    slices, pixels = _stacked([group.files[index] for index in stack.order], source, progress)
    _check_agreement(slices, source)
    values = slices[len(slices) // 2]
    with refusing(source):
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


def _stacked(
    files: Sequence[DicomFile], source: str, progress: Callable[[], None]
) -> tuple[list[Values], npt.NDArray[np.float32]]:
    """Values of each file without their pixels, and the pixels of all in one array.

    A slice is let go as soon as it is copied, so that there is never a second volume in memory.
    """
    slices: list[Values] = []
    pixels = np.empty((0, 0, 0, 0), np.float32)
    for index, file in enumerate(files):
        values = decoded(file)
        shape = (len(files), *values.pixels.shape[1:])
        if index == 0:
            pixels = np.empty(shape, np.float32)
        if pixels.shape != shape or len(values.pixels) != 1:
            raise _differing(source)
        pixels[index] = values.pixels[0]
        slices.append(replace(values, pixels=np.empty((0, *shape[1:]), np.float32)))
        progress()
    return slices, pixels


def replace_source(scan: Scan, source: str) -> Scan:
    """The scan under another name."""
    return replace(scan, provenance=replace(scan.provenance, source=source))


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


def _group(members: list[tuple[DicomFile, Plane]]) -> Group:
    if len(members) == 1:
        return Group((members[0][0],))
    return Group(tuple(file for file, _ in members), tuple(plane for _, plane in members))


def _common_range(slices: list[Values]) -> tuple[float, float] | None:
    ranges = [value.value_range for value in slices if value.value_range is not None]
    return full_range(ranges) if len(ranges) == len(slices) else None


def _check_agreement(slices: list[Values], source: str) -> None:
    if len({value.units for value in slices}) > 1:
        raise _differing(source)
    mirrored = any(note.code == "monochrome1-inverted" for value in slices for note in value.findings)
    if mirrored and len({value.value_range for value in slices}) > 1:
        raise ScanRefused(
            source,
            "Its slices are stored inverted and scaled differently, so they cannot be compared.",
            "Export the series as MONOCHROME2.",
        )


def _differing(source: str) -> ScanRefused:
    return ScanRefused(
        source, "Its slices differ in kind (units or size).", "Export one acquisition at a time."
    )


def _digest(files: Sequence[DicomFile]) -> str:
    """SHA-256 over the sorted digests of the files, so that their order does not matter."""
    digests = sorted(file.digest for file in files)
    return hashlib.sha256("".join(digests).encode()).hexdigest()
