"""Opening a DICOM file and deciding, from its header alone, whether it holds an image within the budget.

The file is read once: its digest is of the bytes that are parsed. Called by `dicom` for one file and by
`decoding` for many.
"""

from __future__ import annotations

import hashlib
import io
import logging
import threading
import warnings
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
    MediaStorageDirectoryStorage,
    VLWholeSlideMicroscopyImageStorage,
)

from workbench.errors import ScanRefused
from workbench.imaging.codestream import frame_size
from workbench.imaging.held import Held
from workbench.imaging.limits import LIMITS, check_claim, check_file_size, check_values
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.pixelchain import frame_count
from workbench.imaging.scan import Finding, Severity
from workbench.imaging.sopclasses import not_a_scan

# Its messages quote paths and element values, which may identify a patient; what matters becomes a finding
# or a refusal here.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

DeflatedImageFrameCompression = UID("1.2.840.10008.1.2.8.1")
PIXEL_ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_NATIVE = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
_SEND_IMAGES = "Choose the image files of the study instead."
_VIDEO = ("1.2.840.10008.1.2.4.10", "1.2.840.10008.1.2.7.")
"""MPEG-2, MPEG-4 AVC and HEVC, and streams of them (PS3.5 A.4.5 to A.4.9, A.6)."""


@dataclass(frozen=True, slots=True, eq=False)
class DicomFile:
    """A DICOM image whose header has been checked.

    Attributes:
        path: where it lies.
        source: what to call it on screen.
        dataset: parsed file; only its header where a worker has decoded the pixels.
        digest: SHA-256 of the file's bytes, in hexadecimal.
        findings: what opening it brought to light.
        held: pixel values that a worker has decoded, to be taken once; None where `dataset` holds the pixels.
    """

    path: Path
    source: str
    dataset: FileDataset
    digest: str
    findings: tuple[Finding, ...] = field(default=())
    held: Held | None = None

    @property
    def is_localiser(self) -> bool:
        """Whether the image is a scout on which the real series was planned."""
        return "LOCALIZER" in image_type(self.dataset)

    def noting(self, finding: Finding) -> DicomFile:
        """The same file with a further finding."""
        return replace(self, findings=(*self.findings, finding))


def interpret(file: DicomFile) -> None:
    """Interpret every element, as iterating does; until then an element is what stands in the file.

    Raises:
        Exception: whatever pydicom raises of a damaged element; see `refusing`.
    """
    deque(file.dataset, maxlen=0)


def syntax_name(syntax: UID) -> str:
    """Name of a transfer syntax, also of one that pydicom's dictionary does not hold yet (PS3.6 A)."""
    return "Deflated Image Frame Compression" if syntax == DeflatedImageFrameCompression else syntax.name


def open_dicom(path: Path, source: str, options: ReadOptions = DEFAULTS) -> DicomFile:
    """Parse a header and refuse what is no image, cannot be decoded or passes the budget.

    A file without the part 10 header (PS3.10 7.1) is read only where `ReadOptions.allow_no_preamble` asks for
    it: nothing in it says how it is encoded, and half of any file looks like one.

    Raises:
        ScanRefused: always with the reason; nothing else leaves.
    """
    with refusing(source):
        check_file_size(source, path.stat().st_size)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        findings: list[Finding] = []
        with quiet():
            _check_deflated(data, source)
            try:
                dataset = pydicom.dcmread(io.BytesIO(data))
            except pydicom.errors.InvalidDicomError as error:
                if not options.allow_no_preamble:
                    raise ScanRefused(
                        source,
                        "It lacks the DICOM file header (preamble and DICM), so its encoding is not known.",
                        "Export it again as a DICOM part 10 file, or allow files without preamble.",
                    ) from error
                dataset = pydicom.dcmread(io.BytesIO(data), force=True)
                findings.append(
                    Finding(
                        "dicom-header-missing",
                        Severity.WARNING,
                        "The file lacks the DICOM file header.",
                        "Export it again as a DICOM part 10 file.",
                    )
                )
            if "TransferSyntaxUID" not in dataset.file_meta:
                _guess_syntax(dataset)
                findings.append(
                    Finding(
                        "syntax-guessed",
                        Severity.WARNING,
                        "The file does not say how it is encoded (transfer syntax); it was guessed.",
                        "Look at the image, or export it again as a DICOM part 10 file.",
                    )
                )
            check_header(dataset, source, len(data))
        return DicomFile(path, source, dataset, digest, tuple(findings))


