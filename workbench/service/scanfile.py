"""A `Scan` as one safetensors file: pixels as a tensor, everything else as JSON in its header.

Pixels are kept as uint8 or uint16 above a whole-number offset where that gives every float32 back bit for
bit, and as float32 otherwise. Nothing in the file identifies a patient: the name of the file that the scan
came from is left out, and the patient is a keyed hash already. Reading maps the file; nothing is unpickled.

Called by the import job, which writes, and by everything of the service that looks at pixels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors.numpy import save

from workbench.errors import StoreError
from workbench.imaging.scan import Finding, Provenance, Scan, UltrasoundRegion, Units
from workbench.service.serial import dumped, loaded

KIND, FORMAT = "scan", 1
_TYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype("u1"), "U16": np.dtype("<u2"), "F32": np.dtype("<f4")}
_MOST_HEADER = 16 * 2**20
_EXACT = float(2**23)
"""Up to here float32 holds every whole number, and so every sum of an offset and 16 bits."""
Stored = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _About:
    """Everything of a scan but its pixels; see `Scan`."""

    units: str
    modality: str
    provenance: Provenance
    value_range: tuple[float, float] | None
    body_part: str
    spacing: tuple[float, float, float] | None
    affine: tuple[tuple[float, float, float, float], ...] | None
    window: tuple[float, float] | None
    patient: str | None
    findings: tuple[Finding, ...]
    ultrasound_regions: tuple[UltrasoundRegion, ...]
    whole: str
    marked: str
    manufacturer: str
    offset: int


@dataclass(frozen=True, slots=True, eq=False)
class ScanFile:
    """A scan on disk, its pixels mapped.

    Attributes:
        stored: ``(slices, rows, columns, channels)`` as in the file, read-only.
        offset: to be added to stored whole numbers for physical values; 0 for float32.
        about: the scan with the pixels of nothing (one zero); use `scan` for the real ones.
    """

    stored: Stored
    offset: int
    about: Scan

    def slice(self, index: int) -> npt.NDArray[np.float32]:
        """One slice in the scan's units, float32 ``(rows, columns, channels)``."""
        return _values(self.stored[index], self.offset)

    def middle(self) -> Scan:
        """The scan with its middle slice only: what looks and headers are compared by."""
        return replace(self.about, pixels=self.slice(len(self.stored) // 2)[None])

    def scan(self, name: str = "") -> Scan:
        """The scan as it was written; float32 pixels stay mapped.

        Args:
            name: what messages are to call it.
        """
        pixels = _values(self.stored, self.offset)
        return replace(self.about, pixels=pixels, provenance=replace(self.about.provenance, source=name))


def scan_bytes(scan: Scan) -> bytes:
    """The file's content. A `Scan.whole` that is set is kept, so that the digest of all pixels is known."""
    stored, offset = _compact(scan.pixels)
    about = _About(
        units=scan.units.value,
        modality=scan.modality,
        provenance=replace(scan.provenance, source=""),
        value_range=scan.value_range,
        body_part=scan.body_part,
        spacing=scan.spacing,
        affine=None if scan.affine is None else _rows(scan.affine),
        window=scan.window,
        patient=scan.patient,
        findings=scan.findings,
        ultrasound_regions=scan.ultrasound_regions,
        whole=scan.whole,
        marked=scan.marked,
        manufacturer=scan.manufacturer,
        offset=offset,
    )
    header = json.dumps(dumped(about), sort_keys=True, separators=(",", ":"), allow_nan=True)
    return save({"pixels": stored}, {"kind": KIND, "format": str(FORMAT), "scan": header})


def open_scan(path: Path) -> ScanFile:
    """Map a file that `scan_bytes` made.

    Raises:
        StoreError: it is missing, damaged or of another kind.
    """
    try:
        stored, meta = _mapped(path)
        if meta.get("kind") != KIND:
            raise ValueError("another kind")
        about = loaded(_About, json.loads(meta["scan"]))
        empty = np.zeros((1, 1, 1, stored.shape[-1]), np.float32)
        affine = None if about.affine is None else np.array(about.affine, np.float64)
        scan = Scan(
            pixels=empty,
            units=Units(about.units),
            modality=about.modality,
            provenance=about.provenance,
            value_range=about.value_range,
            body_part=about.body_part,
            spacing=about.spacing,
            affine=affine,
            window=about.window,
            patient=about.patient,
            findings=about.findings,
            ultrasound_regions=about.ultrasound_regions,
            whole=about.whole,
            marked=about.marked,
            manufacturer=about.manufacturer,
        )
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise StoreError(
            f"The file of a scan ({path.name[:12]}) is missing or damaged. Restore it from a backup."
        ) from error
    return ScanFile(stored, about.offset, scan)


def _compact(pixels: npt.NDArray[np.float32]) -> tuple[Stored, int]:
    """The smallest form that gives the same bits back."""
    low, high = float(pixels.min()), float(pixels.max())
    if np.isfinite(low) and np.isfinite(high) and abs(low) < _EXACT and high - low < 2**16:
        offset = int(np.floor(low))
        # From 0 where that costs nothing: most pictures are 8-bit levels as they stand.
        offset = 0 if low >= 0 and high < 2**8 else offset
        kind: type[np.uint8] | type[np.uint16] = np.uint8 if high - offset < 2**8 else np.uint16
        with np.errstate(invalid="ignore"):
            short = np.ascontiguousarray((pixels - np.float32(offset)).astype(kind))
        # As bits: a negative zero equals zero and is not the same.
        if np.array_equal(_values(short, offset).view(np.uint32), pixels.view(np.uint32)):
            return short, offset
    return np.ascontiguousarray(pixels), 0


def _values(stored: Stored, offset: int) -> npt.NDArray[np.float32]:
    if stored.dtype == np.float32:
        return stored  # type: ignore[return-value]
    values = stored.astype(np.float32)
    if offset:
        values += np.float32(offset)
    return values


def _mapped(path: Path) -> tuple[Stored, dict[str, str]]:
    """The one tensor of a safetensors file, mapped, and its metadata.

    (Its own library copies what it reads.) https://huggingface.co/docs/safetensors: eight bytes length, JSON,
    then the tensors.
    """
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= _MOST_HEADER:
            raise ValueError("no header")
        header: dict[str, Any] = json.loads(stream.read(length))
    entry = header["pixels"]
    kind, shape = _TYPES[entry["dtype"]], tuple(int(n) for n in entry["shape"])
    begin, end = entry["data_offsets"]
    expected = kind.itemsize * int(np.prod(shape))
    if len(shape) != 4 or end - begin != expected or path.stat().st_size != 8 + length + end:
        raise ValueError("its size is not what its header says")
    stored: Stored = np.memmap(path, kind, "r", 8 + length + begin, shape)
    return stored, header.get("__metadata__", {})


def _rows(affine: npt.NDArray[np.float64]) -> tuple[tuple[float, float, float, float], ...]:
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in affine)
