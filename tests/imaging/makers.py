"""Small DICOM files made on the fly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as Sequence_
from pydicom.uid import CTImageStorage, EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

SERIES = generate_uid(entropy_srcs=["series"])
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def ct(
    stored: npt.NDArray[np.generic],
    position: Sequence[float] | None = (0.0, 0.0, 0.0),
    orientation: Sequence[float] = AXIAL,
    series: str = SERIES,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> FileDataset:
    """A CT image around an integer array ``(rows, columns)`` or ``(rows, columns, 3)``."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\x00" * 128)
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(entropy_srcs=["study"]), series
    image.PatientName, image.PatientID, image.Modality = "Doe^Jane", "SECRET-17", "CT"
    if position is not None:
        image.ImagePositionPatient, image.ImageOrientationPatient = list(position), list(orientation)
        image.PixelSpacing, image.SliceThickness = list(spacing), 1.0
    image.Rows, image.Columns = stored.shape[:2]
    image.SamplesPerPixel = stored.shape[2] if stored.ndim == 3 else 1
    image.PhotometricInterpretation = "RGB" if stored.ndim == 3 else "MONOCHROME2"
    if stored.ndim == 3:
        image.PlanarConfiguration = 0
    bits = stored.dtype.itemsize * 8
    image.BitsAllocated, image.BitsStored, image.HighBit = bits, bits, bits - 1
    image.PixelRepresentation = int(stored.dtype.kind == "i")
    image.RescaleSlope, image.RescaleIntercept = 1, 0
    image.PixelData = stored.tobytes() + b"\x00" * (stored.nbytes % 2)
    return image


def save(image: FileDataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


def asymmetric(shape: tuple[int, int, int] = (4, 6, 5)) -> npt.NDArray[np.int16]:
    """A volume in which every voxel has a value of its own."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def write_series(
    folder: Path,
    volume: npt.NDArray[np.int16],
    orientation: Sequence[float] = AXIAL,
    step: Sequence[float] | None = None,
    spacing: tuple[float, float] = (1.0, 1.0),
    order: Sequence[int] | None = None,
    origin: Sequence[float] = (10.0, -20.0, 30.0),
) -> list[Path]:
    """Slices ``(slices, rows, columns)`` as files, numbered in `order` so that names tell nothing."""
    normal = np.cross(orientation[:3], orientation[3:])
    advance = np.array(step) if step is not None else 2.0 * normal
    paths = []
    for name, index in enumerate(order if order is not None else range(len(volume))):
        position = np.array(origin) + index * advance
        image = ct(volume[index], position.tolist(), orientation, spacing=spacing)
        image.InstanceNumber = name + 1
        paths.append(save(image, folder / f"IM{name:04d}"))
    return paths


def item(**values: object) -> Dataset:
    """A data set of the named attributes; a list of data sets becomes a sequence."""
    made = Dataset()
    for name, value in values.items():
        is_sequence = isinstance(value, list) and value and isinstance(value[0], Dataset)
        setattr(made, name, Sequence_(value) if is_sequence else value)
    return made


def enhanced(
    frames: npt.NDArray[np.generic],
    positions: Sequence[Sequence[float]] | None,
    per_frame: Sequence[Dataset] | None = None,
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> FileDataset:
    """An enhanced MR image ``(frames, rows, columns)``; `per_frame` is added to each frame's groups."""
    image = ct(frames[0], None)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    image.Modality = "MR"
    del image.RescaleSlope, image.RescaleIntercept
    image.NumberOfFrames, image.PixelData = len(frames), frames.tobytes() + b"\x00" * (frames.nbytes % 2)
    groups = []
    for index in range(len(frames)):
        group = Dataset()
        if positions is not None:
            group.PlanePositionSequence = Sequence_([item(ImagePositionPatient=list(positions[index]))])
        if per_frame is not None:
            group.update(per_frame[index])
        groups.append(group)
    image.PerFrameFunctionalGroupsSequence = Sequence_(groups)
    image.SharedFunctionalGroupsSequence = Sequence_(
        [
            item(
                PlaneOrientationSequence=[item(ImageOrientationPatient=list(orientation))],
                PixelMeasuresSequence=[item(PixelSpacing=list(spacing))],
            )
        ]
    )
    return image
