"""Files that attack a reader: bombs and hostile zips, made on the fly. Used by `bombs` and the tests."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from benchmarks.ingest import ct_slice

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Attack:
    """A hostile file.

    Attributes:
        name: what it does.
        make: writes its bytes to a path.
        reason: words of the refusal; empty where it is harmless and read.
    """

    name: str
    make: Callable[[Path], None]
    reason: str


def zeros(count: int) -> bytes:
    """A raw deflate stream of so many MiB of zeros, without the cost of packing them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # After a full flush nothing refers back, so the block can be repeated.
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * count + packer.flush()


def picture(side: int = 8, form: str = "PNG") -> bytes:
    """A grey picture, blank where it is large."""
    stream = io.BytesIO()
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) if side == 8 else np.zeros((side, side), np.uint8)
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def _ct(rows: int = 8, columns: int = 8) -> FileDataset:
    image = ct_slice(np.zeros((8, 8), np.uint16), 0, "1.2.3", "1.2.4", "1.2.5")
    image.Rows, image.Columns = rows, columns
    return image


def _bytes(image: FileDataset) -> bytes:
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _after_meta(data: bytes) -> int:
    """Where the data set begins (PS3.10 7.1: preamble, prefix, group length element of 12 bytes)."""
    return 144 + int.from_bytes(data[140:144], "little")


def deflated_dicom(path: Path) -> None:
    """Half a gigabyte of zeros as private data before the pixels; about 520 kB."""
    image = _ct()
    plain = _bytes(image)
    body = plain[_after_meta(plain) :]
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    packed = _bytes(image)
    private = b"\x09\x00\x10\x10OB\x00\x00" + struct.pack("<I", 511 * MIB)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = packer.compress(body[:60] + private) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(packed[: _after_meta(packed)] + head + zeros(511))


