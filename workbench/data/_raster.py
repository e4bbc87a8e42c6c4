"""Minimal raster reader with the signature of `workbench.imaging.read.read_scan`; goes when that lands."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from workbench.errors import ScanRefused
from workbench.imaging.scan import Provenance, Scan, Units


def read_scan(path: Path, name: str | None = None) -> Scan:
    """An 8-bit grey or colour raster file as a `Scan`."""
    shown = name or path.name
    try:
        raw = path.read_bytes()
        with Image.open(io.BytesIO(raw)) as image:
            kind = str(image.format)
            pixels = np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"), dtype=np.float32)
    except (OSError, UnidentifiedImageError) as error:
        raise ScanRefused(shown, f"cannot be read ({error}).", "Replace the file.") from error
    pixels = pixels[None, ..., None] if pixels.ndim == 2 else pixels[None]
    provenance = Provenance(shown, kind, hashlib.sha256(raw).hexdigest(), "8 bit")
    return Scan(np.ascontiguousarray(pixels), Units.DISPLAY, "OT", provenance, value_range=(0.0, 255.0))
