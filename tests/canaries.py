"""Scans with a unique string wherever a file can hold one, and a search that finds such strings anywhere.

A needle is ``zqx`` + number + ``kana``: short enough for every VR, and nothing else spells like it. Numbers
and dates have needles of their own.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image, PngImagePlugin
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from tests.imaging.makers import ct, save

NEEDLE = re.compile(rb"zqx(\d{5})kana", re.IGNORECASE)
UID_NEEDLE, DATE_NEEDLE, TIME_NEEDLE, INTEGER_NEEDLE, DECIMAL_NEEDLE = (
    "1.2.826.0.1.98765987659876",
    "19371103",
    "231753.918273",
    "771300421",
    "7713.0042155",
)
NUMBERS = tuple(n.encode() for n in (UID_NEEDLE, DATE_NEEDLE, TIME_NEEDLE, INTEGER_NEEDLE, DECIMAL_NEEDLE))
TEXT_VRS = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
NEEDED = frozenset(
    ("PhotometricInterpretation", "Modality", "PixelPresentation", "ModalityLUTType", "SpecificCharacterSet")
)
"""Without these as they are the file would not be read at all, or not with the others."""

_FILES, _DATA = range(10_000, 20_000), range(20_000, 100_000)


class Planter:
    """Hands out needles; those from 20,000 on stand in data, those below in names of files and folders."""

    def __init__(self) -> None:
        self._name, self._data = iter(_FILES), iter(_DATA)

    def name(self) -> str:
        """For a file or folder."""
        return f"zqx{next(self._name)}kana"

    def data(self) -> str:
        """For anything inside a file."""
        return f"ZQX{next(self._data)}KANA"


def planted_dicom(image: FileDataset, planter: Planter) -> FileDataset:
    """The image with a needle in each public text element, and in every VR of private and nested ones."""
    for number, (vr, vm, _, retired, keyword) in DicomDictionary.items():
        tag = Tag(number)
        if vr in TEXT_VRS and keyword and not retired and tag.group > 2 and keyword not in NEEDED:
            several = vm in ("1-n", "2-n", "2") and vr in ("CS", "LO", "SH")
            value = [planter.data(), planter.data()] if several else planter.data()
            image.add(DataElement(tag, vr, value))
    for keyword in (
        "StudyDate",
        "PatientBirthDate",
        "ContentDate",
        "AcquisitionDate",
        "DateOfLastCalibration",
    ):
        setattr(image, keyword, DATE_NEEDLE)
    for keyword in ("StudyTime", "ContentTime", "PatientBirthTime"):
        setattr(image, keyword, TIME_NEEDLE)
    image.AcquisitionDateTime = DATE_NEEDLE + TIME_NEEDLE
    image.AcquisitionNumber = image.AccessionNumber = INTEGER_NEEDLE
    image.PatientWeight = DECIMAL_NEEDLE
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "DeviceUID"):
        setattr(image, keyword, f"{UID_NEEDLE}.{len(keyword)}")
    last = str(image.SOPInstanceUID)[-10:].replace(".", "1")
    image.SOPInstanceUID = f"{UID_NEEDLE}.1{last}"
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.SourceApplicationEntityTitle = planter.data()
    image.file_meta.PrivateInformationCreatorUID = UID_NEEDLE
    image.file_meta.PrivateInformation = planter.data().encode()
    image.preamble = planter.data().encode().ljust(128, b"\x00")
    nested = _every_vr(planter)
    deeper = Dataset()
    deeper.ReferencedImageSequence = Sequence([_every_vr(planter)])
    # Within a sequence that is kept and within one that is not, public and private.
    image.VOILUTSequence = Sequence([_every_vr(planter)])
    image.RequestAttributesSequence = Sequence([nested])
    image.ProcedureCodeSequence = Sequence([_code(planter)])
    image.AnatomicRegionSequence = Sequence([_code(planter)])
    image.IconImageSequence = Sequence([deeper])
    block = image.private_block(0x0029, planter.data(), create=True)
    for offset, vr in enumerate(sorted(TEXT_VRS)):
        block.add_new(offset, vr, planter.data())
    block.add_new(0x20, "OB", planter.data().encode())
    block.add_new(0x21, "UN", planter.data().encode("utf-16-le"))
    block.add_new(0x22, "SQ", Sequence([_every_vr(planter)]))
    block.add_new(0x23, "UN", zlib.compress(planter.data().encode() * 4))
    rows, columns = 8, 16 * 8
    image.add_new(0x60000010, "US", rows)
    image.add_new(0x60000011, "US", columns)
    image.add_new(0x60000040, "CS", "G")
    image.add_new(0x60000022, "LO", planter.data())
    image.add_new(0x60003000, "OW", planter.data().encode().ljust(rows * columns // 8, b"\x00"))
    image.add_new(0x50003000, "OW", planter.data().encode().ljust(32, b"\x00"))
    image.PixelData = bytes(image.PixelData) + planter.data().encode().ljust(20, b" ")
    return image


def _every_vr(planter: Planter) -> Dataset:
    item = Dataset()
    item.PatientName, item.PatientID, item.InstitutionName = planter.data(), planter.data(), planter.data()
    item.ImageComments, item.SeriesDescription, item.BodyPartExamined = (planter.data() for _ in range(3))
    item.LUTExplanation, item.StudyDate, item.StudyTime = planter.data(), DATE_NEEDLE, TIME_NEEDLE
    item.ReferencedSOPInstanceUID, item.RetrieveURL, item.LabelText = (
        UID_NEEDLE,
        planter.data(),
        planter.data(),
    )
    item.EncapsulatedDocument = planter.data().encode()
    item.private_block(0x0031, planter.data(), create=True).add_new(1, "LO", planter.data())
    return item


def _code(planter: Planter) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = (planter.data() for _ in range(3))
    return item


def planted_scans(folder: Path, planter: Planter, seed: int, patients: int = 4) -> Path:
    """Class folders ``calm`` and ``storm`` of DICOM, PNG, JPEG, NIfTI, a zip, and files that are broken.

    Every file, every patient's folder and every zip entry has a needle in its name.
    """
    rng = np.random.default_rng(seed)
    for label, level in (("calm", 0), ("storm", 700)):
        for _ in range(patients):
            place = folder / label / planter.name()
            image = ct((rng.integers(0, 400, (40, 40)) + level).astype(np.int16))
            save(planted_dicom(image, planter), place / f"{planter.name()}.dcm")
        _planted_pictures(folder / label, planter, rng, level // 8)
    broken = folder / "storm" / f"{planter.name()}.dcm"
    broken.write_bytes(next(folder.rglob("*.dcm")).read_bytes()[:3000])
    (folder / "calm" / f"{planter.name()}.txt").write_text(planter.data())
    odd = ct(rng.integers(0, 99, (40, 40)).astype(np.int16))
    odd.PhotometricInterpretation = odd.PatientID = planter.data()
    save(odd, folder / "calm" / f"{planter.name()}.dcm")
    return folder


def _planted_pictures(folder: Path, planter: Planter, rng: np.random.Generator, level: int) -> None:
    pixels = (rng.integers(0, 100, (40, 40)) + level).astype(np.uint8)
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", planter.data())
    text.add_text("Comment", planter.data(), zip=True)
    text.add_itxt("Title", planter.data())
    png = folder / f"{planter.name()}.png"
    Image.fromarray(pixels).save(png, pnginfo=text)
    png.write_bytes(png.read_bytes() + planter.data().encode())
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = planter.data()
    noise = Image.fromarray(rng.integers(0, 255, (40, 40, 3)).astype(np.uint8))
    noise.save(folder / f"{planter.name()}.jpg", exif=exif, comment=planter.data().encode())
    tags = {270: planter.data(), 315: planter.data()}
    Image.fromarray(rng.integers(0, 250, (40, 40)).astype(np.uint8)).save(
        folder / f"{planter.name()}.tif", tiffinfo=tags
    )
    nifti = nib.Nifti1Image(rng.integers(0, 500, (40, 40, 3)).astype(np.int16), np.eye(4))
    nifti.header["descrip"], nifti.header["aux_file"] = planter.data(), planter.data()
    nifti.header["db_name"], nifti.header["intent_name"] = planter.data(), planter.data()
    nifti.header.extensions.append(nib.nifti1.Nifti1Extension("comment", planter.data().encode()))
    nib.save(nifti, folder / f"{planter.name()}.nii.gz")
    inside = io.BytesIO()
    save(
        planted_dicom(ct((rng.integers(0, 400, (40, 40)) + level).astype(np.int16)), planter),
        folder / "x.dcm",
    )
    with zipfile.ZipFile(inside, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = planter.data().encode()
        archive.write(folder / "x.dcm", f"{planter.name()}/{planter.name()}.dcm")
    (folder / "x.dcm").unlink()
    (folder / f"{planter.name()}.zip").write_bytes(inside.getvalue())


def needles(data: bytes, depth: int = 0) -> set[str]:
    """Every needle in some bytes: as they are, in UTF-16, inside gzip, zlib, zip, PNG text and base64."""
    found = {m[0].decode().lower() for m in NEEDLE.finditer(data)}
    found |= {number.decode() for number in NUMBERS if number in data}
    for start in (0, 1):
        for order in ("utf-16-le", "utf-16-be"):
            narrow = data[start:].decode(order, "ignore").encode("ascii", "ignore")
            found |= {m[0].decode().lower() for m in NEEDLE.finditer(narrow)}
    if depth < 4:
        for inner in _inside(data):
            found |= needles(inner, depth + 1)
    return found


def _inside(data: bytes) -> Iterator[bytes]:
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield archive.comment
            for entry in archive.infolist():
                yield entry.filename.encode()
                yield archive.read(entry)
    for match in re.finditer(rb"x[\x01\x5e\x9c\xda]", data):
        inflater = zlib.decompressobj()
        try:
            yield inflater.decompress(data[match.start() :], 10_000_000)
        except zlib.error:
            continue
    for match in re.finditer(rb"base64,([A-Za-z0-9+/=]+)", data):
        try:
            yield base64.b64decode(match[1])
        except binascii.Error:
            continue


def needles_below(folder: Path) -> dict[str, set[str]]:
    """Needles in the names and contents of all files below a folder, by file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        here = needles(path.relative_to(folder).as_posix().encode())
        here |= needles(path.read_bytes()) if path.is_file() else set()
        if here:
            found[path.relative_to(folder).as_posix()] = here
    return found
