"""Small valid files of every kind, and ways to damage them: byte by byte, or by their structure.

Used by `fuzz` and by the test of a fixed number. Every mutation follows from a number alone.
"""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from benchmarks.hostile import packed
from benchmarks.ingest import ct_slice

REAL_BYTES = 48_000
"""Largest real file used as a seed: mutations of small files are cheap to read."""
_INTERESTING = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1)
_SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    RLELossless,
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.8.1",
    "1.2.3",
    "",
)
_NUMBERS = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit")
_OTHERS = (
    ("PixelRepresentation", (0, 1, 2)),
    ("PlanarConfiguration", (0, 1, 2)),
    (
        "PhotometricInterpretation",
        ("MONOCHROME1", "RGB", "YBR_FULL_422", "PALETTE COLOR", "YBR_ICT", "", "X"),
    ),
    ("RescaleSlope", ("0", "1e308", "-1", "nan", "", "1e-300")),
    ("RescaleIntercept", ("1e308", "inf", "", "-5")),
    ("PixelSpacing", (["0", "0"], ["-1", "1"], ["1"], [], ["1e30", "1e-30"])),
    ("ImagePositionPatient", (["0", "0"], ["nan", "0", "0"], [], ["1e308", "1e308", "1e308"])),
    ("ImageOrientationPatient", (["1", "0", "0", "1", "0", "0"], ["0"] * 6, ["1"], [])),
    ("PixelPaddingValue", (0, 65535)),
    ("WindowCenter", ("", "nan", ["1", "2", "3"])),
    ("WindowWidth", ("0", "-1", "")),
    ("SliceThickness", ("0", "-1", "x", "")),
    ("Modality", ("", "PT", "US", "<b>", "SEG")),
    ("SOPClassUID", ("", "1.2", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.77.1.6")),
    ("ImageType", ("", ["ORIGINAL", "PRIMARY", "LOCALIZER"])),
    ("SpecificCharacterSet", ("ISO_IR 192", "x", ["", "ISO 2022 IR 87"])),
)


@dataclass(frozen=True, slots=True)
class Seed:
    """A valid file.

    Attributes:
        kind: what it is, for the count.
        data: its bytes.
    """

    kind: str
    data: bytes


def seeds(shared: Path | None) -> list[Seed]:
    """Made files of every kind, and small real ones where a folder of them is given."""
    found = [*_dicoms(), *_niftis(), *_pictures()]
    found.append(Seed("zip", packed({f"a/{one.kind}": one.data for one in found[:4]})))
    if shared is not None:
        for folder, kind in (("dicom", "DICOM, real"), ("nifti", "NIfTI, real")):
            for path in sorted((shared / folder).rglob("*")):
                if path.is_file() and 128 < path.stat().st_size <= REAL_BYTES and _is_image(path):
                    found.append(Seed(kind, path.read_bytes()))
    return found


def _is_image(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(352)
    if head[128:132] == b"DICM":
        return "PixelData" in pydicom.dcmread(path)
    return head[344:347] == b"n+1" or head[:2] == b"\x1f\x8b"


def _dicoms() -> list[Seed]:
    found = []
    grey = np.arange(1024, dtype=np.uint16).reshape(32, 32)  # the smallest that OpenJPEG writes
    for syntax in (
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        JPEGLSLossless,
        JPEG2000Lossless,
        RLELossless,
    ):
        image = ct_slice(grey, 0, "1.2.3", "1.2.4", "1.2.5")
        if syntax.is_compressed:
            image.compress(syntax)
        else:
            image.file_meta.TransferSyntaxUID = syntax
        found.append(Seed("DICOM, made", save(image)))
    image.decompress()
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    found.append(Seed("DICOM, made", save(image)))
    film = ct_slice(grey, 0, "1.2.3", "1.2.4", "1.2.5")
    film.NumberOfFrames, film.PixelData = 4, np.tile(grey, (4, 1)).tobytes()
    found.append(Seed("DICOM, made", save(film)))
    colour = ct_slice(grey, 0, "1.2.3", "1.2.4", "1.2.5")
    colour.SamplesPerPixel, colour.PhotometricInterpretation, colour.PlanarConfiguration = 3, "RGB", 0
    colour.BitsAllocated = colour.BitsStored = 8
    colour.HighBit, colour.PixelData = 7, bytes(range(256)) * 12
    found.append(Seed("DICOM, made", save(colour)))
    return found


def save(image: Dataset) -> bytes:
    """Bytes of a data set, however wrong it is."""
    stream = io.BytesIO()
    with pydicom.config.disable_value_validation():
        pydicom.dcmwrite(stream, image, enforce_file_format=False)
    return stream.getvalue()


def _niftis() -> list[Seed]:
    volume = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    one, two = nib.Nifti1Image(volume, np.eye(4)).to_bytes(), nib.Nifti2Image(volume, np.eye(4)).to_bytes()
    colours = np.zeros((4, 5, 6), np.dtype([(name, "u1") for name in "RGB"]))
    rgb = nib.Nifti1Image(colours, np.eye(4)).to_bytes()
    four = nib.Nifti1Image(np.zeros((3, 3, 3, 2), np.float32), np.eye(4)).to_bytes()
    kinds = [Seed("NIfTI, made", data) for data in (one, two, rgb, four)]
    return [*kinds, Seed("nii.gz, made", gzip.compress(one))]


def _pictures() -> list[Seed]:
    grey = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    deep = Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 200)
    found = []
    for form in ("PNG", "JPEG", "BMP", "TIFF"):
        for picture in (grey, grey.convert("RGB"), grey.convert("P"), grey.convert("RGBA"), deep):
            stream = io.BytesIO()
            try:
                picture.save(stream, form)
            except OSError:
                continue  # the format has no such mode
            found.append(Seed(form, stream.getvalue()))
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "group4"):
        stream = io.BytesIO()
        mode = "1" if compression == "group4" else "L"
        pages = [grey.convert(mode)] * 2
        pages[0].save(stream, "TIFF", compression=compression, save_all=True, append_images=pages[1:])
        found.append(Seed("TIFF", stream.getvalue()))
    stream = io.BytesIO()
    grey.save(stream, "JPEG", progressive=True)
    return [*found, Seed("JPEG", stream.getvalue())]


def mutate(seed: Seed, dice: random.Random) -> bytes:
    """The seed, damaged; one time in two by its structure where that is known."""
    ways = [way for beginning, way in _WAYS if seed.kind.startswith(beginning)]
    data = seed.data
    if ways and dice.random() < 0.5:
        try:
            data = dice.choice(ways)(data, dice)
        except Exception:
            data = _bytewise(data, dice)  # what cannot be written so is damaged the plain way
        if dice.random() < 0.7:
            return data
    return _bytewise(data, dice)


def _bytewise(data: bytes, dice: random.Random) -> bytes:
    edited = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        if not edited:
            break
        # Headers are small and matter most.
        reach = len(edited) if dice.random() < 0.5 else min(len(edited), 1024)
        dice.choice(_EDITS)(edited, dice.randrange(reach), dice)
    return bytes(edited)


def _flip(data: bytearray, at: int, dice: random.Random) -> None:
    data[at] ^= 1 << dice.randrange(8)


def _set(data: bytearray, at: int, dice: random.Random) -> None:
    data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))