def check_header(dataset: FileDataset, source: str, size: int) -> None:
    """Everything that can be known before pixels are touched.

    Args:
        dataset: parsed file.
        source: its name, for messages.
        size: of the file in bytes, against which its claims are held.

    Raises:
        ScanRefused: as described in `open_dicom`.
    """
    _check_kind(dataset, source)
    missing = [name for name in ("Rows", "Columns", "BitsAllocated") if dataset.get(name) in (None, "")]
    if missing:
        raise ScanRefused(source, f"Its header lacks {', '.join(missing)}.", "Export or send it again.")
    samples = int(dataset.get("SamplesPerPixel") or 1)
    # A bit more than a value each: 64-bit pixels cost twice what a float32 does.
    words = max(1, int(dataset.BitsAllocated) // 32)
    sizes = (frame_count(dataset), int(dataset.Rows), int(dataset.Columns))
    check_values(source, (*sizes, samples * words))
    if "PixelData" in dataset:
        stored, high = dataset.get("BitsStored"), dataset.get("HighBit")
        if stored in (None, ""):
            raise ScanRefused(source, "Its header lacks BitsStored.", "Export or send it again.")
        if high not in (None, "") and int(high) >= int(dataset.BitsAllocated):
            raise ScanRefused(
                source, "Its HighBit lies outside the allocated bits.", "Export or send it again."
            )
    _check_codec(dataset, source)
    if UID(dataset.file_meta.TransferSyntaxUID).is_encapsulated:
        # Of uncompressed pixels pydicom compares the length before it makes room.
        check_claim(source, prod(sizes) * samples, size)


def check_codestreams(file: DicomFile) -> None:
    """Refuse compressed frames that claim to be larger than the header says, before a codec allocates.

    Raises:
        ScanRefused: as said.
    """
    dataset = file.dataset
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if not syntax.is_encapsulated:
        return
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    for frame in generate_frames(dataset.PixelData, number_of_frames=frame_count(dataset)):
        if syntax == DeflatedImageFrameCompression:
            room = rows * columns * int(dataset.get("SamplesPerPixel") or 1) * 8
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            grown = len(inflater.decompress(frame, room + 16)) > room
        else:
            size = frame_size(frame)
            grown = size is not None and (size[0] > rows or size[1] > columns)
        if grown:
            raise ScanRefused(
                file.source,
                "A compressed frame is larger than the header says.",
                "Export or send the image again.",
            )


def image_type(dataset: Dataset) -> tuple[str, ...]:
    """ImageType in capitals (PS3.3 C.7.6.1.1.2)."""
    value = dataset.get("ImageType") or ()
    return tuple(str(part).upper() for part in ([value] if isinstance(value, str) else value))


@contextmanager
def refusing(source: str) -> Iterator[None]:
    """Turn whatever a library raises on damaged data into `ScanRefused`.

    The library's own words are left out: they may quote folders or patients.
    """
    try:
        yield
    except ScanRefused:
        raise
    except MemoryError as error:
        raise ScanRefused(
            source, "It needs more memory than there is.", "Export a smaller region or fewer frames."
        ) from error
    except RecursionError as error:
        raise ScanRefused(
            source, "Its header is nested too deeply to be honest.", "Export it again from its source."
        ) from error
    except FileNotFoundError as error:
        raise ScanRefused(source, "The file is not there.", "Check its name and place.") from error
    except PermissionError as error:
        raise ScanRefused(source, "The file may not be read.", "Change its permissions.") from error
    except Exception as error:
        raise ScanRefused(
            source,
            f"The file is damaged, cut short or not what it claims ({type(error).__name__}).",
            "Copy or export it again from its source.",
        ) from error


class _Silence:
    """Warnings are off while any thread is inside, and back as they were when the last one leaves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = warnings.catch_warnings()

    def enter(self) -> None:
        """The first to come keeps the filters as they are and silences them."""
        with self._lock:
            if self._inside == 0:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def leave(self) -> None:
        """The last to go restores them."""
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._before.__exit__(None, None, None)


_silence = _Silence()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries' warnings, which quote paths and element values.

    Filters belong to the process, and scans are decoded in several threads: each thread restoring what it
    found on entry would leave them silenced for good, or speaking while another still reads.
    """
    _silence.enter()
    try:
        yield
    finally:
        _silence.leave()


def _check_kind(dataset: FileDataset, source: str) -> None:
    meta_class = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    sop_class = UID(str(dataset.get("SOPClassUID", "") or meta_class))
    index = MediaStorageDirectoryStorage if "DirectoryRecordSequence" in dataset else ""
    for uid in (sop_class, meta_class, index):
        if other := not_a_scan(str(uid)):
            raise ScanRefused(source, f"It is {other.what}, not a scan.", other.fix)
    if not any(name in dataset for name in PIXEL_ELEMENTS):
        if "PixelDataProviderURL" in dataset:
            raise ScanRefused(
                source, "Its pixels lie on a server (JPIP) and not in the file.", "Export the image whole."
            )
        kind = f" ({sop_class.name})" if sop_class.name != sop_class else ""
        raise ScanRefused(source, f"It is a DICOM object without pixel data{kind}.", _SEND_IMAGES)
    if sop_class == VLWholeSlideMicroscopyImageStorage and frame_count(dataset) > 1:
        raise ScanRefused(
            source,
            "It is a whole-slide image cut into tiles.",
            "Export the region of interest as one image.",
        )
    if "MOSAIC" in image_type(dataset) and frame_count(dataset) == 1:
        raise ScanRefused(
            source,
            "It is a mosaic: the slices of a volume laid out in one picture (Siemens).",
            "Export it as enhanced MR, or convert it to NIfTI (for example with dcm2niix).",
        )


def _check_codec(dataset: FileDataset, source: str) -> None:
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if "PixelData" not in dataset:
        if syntax.is_encapsulated:
            raise ScanRefused(source, "Floating-point pixels are compressed.", "Export it uncompressed.")
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        if syntax.startswith(_VIDEO):
            raise ScanRefused(
                source, f"It is a video ({syntax.name}).", "Export its frames as a multi-frame image."
            ) from error
        # Named only where it is the standard's: a header may say anything.
        named = f" ({syntax.name})" if syntax.startswith("1.2.840.10008.") and syntax.is_valid else ""
        raise ScanRefused(
            source,
            f"Its transfer syntax{named} is not known here.",
            "Export it as Explicit VR Little Endian.",
        ) from error
    if not decoder.is_available:
        needed = "; or ".join(decoder.missing_dependencies)
        raise ScanRefused(
            source,
            f"No codec for {syntax.name} is installed.",
            f"Install one ({needed}), or export the image uncompressed.",
        )
    # python-gdcm reads 8-bit images in this syntax and pylibjpeg-libjpeg, which is GPL, all of them.
    if syntax == JPEGExtended12Bit and int(dataset.BitsStored) > 8:
        plugins = decoder.available_plugins
        if "pylibjpeg" not in plugins:
            raise ScanRefused(
                source,
                "No codec for 12-bit JPEG Extended is installed.",
                "Install the extra codecs-gpl (pylibjpeg-libjpeg, licensed under the GPL), or convert the "
                "image to an uncompressed syntax.",
            )


def _check_deflated(data: bytes, source: str) -> None:
    """Refuse a deflated data set that inflates past the budget.

    pydicom inflates all of it even for a header, so it has to be counted first.
    """
    inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    room = LIMITS.inflated(len(data))
    stream = io.BytesIO(data)
    if read_preamble(stream, force=True) is None:
        return
    # The group length may lie, so the data set's start is found as `dcmread` finds it.
    if _read_file_meta_info(stream).get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    while packed := (inflater.unconsumed_tail or stream.read(2**16)):
        total += len(inflater.decompress(packed, 2**20))
        if total > room or inflater.eof:
            break
    if total > room:
        raise ScanRefused(
            source,
            f"It inflates to more than {room / 2**20:,.0f} MiB, which no image of its size does.",
            "Export it uncompressed and smaller.",
        )


def _guess_syntax(dataset: FileDataset) -> None:
    implicit, little = dataset.original_encoding
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    else:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
