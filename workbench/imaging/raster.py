"""Reading PNG, JPEG, BMP and TIFF into a `Scan`.

Grey images of 8 and 16 bits keep their depth. What Pillow would do silently, or not at all (transparency,
CMYK, EXIF rotation, 16-bit colour, further pages), is done here with a finding. Called by `read`.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, TiffImagePlugin

from workbench.errors import ScanRefused
from workbench.imaging.dicom import replace_non_finite
from workbench.imaging.dicomfile import quiet, refusing
from workbench.imaging.limits import check_claim, check_file_size, check_values
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.scan import Finding, Provenance, Scan, Severity, Units

# At its finest level it quotes tags, which may identify a patient, whatever the user set for other loggers.
logging.getLogger("PIL").setLevel(logging.INFO)

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_ORIENTATION_TAG = 0x0112
_GREY_DEPTH = {"1": 1, "L": 8, "I;16": 16, "I;16L": 16, "I;16B": 16, "I": 32, "F": 32}
_TOP = {1: 255.0, 8: 255.0, 16: 65535.0}


def read_raster(path: Path, source: str, options: ReadOptions = DEFAULTS) -> Scan:
    """Read one raster file.

    8-bit images have `Units.DISPLAY` and a range of 0 to 255; deeper ones `Units.MODALITY`, as few of them
    fill their range (a 12-bit X-ray in a 16-bit PNG). A TIFF whose pages are alike becomes a volume. No
    option concerns a raster file.

    Raises:
        ScanRefused: damaged, past the budget, or in a colour space that is not read.
    """
    with refusing(source), quiet():
        check_file_size(source, path.stat().st_size)
        data = path.read_bytes()
        with _opened(data, source) as image:
            findings: list[Finding] = []
            pages = _pages(image, len(data), source, findings)
            form = "JPEG" if image.format == "MPO" else str(image.format)
            encoding = f"{form}, {image.mode}"
            if _is_deep_colour(data, image):
                findings.append(
                    Finding(
                        "depth-reduced",
                        Severity.WARNING,
                        "Colour of 16 bits per channel was reduced to 8 bits.",
                        "Save grey images as 16-bit grey, without colour or transparency.",
                    )
                )
            depth = _GREY_DEPTH.get(image.mode, 8)
            planes = [_plane(_page(image, page), source, findings) for page in range(pages)]
        pixels = np.stack(planes)
        finite = np.isfinite(pixels)
        if not finite.all():
            pixels, note = replace_non_finite(pixels, finite, source)
            findings.append(note)
        return Scan(
            pixels=pixels,
            units=Units.DISPLAY if depth <= 8 else Units.MODALITY,
            modality="OT",
            provenance=Provenance(source, form, hashlib.sha256(data).hexdigest(), encoding),
            value_range=(0.0, _TOP[depth]) if depth in _TOP else None,
            findings=tuple(dict.fromkeys(findings)),
        )


def _opened(data: bytes, source: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ScanRefused(
            source, "Its header claims more pixels than are allowed.", "Export a smaller region."
        ) from error


def _pages(image: Image.Image, size: int, source: str, findings: list[Finding]) -> int:
    """How many pages are read, within the budget."""
    count = int(getattr(image, "n_frames", 1))
    check_values(source, (image.height, image.width, 4))
    check_claim(source, image.height * image.width * len(image.getbands()), size)
    if count == 1:
        return 1
    if image.format == "TIFF":
        # Looked at before anything is decoded: a chain of pages costs a seek each.
        check_values(source, (count, image.height, image.width, 4))
        check_claim(source, count * image.height * image.width * len(image.getbands()), size)
        sizes = set()
        for page in range(count):
            image.seek(page)
            sizes.add((image.size, image.mode))
        image.seek(0)
        if len(sizes) == 1:
            findings.append(
                Finding("multi-page", Severity.INFO, f"Its {count} pages were read as slices of a volume.")
            )
            return count
    findings.append(
        Finding(
            "first-page",
            Severity.WARNING,
            f"The file holds {count} pictures; the first was taken.",
            "Save the picture of interest as its own file.",
        )
    )
    return 1


def _page(image: Image.Image, page: int) -> Image.Image:
    if page:
        image.seek(page)
    return image


def _plane(image: Image.Image, source: str, findings: list[Finding]) -> npt.NDArray[np.float32]:
    """One page as float32 ``(rows, columns, 1 or 3)``."""
    turned = ImageOps.exif_transpose(image)
    if image.getexif().get(_ORIENTATION_TAG, 1) not in (0, 1):
        findings.append(
            Finding("exif-rotated", Severity.INFO, "The image was turned as its EXIF orientation asks.")
        )
    deep = _GREY_DEPTH.get(turned.mode, 0) > 8
    if deep and "transparency" in turned.info:
        findings.append(
            Finding(
                "alpha-dropped", Severity.INFO, "One grey level was meant to be transparent; it was kept."
            )
        )
    if deep or (turned.mode in _GREY_DEPTH and "transparency" not in turned.info):
        grey = turned.convert("L") if turned.mode == "1" else turned
        return np.asarray(grey, dtype=np.float32)[..., None]
    convert = _TO_COLOUR.get(turned.mode)
    if convert is None:
        raise ScanRefused(source, f"Colour space {turned.mode} is not read.", "Save it as grey or RGB.")
    picture = np.asarray(convert(turned, findings), dtype=np.float32)
    return picture if picture.ndim == 3 else picture[..., None]


def _opaque(image: Image.Image, findings: list[Finding]) -> Image.Image:
    """Lay a transparent image on black, so that what is invisible stays invisible."""
    grey = image.mode in ("LA", "La", "L")
    layered = image.convert("RGBA")
    if layered.getchannel("A").getextrema() != (255, 255):
        findings.append(
            Finding(
                "alpha-composited",
                Severity.WARNING,
                "Transparent parts were laid on black.",
                "Save the image without transparency.",
            )
        )
        layered = Image.alpha_composite(Image.new("RGBA", layered.size, (0, 0, 0, 255)), layered)
    return layered.convert("L" if grey else "RGB")


def _palette(image: Image.Image, findings: list[Finding]) -> Image.Image:
    findings.append(
        Finding(
            "palette-colour", Severity.INFO, "Colours were looked up in the palette that the file carries."
        )
    )
    return _opaque(image, findings)


def _cmyk(image: Image.Image, findings: list[Finding]) -> Image.Image:
    findings.append(
        Finding(
            "cmyk-converted",
            Severity.WARNING,
            "Print colours (CMYK) were converted to RGB without a colour profile.",
            "Export the image as RGB.",
        )
    )
    return image.convert("RGB")


def _rgb(image: Image.Image, findings: list[Finding]) -> Image.Image:
    return _opaque(image, findings) if "transparency" in image.info else image.convert("RGB")


_TO_COLOUR: dict[str, Callable[[Image.Image, list[Finding]], Image.Image]] = {
    "RGB": _rgb,
    "RGBX": _rgb,
    "YCbCr": _rgb,
    "1": _opaque,
    "L": _opaque,
    "LA": _opaque,
    "La": _opaque,
    "RGBA": _opaque,
    "RGBa": _opaque,
    "P": _palette,
    "PA": _palette,
    "CMYK": _cmyk,
}


def _is_deep_colour(data: bytes, image: Image.Image) -> bool:
    """Whether Pillow reduces the file from 16 bits per channel to 8 (it does so without saying)."""
    if image.format == "PNG":
        bit_depth, colour_type = data[24], data[25]
        return bit_depth == 16 and colour_type != 0
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE) or (8,)
        return len(bits) > 1 and max(bits) > 8
    return False