def rle_dicom(side: int) -> Callable[[Path], None]:
    """A few hundred bytes of RLE that claim side x side pixels."""

    def make(path: Path) -> None:
        image = _ct(side, side)
        image.file_meta.TransferSyntaxUID = RLELossless
        image.PixelData = encapsulate([struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x81\x00\x81\x00"])
        path.write_bytes(_bytes(image))

    return make


def nested_dicom(path: Path) -> None:
    """100 kB of sequences within sequences."""
    item = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    plain = _bytes(_ct())
    path.write_bytes(plain[: _after_meta(plain)] + item * (100_000 // len(item)))


def nifti(sizes: tuple[int, int, int], kind: type = np.uint8) -> bytes:
    """A header that claims a volume, and nothing else."""
    header = nib.Nifti1Header()
    header.set_data_dtype(kind)
    header["dim"][:4] = (3, *sizes)
    header["pixdim"][:4] = 1
    header["vox_offset"], header["sform_code"] = 352, 1
    header["srow_x"][0] = header["srow_y"][1] = header["srow_z"][2] = 1
    header["magic"] = b"n+1"
    return bytes(header.binaryblock) + bytes(4)


def nifti_claim(path: Path) -> None:
    """452 bytes that claim 32767 x 32767 x 32767 voxels."""
    path.write_bytes(nifti((32767, 32767, 32767)) + bytes(100))


def nifti_short(path: Path) -> None:
    """A claim within the budget of a scan, of which nothing is there."""
    path.write_bytes(nifti((512, 512, 1000)) + bytes(100))


def gzipped_nifti(sizes: tuple[int, int, int], kind: type, mebibytes: int) -> Callable[[Path], None]:
    """A volume of zeros; a thousandth of its size."""

    def make(path: Path) -> None:
        head = gzip.compress(nifti(sizes, kind))
        # Members of a gzip file follow one another (RFC 1952, 2.2).
        block = gzip.compress(bytes(MIB), 9)
        path.write_bytes(head + block * mebibytes)

    return make


def gzip_name(path: Path) -> None:
    """A gzip header whose file name does not end for 64 MiB."""
    path.write_bytes(b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * (64 * MIB))


def blank_png(path: Path) -> None:
    """8,190 x 8,190 blank pixels in 65 kB."""
    path.write_bytes(picture(8190))


def progressive_jpeg(path: Path) -> None:
    """A blank JPEG whose last scan comes thousands of times: little memory, endless time."""
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4096, 4096), np.uint8)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + scan * (2 * MIB // len(scan)) + b"\xff\xd9")


def lying_jpeg_dicom(path: Path) -> None:
    """A codestream of 16,000 x 16,000 pixels behind a header that says 8 x 8."""
    image = _ct()
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    data = bytearray(picture(64, "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 16_000, 16_000)
    image.PixelData = encapsulate([bytes(data)])
    path.write_bytes(_bytes(image))


def packed(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these entries."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in entries.items():
            entry = zipfile.ZipInfo("x")
            entry.filename = name  # as it stands: the library would tidy it
            entry.compress_type = method
            archive.writestr(entry, data)
    return stream.getvalue()


def named(name: str) -> Callable[[Path], None]:
    """A zip with one entry of this name."""
    return lambda path: _write(path, packed({"good.png": picture(), name: picture()}))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def link(path: Path) -> None:
    """A symbolic link to a file of the system's."""
    entry = zipfile.ZipInfo("link.png")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "/etc/passwd")


def nested_zip(path: Path) -> None:
    """A zip in a zip."""
    path.write_bytes(packed({"inner.zip": packed({"a.png": picture()})}))


def ratio(path: Path) -> None:
    """One entry of a gigabyte of zeros."""
    path.write_bytes(_raw_zip([("zeros", zeros(1024), 1024 * MIB)]))


def lying(path: Path) -> None:
    """A gigabyte of zeros that says it is 1,000 bytes."""
    path.write_bytes(_raw_zip([("zeros", zeros(1024), 1000)]))


def many(path: Path) -> None:
    """A hundred thousand empty entries."""
    path.write_bytes(_raw_zip([(str(number), b"", 0) for number in range(100_000)]))


def overlapping(path: Path) -> None:
    """Every entry is the same bytes, told apart by the index alone."""
    data = picture(1024)
    whole = _raw_zip([("0.png", data, len(data))], method=0)
    start = whole.index(b"PK\x01\x02")
    one = whole[start : whole.index(b"PK\x05\x06")]
    index = b"".join(one[:-5] + f"{number % 10}.png".encode() for number in range(10))
    path.write_bytes(whole[:start] + index + _end(10, len(index), start))


def quoted(path: Path) -> None:
    """Fifield's overlap: each entry's data quotes the next one's header (USENIX WOOT 2019, section 4)."""
    kernel = picture(1024)
    names = ["a.png", "b.png", "c.png"]
    chain = _local(names[-1], kernel, kernel, 0)
    records = [(names[-1], kernel, kernel)]
    for name in reversed(names[:-1]):
        # A deflate block that stores the local header of the next entry, then goes on with its data.
        quote = b"\x01" + struct.pack("<HH", len(chain), len(chain) ^ 0xFFFF) + chain
        records.insert(0, (name, quote, chain))
        chain = _local(name, quote, chain, 8)
    at, index = 0, b""
    for name, data, plain in records:
        index += _central(name, data, plain, 8 if data is not plain else 0, at)
        at += len(_local(name, b"", b"", 8)) + 5
    path.write_bytes(chain + index + _end(len(records), len(index), len(chain)))


def duplicates(path: Path) -> None:
    """Two entries of one name, which could overwrite each other."""
    path.write_bytes(_raw_zip([("a.png", data, len(data)) for data in (picture(), picture(9))], method=0))


def encrypted(path: Path) -> None:
    """An entry with a password."""
    raw = bytearray(packed({"locked.png": picture()}))
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(raw))


def pictures(path: Path) -> None:
    """Three thousand blank pictures, each within the budget of one, together 100 GB."""
    data = picture(2890)
    path.write_bytes(packed({f"{number}.png": data for number in range(3000)}))


def _local(name: str, data: bytes, plain: bytes, method: int) -> bytes:
    """Local file header and data (APPNOTE 4.3.7)."""
    crc, encoded = zlib.crc32(plain), name.encode()
    fields = (20, 0, method, 0, 33, crc, len(data), len(plain), len(encoded), 0)
    return b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", *fields) + encoded + data


def _central(name: str, data: bytes, plain: bytes, method: int, at: int, size: int | None = None) -> bytes:
    """Central directory header (APPNOTE 4.3.12)."""
    encoded = name.encode()
    told = len(plain) if size is None else size
    sizes = (zlib.crc32(plain), len(data), told, len(encoded), 0, 0, 0, 0, 0, at)
    return b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, method, 0, 33, *sizes) + encoded


def _end(count: int, size: int, at: int) -> bytes:
    return b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count % 65536, count % 65536, size, at, 0)


def _raw_zip(entries: list[tuple[str, bytes, int]], method: int = 8) -> bytes:
    """Entries as (name, packed data, the size told)."""
    body, index = io.BytesIO(), io.BytesIO()
    for name, data, size in entries:
        index.write(_central(name, data, data, method, body.tell(), size))
        body.write(_local(name, data, data, method))
    end = _end(len(entries), index.tell(), body.tell())
    return body.getvalue() + index.getvalue() + end


BOMBS = (
    Attack("deflated DICOM, 511 MiB inside", deflated_dicom, "inflates"),
    Attack("RLE DICOM that claims 60,000 x 60,000", rle_dicom(60_000), "header claims"),
    Attack("nested sequences, 100 kB", nested_dicom, "nested"),
    Attack("NIfTI that claims 32,767 cubed", nifti_claim, "header claims"),
    Attack(
        "nii.gz that inflates to 2.6 GB", gzipped_nifti((870, 870, 870), np.float32, 2512), "header claims"
    ),
)
"""The five that were measured before anything was done about them."""
FURTHER = (
    Attack("RLE DICOM that claims 16,000 x 16,000", rle_dicom(16_000), "compresses to"),
    Attack("nii.gz of 250 MB of zeros", gzipped_nifti((512, 512, 1000), np.uint8, 250), "compresses to"),
    Attack("NIfTI that ends after its header", nifti_short, "cut short"),
    Attack("gzip header without an end", gzip_name, "gzip"),
    Attack("blank PNG of 8,190 x 8,190", blank_png, "compresses to"),
    Attack("JPEG of endless scans", progressive_jpeg, "stopped after"),
    Attack("codestream larger than its header says", lying_jpeg_dicom, "larger than the header"),
)
"""Bombs that keep within the budget of a scan."""
ZIPS = (
    Attack("zip: absolute name", named("/etc/evil.png"), "points outside"),
    Attack("zip: name with ..", named("../../evil.png"), "points outside"),
    Attack("zip: name with a drive", named("C:\\evil.png"), "points outside"),
    Attack("zip: symbolic link", link, "points outside"),
    Attack("zip: zip inside", nested_zip, "archive inside"),
    Attack("zip: 1 GiB of zeros", ratio, "times"),
    Attack("zip: 1 GiB that says 1,000 bytes", lying, "damaged"),
    Attack("zip: 100,000 entries", many, "entries"),
    Attack("zip: overlapping entries", overlapping, "share the same bytes"),
    Attack("zip: quoted overlap", quoted, "share the same bytes"),
    Attack("zip: duplicate names", duplicates, ""),
    Attack("zip: encrypted entry", encrypted, "encrypted"),
    Attack("zip: 3,000 blank pictures", pictures, "takes more memory"),
)