def _number(data: bytearray, at: int, dice: random.Random) -> None:
    form = dice.choice(("<H", ">H", "<I", ">I"))
    size = struct.calcsize(form)
    data[at : at + size] = struct.pack(form, dice.choice(_INTERESTING) % 2 ** (8 * size))


def _cut(data: bytearray, at: int, dice: random.Random) -> None:
    del data[at:]


def _remove(data: bytearray, at: int, dice: random.Random) -> None:
    del data[at : at + dice.choice((1, 2, 8, 64))]


def _repeat(data: bytearray, at: int, dice: random.Random) -> None:
    data[at:at] = data[at : at + dice.choice((1, 4, 64, 512))]


def _fill(data: bytearray, at: int, dice: random.Random) -> None:
    data[at:at] = bytes([dice.choice((0, 0xFF, 0x20))]) * dice.choice((1, 8, 128, 4096))


_EDITS = (_flip, _flip, _set, _set, _number, _number, _cut, _remove, _repeat, _fill)


def _dicom(data: bytes, dice: random.Random) -> bytes:
    """Other values, other syntaxes, missing and foreign elements."""
    image = pydicom.dcmread(io.BytesIO(data), force=True)
    with pydicom.config.disable_value_validation():
        for _ in range(dice.choice((1, 1, 2, 3))):
            dice.choice(_DICOM_EDITS)(image, dice)
        return save(image)


def _size(image: FileDataset, dice: random.Random) -> None:
    setattr(image, dice.choice(_NUMBERS), dice.choice((0, 1, 3, 8, 12, 15, 16, 17, 32, 64, 4096, 65535)))


