"""Where each frame of a DICOM file lies, and which frames of a multi-frame file belong to one volume.

Attributes are looked up in the image, then in its shared functional groups, then in those of the frame, the
later over the earlier (PS3.3 C.7.6.16.1). Called by `dicom` and `series`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset

from workbench.imaging import geometry
from workbench.imaging.geometry import Plane
from workbench.imaging.pixelchain import functional_groups

_IN_PATIENT = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
_IN_VOLUME = ("PlanePositionVolumeSequence", "PlaneOrientationVolumeSequence", "PixelMeasuresSequence")

VOLUME_ATTRIBUTES: tuple[tuple[str, str], ...] = (
    ("FrameContentSequence", "StackID"),
    ("MREchoSequence", "EffectiveEchoTime"),
    ("MRDiffusionSequence", "DiffusionBValue"),
    ("MRDiffusionSequence", "DiffusionGradientDirectionSequence"),
    ("MRImageFrameTypeSequence", "ComplexImageComponent"),
    ("MRImageFrameTypeSequence", "FrameType"),
    ("CTImageFrameTypeSequence", "FrameType"),
    ("PETFrameTypeSequence", "FrameType"),
    ("FrameContentSequence", "TemporalPositionIndex"),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("FrameContentSequence", "FrameAcquisitionNumber"),
)
"""What tells measurements at the same place apart (macro, attribute), the most telling first."""


def plane_of(dataset: Dataset, frame: int = 0) -> Plane | None:
    """Place of one frame in the patient (PS3.3 C.7.6.2.1.1), or None where the file does not say."""
    return _plane(dataset, frame, _IN_PATIENT, ("ImagePositionPatient", "ImageOrientationPatient"))


def volume_plane_of(dataset: Dataset, frame: int) -> Plane | None:
    """Place of one frame of a 3-D ultrasound in its own volume's coordinates (PS3.3 C.8.24.3.1).

    They say how frames lie to each other, not how the volume lies in the patient.
    """
    return _plane(dataset, frame, _IN_VOLUME, ("ImagePositionVolume", "ImageOrientationVolume"))


def in_plane_spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Millimetres between (rows, columns) of an image without a place (PS3.3 10.7.1.3)."""
    parts = (dataset, *_items(dataset, 0, _IN_PATIENT))
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        for part in parts:
            value = part.get(name)
            if value and len(value) == 2 and min(float(v) for v in value) > 0:
                return float(value[0]), float(value[1])
    return None


def thickness(dataset: Dataset) -> float:
    """Slice thickness in mm; 1 stands where none is given, as one slice has no neighbour."""
    for part in (dataset, *_items(dataset, 0, _IN_PATIENT)):
        for name in ("SpacingBetweenSlices", "SliceThickness"):
            value = part.get(name)
            if value not in (None, "") and float(value) > 0:
                return float(value)
    return 1.0


def volumes(dataset: Dataset, planes: Sequence[Plane]) -> list[list[int]] | None:
    """Frames divided into volumes in which every place occurs once, in the order of their first frames.

    Returns:
        frame numbers of each volume; None where the frames are a film of one place, or where nothing in the
        file tells apart those that lie at the same place.
    """
    parts: list[list[int]] = []
    for members in by_orientation(planes):
        if not geometry.repeated([planes[i] for i in members]):
            parts.append(members)
            continue
        if len(members) - len(geometry.repeated([planes[i] for i in members])) == 1:
            return None
        divided = _divided(dataset, planes, members)
        if divided is None:
            return None
        parts += divided
    return sorted(parts, key=min)


def by_orientation(planes: Sequence[Plane]) -> list[list[int]]:
    """Planes divided into those that are parallel and of equal spacing, in order of first appearance.

    Compared with a tolerance (0.001 in each cosine, 0.1 % of spacing), never by rounding: scanners write the
    same direction with different last digits.
    """
    cosines = np.array([[*plane.along_columns, *plane.along_rows] for plane in planes]).reshape(-1, 6)
    spacings = np.array([plane.spacing for plane in planes]).reshape(-1, 2)
    kept: list[list[int]] = []
    firsts = np.empty(len(planes), dtype=int)
    for index in range(len(planes)):
        known = firsts[: len(kept)]
        alike = (np.abs(cosines[known] - cosines[index]) <= 1e-3).all(axis=1)
        alike &= (np.abs(spacings[known] - spacings[index]) <= 1e-3 * spacings[known]).all(axis=1)
        if alike.any():
            kept[int(alike.argmax())].append(index)
        else:
            firsts[len(kept)] = index
            kept.append([index])
    return kept


def _divided(dataset: Dataset, planes: Sequence[Plane], members: list[int]) -> list[list[int]] | None:
    """Frames of one orientation divided by the first attributes that leave no place measured twice."""
    most = _most_at_one_place(planes, members)
    for macro, name in VOLUME_ATTRIBUTES:
        parts: dict[str, list[int]] = defaultdict(list)
        for index in members:
            parts[_value(dataset, index, macro, name)].append(index)
        # More parts than measurements of a place would take slices of one volume apart.
        if not 1 < len(parts) <= most:
            continue
        found: list[list[int]] = []
        for part in parts.values():
            if not geometry.repeated([planes[i] for i in part]):
                found.append(part)
            elif (deeper := _divided(dataset, planes, part)) is not None:
                found += deeper
            else:
                break
        else:
            return found
    return None


def _most_at_one_place(planes: Sequence[Plane], members: list[int]) -> int:
    again = Counter(geometry.repeated([planes[i] for i in members]).values())
    return 1 + max(again.values(), default=0)


def _value(dataset: Dataset, frame: int, macro: str, name: str) -> str:
    """An attribute's value as text, empty where it is absent; a sequence by its items' content."""
    for group in reversed(functional_groups(dataset, frame)):
        for item in group.get(macro) or ():
            if name in item:
                return str(item[name].value)
    return ""


def _plane(dataset: Dataset, frame: int, macros: tuple[str, ...], names: tuple[str, str]) -> Plane | None:
    position = orientation = spacing = None
    for part in (dataset, *_items(dataset, frame, macros)):
        position = part.get(names[0]) or position
        orientation = part.get(names[1]) or orientation
        spacing = part.get("PixelSpacing") or spacing
    if not position or not orientation or len(position) != 3 or len(orientation) != 6:
        return None
    columns, rows = np.array(orientation[:3], dtype=float), np.array(orientation[3:], dtype=float)
    lengths = np.linalg.norm(columns), np.linalg.norm(rows)
    if min(lengths) < 0.5 or abs(columns @ rows) > 0.05:
        return None
    pair = (float(spacing[0]), float(spacing[1])) if spacing and len(spacing) == 2 else (1.0, 1.0)
    if min(pair) <= 0 or not np.isfinite(np.array(position, dtype=float)).all():
        return None
    return Plane(np.array(position, dtype=float), columns / lengths[0], rows / lengths[1], pair)


def _items(dataset: Dataset, frame: int, macros: tuple[str, ...]) -> Iterator[Dataset]:
    for group in functional_groups(dataset, frame):
        for macro in macros:
            yield from group.get(macro) or ()
