"""Synthetic scans for the demonstration, written as real DICOM files of people who do not exist.

Each shows a piece of lung on CT with a few vessels, chest wall and one mass, whose border is either smooth or
spiculated. Lesions of both classes are equally large and dense, so that brightness gives nothing away and
only shape does. Called by the demo and by tests.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.ndimage import gaussian_filter

CLASSES = ("smooth", "spiculated")
SIDE = 160
SPACING_MM = 0.4
_INTERCEPT = -1024

Field = npt.NDArray[np.float64]


def write_phantoms(folder: Path, patients_per_class: int, seed: int) -> list[Path]:
    """Draw scans and write them to ``folder/smooth`` and ``folder/spiculated``.

    Args:
        folder: made where it does not exist; files of the same name are replaced.
        patients_per_class: fictitious patients of each class, one slice each.
        seed: the same seed writes the same bytes.

    Returns:
        the files, class by class.

    Raises:
        ValueError: fewer than one patient.
    """
    if patients_per_class < 1:
        raise ValueError(f"patients_per_class must be at least 1, not {patients_per_class}")
    paths: list[Path] = []
    for index, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for patient in range(patients_per_class):
            number = index * patients_per_class + patient + 1
            path = folder / name / f"phantom-{number:04d}.dcm"
            hounsfield = draw(name, np.random.default_rng([seed, index, patient]))
            _dataset(hounsfield, number, seed).save_as(path, enforce_file_format=True)
            paths.append(path)
    return paths


def draw(name: str, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """One slice in HU, float32 ``(SIDE, SIDE)``.

    Raises:
        ValueError: `name` is not one of `CLASSES`.
    """
    if name not in CLASSES:
        raise ValueError(f"A phantom is one of {', '.join(CLASSES)}, not {name!r}")
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    image = rng.uniform(-870.0, -800.0) + 35.0 * _texture(rng, 3.0) + 25.0 * _texture(rng, 12.0)
    for _ in range(int(rng.integers(1, 4))):
        image = np.maximum(image, _vessel(rows, columns, rng))
    wall = _wall(rows, columns, rng)
    image = image * (1.0 - wall) + (45.0 + 15.0 * _texture(rng, 2.0)) * wall
    lesion = _lesion(rows, columns, name, rng)
    image = image * (1.0 - lesion) + (rng.uniform(10.0, 60.0) + 15.0 * _texture(rng, 2.0)) * lesion
    # Blur of the scanner, then its noise.
    image = gaussian_filter(image, 0.6) + 18.0 * _texture(rng, 0.7)
    return np.asarray(np.clip(image, _INTERCEPT, 3071 + _INTERCEPT), dtype=np.float32)


def _texture(rng: np.random.Generator, scale: float) -> Field:
    """Smooth noise of mean 0 and deviation 1."""
    field = gaussian_filter(rng.standard_normal((SIDE, SIDE)), scale, mode="wrap")
    return np.asarray((field - field.mean()) / field.std())


def _vessel(rows: Field, columns: Field, rng: np.random.Generator) -> Field:
    """A bent tube across the picture; air elsewhere."""
    angle, offset = rng.uniform(0.0, np.pi), rng.uniform(-0.45, 0.45) * SIDE
    along = (columns - SIDE / 2) * np.cos(angle) + (rows - SIDE / 2) * np.sin(angle)
    across = (rows - SIDE / 2) * np.cos(angle) - (columns - SIDE / 2) * np.sin(angle) - offset
    bend = rng.uniform(4.0, 12.0) * np.sin(along / rng.uniform(18.0, 40.0) + rng.uniform(0.0, 6.3))
    tube = np.exp(-(((across - bend) / rng.uniform(0.9, 2.2)) ** 2))
    return np.asarray(-1000.0 + rng.uniform(500.0, 950.0) * tube)


def _wall(rows: Field, columns: Field, rng: np.random.Generator) -> Field:
    """Chest wall: everything beyond a large circle whose edge passes near a border of the picture."""
    angle, radius = rng.uniform(0.0, 2 * np.pi), rng.uniform(1.2, 2.2) * SIDE
    reach = rng.uniform(0.50, 0.62) * SIDE
    y = SIDE / 2 + (reach - radius) * np.sin(angle)
    x = SIDE / 2 + (reach - radius) * np.cos(angle)
    return _soft(np.hypot(rows - y, columns - x) - radius)


def _lesion(rows: Field, columns: Field, name: str, rng: np.random.Generator) -> Field:
    """Coverage 0..1 of a lesion of random size, place and border; area does not depend on the class."""
    y, x = SIDE / 2 + rng.uniform(-0.14, 0.14, 2) * SIDE
    angle = np.arctan2(rows - y, columns - x)
    distance = np.hypot(rows - y, columns - x)
    theta = np.linspace(-np.pi, np.pi, 1024, endpoint=False)
    border = _lobes(theta, rng)
    if name == "spiculated":
        border = border + _spikes(theta, rng)
    size = rng.uniform(28.0, 38.0)
    border *= size / np.sqrt(np.mean(border**2))  # mean squared radius sets the area
    return _soft(np.interp(angle, theta, border, period=2 * np.pi) - distance)


def _lobes(theta: Field, rng: np.random.Generator) -> Field:
    """Border of a smooth lesion: a circle with a few gentle harmonics."""
    waves = [rng.uniform(0.0, 0.09) * np.cos(k * theta + rng.uniform(0.0, 6.3)) for k in (2, 3, 4)]
    return np.asarray(1.0 + np.sum(waves, axis=0))


def _spikes(theta: Field, rng: np.random.Generator) -> Field:
    """Spicules: narrow rays at uneven angles and of uneven length."""
    count = int(rng.integers(8, 14))
    centres = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * 2 * np.pi / count
    away = np.angle(np.exp(1j * (theta[:, None] - centres)))
    widths, lengths = rng.uniform(0.05, 0.10, count), rng.uniform(0.35, 1.0, count)
    return np.asarray((lengths * np.exp(-np.abs(away) / widths)).sum(axis=1))


def _soft(inside: Field) -> Field:
    """Step from 0 to 1 over about two pixels."""
    return np.asarray(1.0 / (1.0 + np.exp(-2.0 * np.clip(inside, -20.0, 20.0))))


def _dataset(hounsfield: npt.NDArray[np.float32], number: int, seed: int) -> FileDataset:
    """A CT Image (PS3.3 A.3) around one slice."""
    unique = [f"workbench phantom {seed} {number}"]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[*unique, "instance"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\x00" * 128)
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID = generate_uid(entropy_srcs=[*unique, "study"])
    image.SeriesInstanceUID = generate_uid(entropy_srcs=[*unique, "series"])
    image.FrameOfReferenceUID = generate_uid(entropy_srcs=[*unique, "frame"])
    image.PatientName, image.PatientID = f"Phantom^{number:04d}", f"PHANTOM-{seed}-{number:04d}"
    image.PatientBirthDate = image.PatientSex = ""
    image.StudyDate, image.StudyTime = "20240101", "120000"
    image.StudyID = image.AccessionNumber = image.ReferringPhysicianName = ""
    image.Modality, image.Manufacturer, image.BodyPartExamined = "CT", "Few-shot workbench", "CHEST"
    image.SeriesDescription = "Synthetic phantom, not a patient"
    image.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    image.SeriesNumber, image.InstanceNumber, image.AcquisitionNumber = 1, 1, None
    image.KVP, image.PatientPosition, image.PositionReferenceIndicator = None, "HFS", ""
    image.BurnedInAnnotation = "NO"
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [SPACING_MM, SPACING_MM], 1.25
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows = image.Columns = SIDE
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = _INTERCEPT, 1, "HU"
    image.WindowCenter, image.WindowWidth = -500, 1400
    image.PixelData = (hounsfield - _INTERCEPT).round().clip(0, 4095).astype("<u2").tobytes()
    return image
