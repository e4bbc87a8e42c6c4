"""NIfTI and raster files without what they carry beside the pixels. Called by `deidentify`.

Pixels are copied as they are stored, except those of BMP and TIFF, which are written again without loss.
"""

from __future__ import annotations

import gzip
import io
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

import nibabel as nib
from PIL import Image, TiffImagePlugin

from workbench.errors import ScanRefused
from workbench.imaging.deidentify_codestream import without_comments
from workbench.imaging.limits import LIMITS
from workbench.imaging.raster import FORMATS

_NIFTI_TEXT = ("data_type", "db_name", "descrip", "aux_file", "intent_name", "unused_str")
_NIFTI_UNUSED = ("extents", "session_error", "glmax", "glmin")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"gAMA", b"sRGB", b"pHYs", b"IDAT", b"IEND")
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True, slots=True, eq=False)
class CleanedFile:
    """A file after de-identification.

    Attributes:
        data: its bytes.
        suffix: of its name.
        removed: what was left out and how often, by name, without values.
    """

    data: bytes
    suffix: str
    removed: Counter[str]


def clean_nifti(path: Path, source: str) -> CleanedFile:
    """A NIfTI file with empty text fields, without extensions and without anything behind its values.

    Raises:
        ScanRefused: it inflates past the budget.
    """
    zipped = path.open("rb").read(2) == b"\x1f\x8b"
    with gzip.GzipFile(path) if zipped else path.open("rb") as stream:
        data = stream.read(LIMITS.inflated_bytes + 1)
    if len(data) > LIMITS.inflated_bytes:
        raise ScanRefused(source, "It inflates past the budget.", "Export a smaller region.")
    kind = nib.Nifti2Header if data[4:7] == b"n+2" else nib.Nifti1Header
    header = kind.from_fileobj(io.BytesIO(data), check=False)
    removed: Counter[str] = Counter()
    start, size = int(header["vox_offset"]), prod(header.get_data_shape()) * header.get_data_dtype().itemsize
    first = 544 if kind is nib.Nifti2Header else 352
    if start > first:
        removed["NIfTI extensions"] += 1
    if len(data) > start + size:
        removed["NIfTI bytes behind the values"] += 1
    names = header.keys()
    for name in _NIFTI_TEXT:
        if name in names and bytes(header[name].tobytes()).strip(b"\x00 "):
            removed[f"NIfTI {name}"] += 1
            header[name] = b""
    for name in _NIFTI_UNUSED:
        if name in names:
            header[name] = 0
    header["vox_offset"] = first
    plain = header.binaryblock + b"\x00" * (first - len(header.binaryblock)) + data[start : start + size]
    if not zipped:
        return CleanedFile(plain, ".nii", removed)
    packed = io.BytesIO()
    # A gzip header would name the file and say when it was packed.
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as out:
        out.write(plain)
    return CleanedFile(packed.getvalue(), ".nii.gz", removed)


def clean_raster(path: Path, source: str) -> CleanedFile:
    """A PNG, JPEG, BMP or TIFF file with its pixels only.

    Raises:
        ScanRefused: a colour TIFF of 16 bits, which cannot be written again without loss.
    """
    data = path.read_bytes()
    if data.startswith(_PNG_START):
        return _png(data)
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return _written_again(image, source)


def _png(data: bytes) -> CleanedFile:
    """Critical chunks, transparency and gamma (W3C PNG, 11); text, time, EXIF and profiles are left out."""
    out, at, removed = [_PNG_START], len(_PNG_START), Counter[str]()
    while at + 12 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name in _PNG_KEPT:
            out.append(data[at : at + 12 + length])
        else:
            removed[f"PNG chunk {name.decode('latin-1') if name.isalpha() else 'of no name'}"] += 1
        at += 12 + length
        if name == b"IEND":
            break
    if at < len(data):
        removed["PNG bytes behind the picture"] += 1
    return CleanedFile(b"".join(out), ".png", removed)


def _jpeg(data: bytes) -> CleanedFile:
    plain, dropped = without_comments(data)
    with Image.open(io.BytesIO(data)) as image:
        turned = image.getexif().get(_ORIENTATION_TAG, 1)
    if turned in range(2, 9):
        # The one thing of EXIF that says how to look at the picture.
        exif = Image.Exif()
        exif[_ORIENTATION_TAG] = turned
        body = exif.tobytes()
        body = body if body.startswith(b"Exif\x00\x00") else b"Exif\x00\x00" + body
        plain = plain[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + plain[2:]
    removed = Counter({"JPEG comments and application data": dropped} if dropped else {})
    return CleanedFile(plain, ".jpg", removed)


def _written_again(image: Image.Image, source: str) -> CleanedFile:
    bits: tuple[int, ...] = (8,)
    if is_tiff := isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE) or bits
    if len(bits) > 1 and max(bits) > 8:
        raise ScanRefused(source, "Its colours have 16 bits per channel.", "Save it as PNG first.")
    pages = []
    for page in range(getattr(image, "n_frames", 1)):
        image.seek(page)
        bare = Image.frombytes(image.mode, image.size, image.tobytes())
        if palette := image.getpalette():
            bare.putpalette(palette)
        pages.append(bare)
    removed = Counter({"TIFF tags" if is_tiff else "BMP header": 1})
    out = io.BytesIO()
    if is_tiff:
        turned = image.getexif().get(_ORIENTATION_TAG, 1)
        kept = {_ORIENTATION_TAG: turned} if turned in range(2, 9) else {}
        pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:], tiffinfo=kept, compression="raw")
        return CleanedFile(out.getvalue(), ".tif", removed)
    pages[0].save(out, "BMP")
    return CleanedFile(out.getvalue(), ".bmp", removed)