def _value(image: FileDataset, dice: random.Random) -> None:
    name, values = dice.choice(_OTHERS)
    setattr(image, name, dice.choice(values))


def _syntax(image: FileDataset, dice: random.Random) -> None:
    image.file_meta.TransferSyntaxUID = dice.choice(_SYNTAXES)


def _without(image: FileDataset, dice: random.Random) -> None:
    del image[dice.choice(list(image.keys()))]


def _pixels(image: FileDataset, dice: random.Random) -> None:
    image.PixelData = _bytewise(image.PixelData, dice)


def _other_vr(image: FileDataset, dice: random.Random) -> None:
    tag = dice.choice(list(image.keys()))
    raw = dice.choice((b"", b"\x00\x00", b"1\\2\\3 ", b"\xff" * 64, b"9" * 64))
    vr = dice.choice(("US", "DS", "IS", "SQ", "OW", "UN", "PN", "LO", "AT", "FD"))
    image[tag] = RawDataElement(tag, vr, len(raw), raw, 0, False, True)


def _nest(image: FileDataset, dice: random.Random) -> None:
    inner = Dataset()
    for _ in range(dice.choice((1, 5, 60))):
        outer = Dataset()
        outer.add(DataElement(dice.choice((0x00081140, 0x52009229, 0x52009230, 0x00283000)), "SQ", [inner]))
        inner = outer
    image.update(inner)


_DICOM_EDITS = (_size, _size, _value, _value, _syntax, _without, _pixels, _pixels, _other_vr, _nest)


def _nifti(data: bytes, dice: random.Random) -> bytes:
    """Header fields set to what they must not be."""
    is_two = data[4:7] == b"n+2"
    header = (nib.Nifti2Header if is_two else nib.Nifti1Header)(data[: 540 if is_two else 348], check=False)
    raw = np.frombuffer(bytearray(header.binaryblock), header.structarr.dtype)
    for _ in range(dice.choice((1, 1, 2, 4))):
        name = dice.choice(
            ("dim", "dim", "datatype", "bitpix", "vox_offset", "pixdim", "scl_slope", "scl_inter")
        )
        name = dice.choice((name, name, dice.choice(raw.dtype.names or ())))
        field = raw[name].reshape(-1)
        if field.dtype.kind in "if":
            with np.errstate(all="ignore"):
                value = np.array(dice.choice((0, 1, -1, 2, 7, 300, 32767, 1e9, 1e30, np.nan, np.inf)))
                field[dice.randrange(len(field))] = (
                    np.nan_to_num(value).astype(field.dtype)
                    if (field.dtype.kind == "i")
                    else value.astype(field.dtype)
                )
            raw[name] = field.reshape(raw[name].shape)
    return raw.tobytes() + data[len(raw.tobytes()) :]


def _gzipped(data: bytes, dice: random.Random) -> bytes:
    inner = gzip.decompress(data)
    return gzip.compress(dice.choice((_nifti, _bytewise))(inner, dice))


def _png(data: bytes, dice: random.Random) -> bytes:
    """Chunks changed, dropped or repeated, their checksums right (ISO 15948, 5.3)."""
    chunks, at = [], 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    which = dice.randrange(len(chunks))
    name, body = chunks[which]
    what = dice.randrange(4)
    if what == 0:
        body = _bytewise(body, dice)
        chunks[which] = (name, body)
    elif what == 1:
        chunks.insert(dice.randrange(len(chunks)), chunks[which])
    elif what == 2:
        del chunks[which]
    else:
        pixels = _bytewise(zlib.decompress(b"".join(part for key, part in chunks if key == b"IDAT")), dice)
        chunks = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
        chunks.insert(-1, (b"IDAT", zlib.compress(pixels)))
    packed_ = (
        struct.pack(">I", len(part)) + key + part + struct.pack(">I", zlib.crc32(key + part))
        for key, part in chunks
    )
    return data[:8] + b"".join(packed_)


def _zip(data: bytes, dice: random.Random) -> bytes:
    seed = dice.choice(_dicoms())
    return packed({f"{number}": _bytewise(seed.data, dice) for number in range(dice.choice((1, 3)))})


_WAYS: tuple[tuple[str, Callable[[bytes, random.Random], bytes]], ...] = (
    ("DICOM", _dicom),
    ("NIfTI", _nifti),
    ("nii.gz", _gzipped),
    ("PNG", _png),
    ("zip", _zip),
)
