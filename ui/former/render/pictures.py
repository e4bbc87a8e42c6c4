"""Scans as pictures inside the page: data URIs, so that no file is ever served by its address."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from workbench.adaptation.overlay import overlay
from workbench.adaptation.saliency import SaliencyMap
from workbench.imaging.display import thumbnail, to_display
from workbench.imaging.scan import Scan

THUMBNAIL = 192
VIEW = 768


def thumbnail_uri(scan: Scan) -> str:
    """The middle slice in its default window, as JPEG."""
    return _uri(thumbnail(scan, size=THUMBNAIL), "JPEG")


def view_uri(scan: Scan, window: tuple[float, float] | None, slice_index: int) -> str:
    """One slice in a window, without loss."""
    return _uri(to_display(scan, window, slice_index, VIEW), "PNG")


def evidence_uri(scan: Scan, found: SaliencyMap) -> str:
    """A scan with the map of its evidence laid over it."""
    return _uri(overlay(scan, found), "JPEG")


def _uri(picture: npt.NDArray[np.uint8], form: str) -> str:
    grey = bool((picture[..., :1] == picture).all())
    image = Image.fromarray(np.ascontiguousarray(picture[..., 0]) if grey else picture)
    buffer = io.BytesIO()
    if form == "PNG":
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=88)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
