"""JPEG files of scans: thumbnails for trays and maps of evidence. Called by jobs."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from workbench.imaging.display import thumbnail
from workbench.imaging.scan import Scan

THUMBNAIL = 192
_QUALITY = 88


def preview(scan: Scan) -> bytes:
    """The middle slice in its default window, longest side `THUMBNAIL` pixels."""
    return jpeg(thumbnail(scan, size=THUMBNAIL))


def jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    """A picture ``(rows, columns, 3)`` as JPEG, grey where its channels are equal."""
    grey = bool((picture[..., :1] == picture).all())
    image = Image.fromarray(np.ascontiguousarray(picture[..., 0]) if grey else picture)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
