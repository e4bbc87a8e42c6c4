"""Where an image's pixels come from: a file, a box of a file, an array, a drawing in a zip.

Yielded by `layouts` and `labelled`, decoded by `store`. Nothing is decoded before `Item.scan` is called.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from workbench.errors import ScanRefused
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.read import read_scan
from workbench.imaging.scan import Provenance, Scan, Units


class ImageSource(Protocol):
    """Where one image's pixels come from."""

    def scan(self, name: str, modality: str) -> Scan:
        """Decode; raises `ScanRefused`."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled image that has not been decoded yet.

    Attributes:
        source: how to decode it.
        label: key of its class, as the files spell it.
        patient: patient key, or None where none is published.
        name: path below the dataset's folder (``class/file.jpg``, ``file.jpg#3`` for a crop).
        split: official split, empty where there is none.
    """

    source: ImageSource
    label: str
    patient: str | None
    name: str
    split: str = ""

    def scan(self, modality: str) -> Scan:
        """The decoded image.

        Raises:
            ScanRefused: if the file cannot be read.
        """
        return self.source.scan(self.name, modality)


@dataclass(frozen=True, slots=True)
class FileImage:
    """An image file on disk."""

    path: Path
    options: ReadOptions = DEFAULTS

    def scan(self, name: str, modality: str) -> Scan:  # noqa: D102
        scan = read_scan(self.path, name=name, options=self.options)
        return replace(scan, modality=modality) if scan.modality == "OT" else scan


@dataclass(frozen=True, slots=True)
class CropImage:
    """A box (left, top, right, bottom; pixels, half open) of an image file."""

    path: Path
    box: tuple[int, int, int, int]

    def scan(self, name: str, modality: str) -> Scan:  # noqa: D102
        left, top, right, bottom = self.box
        whole = _whole(self.path, modality)
        pixels = whole.pixels[:, max(top, 0) : bottom, max(left, 0) : right]
        if 0 in pixels.shape:
            raise ScanRefused(name, f"the box {self.box} is empty.", "Correct the annotation.")
        return replace(whole, pixels=np.ascontiguousarray(pixels))


@dataclass(frozen=True, slots=True, eq=False)
class ArrayImage:
    """An 8-bit image ``(rows, columns)`` or ``(rows, columns, 3)``, or volume ``(slices, rows, columns)``."""

    pixels: npt.NDArray[np.uint8]
    volume: bool = False

    def scan(self, name: str, modality: str) -> Scan:  # noqa: D102
        return array_scan(self.pixels, name, modality, volume=self.volume)


@dataclass(frozen=True, slots=True)
class ZipImage:
    """A black-on-white drawing in a zip, turned anticlockwise and shown white on black."""

    archive: Path
    member: str
    degrees: int

    def scan(self, name: str, modality: str) -> Scan:  # noqa: D102
        with open_zip(self.archive).open(self.member) as file, Image.open(file) as image:
            pixels = 255 - np.asarray(image.convert("L"))
        return array_scan(np.rot90(pixels, self.degrees // 90), name, modality)


def array_scan(pixels: npt.NDArray[np.uint8], name: str, modality: str, volume: bool = False) -> Scan:
    """A `Scan` of 8-bit display values 0..255; see `ArrayImage` for the shapes."""
    values = np.ascontiguousarray(pixels)
    planes = values if volume else values[None]
    shaped = planes[..., None] if planes.ndim == 3 else planes
    provenance = Provenance(name, "array", hashlib.sha256(values.tobytes()).hexdigest(), "8 bit")
    return Scan(shaped.astype(np.float32), Units.DISPLAY, modality, provenance, value_range=(0.0, 255.0))


@lru_cache(maxsize=4)
def open_zip(path: Path) -> zipfile.ZipFile:
    """An open zip, kept for the next image in it."""
    return zipfile.ZipFile(path)


@lru_cache(maxsize=8)
def _whole(path: Path, modality: str) -> Scan:
    """A photographed field is decoded once for all its boxes, which come one after another."""
    return FileImage(path).scan(path.name, modality)
