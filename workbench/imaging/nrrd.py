"""Reading NRRD with attached data (``.nrrd``) into a `Scan`.

pynrrd parses the header. The data is inflated here, counted against the budget, and a header that names
another file for its data is refused: pynrrd would open whatever path it names. Format definition: teem,
"Definition of NRRD File Format". Called by `read`.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import zlib
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import numpy.typing as npt

from workbench.errors import ScanRefused
from workbench.imaging import geometry
from workbench.imaging.dicom import replace_non_finite
from workbench.imaging.dicomfile import quiet, refusing
from workbench.imaging.limits import LIMITS, check_file_size, check_values
from workbench.imaging.options import DEFAULTS, ReadOptions, chosen_volume
from workbench.imaging.scan import Finding, Provenance, Scan, Severity, Units

Header = dict[str, Any]
"""As pynrrd gives it: keys are the fields of the format."""

_TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_MILLIMETRES = {"mm": 1.0, "millimeter": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}
_MAX_HEADER = 2**20
_CHUNK = 2**20


def read_nrrd(path: Path, source: str, options: ReadOptions = DEFAULTS) -> Scan:
    """Read one NRRD file of two or three dimensions, with one more for colour or several volumes.

    Args:
        path: the file, data attached, encoded raw, gzip or bzip2.
        source: what to call it.
        options: `ReadOptions.volume` is heeded where the file holds several.

    Raises:
        ScanRefused: detached data, an encoding or shape that is not read, damaged, or past the budget.
    """
    with refusing(source), quiet():
        check_file_size(source, path.stat().st_size)
        header, data = _header(path, source)
        axes = _spatial_axes(header, source)
        values, is_colour, findings = _values(header, data, axes, source, options)
        affine, spacing = _geometry(header, axes, findings)
        pixels = values.astype(np.float32).transpose(2, 1, 0, 3)
        finite = np.isfinite(pixels)
        if not finite.all():
            pixels, note = replace_non_finite(pixels, finite, source)
            findings.append(note)
        if affine is not None:
            pixels, affine, _ = geometry.hang(pixels, affine)
            spacing = geometry.spacing_of(affine)
        findings += geometry.oblong_pixels(spacing)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return Scan(
            pixels=np.ascontiguousarray(pixels),
            units=Units.DISPLAY if is_colour else Units.MODALITY,
            modality="OT",
            provenance=Provenance(source, "NRRD", digest, f"NRRD, {header['type']}, {header['encoding']}"),
            value_range=(0.0, 255.0) if is_colour else None,
            spacing=spacing,
            affine=affine,
            findings=tuple(findings),
        )


def _header(path: Path, source: str) -> tuple[Header, bytes]:
    """Parsed header and what follows it in the file."""
    with path.open("rb") as stream:
        head = stream.read(_MAX_HEADER)
        ends = [(found, len(gap)) for gap in (b"\n\n", b"\r\n\r\n") if (found := head.find(gap)) >= 0]
        if not ends:
            raise ScanRefused(
                source, "It is an NRRD header without data, or one cut short.", "Save it with attached data."
            )
        end = sum(min(ends))
        header: Header = dict(nrrd.read_header(io.BytesIO(head[:end])))
        if {"data file", "datafile"} & set(header):
            raise ScanRefused(
                source,
                "Its pixels lie in another file (a detached NRRD).",
                "Save it as one .nrrd file with attached data.",
            )
        skips = [int(header.get(name, 0)) for name in ("line skip", "lineskip", "byte skip", "byteskip")]
        if any(skips):
            raise ScanRefused(source, "Its header asks to skip part of the data.", "Save it again.")
        return header, head[end:] + stream.read()


def _spatial_axes(header: Header, source: str) -> list[int]:
    """Numbers of the axes that are directions in space, fastest first."""
    sizes = [int(size) for size in header["sizes"]]
    if len(sizes) != int(header["dimension"]):
        raise ScanRefused(source, "Its header contradicts itself (sizes).", "Save it again.")
    kinds = [str(kind) for kind in header.get("kinds", [])] or [""] * len(sizes)
    directions = header.get("space directions")
    if directions is not None:
        axes = [i for i, vector in enumerate(directions) if vector is not None and np.isfinite(vector).all()]
    elif any(kinds):
        axes = [i for i, kind in enumerate(kinds) if kind in ("domain", "space")]
    else:
        axes = list(range(len(sizes)))
    if len(axes) not in (2, 3) or len(sizes) - len(axes) > 1 or len(kinds) != len(sizes):
        raise ScanRefused(
            source,
            f"It has {len(sizes)} dimensions, {len(axes)} of them in space; a volume has three.",
            "Save one volume as its own file.",
        )
    return axes


def _values(
    header: Header, data: bytes, axes: list[int], source: str, options: ReadOptions
) -> tuple[npt.NDArray[np.generic], bool, list[Finding]]:
    """Values ``(x, y, z, channels)``, whether they are colours, and findings."""
    sizes = [int(size) for size in header["sizes"]]
    try:
        dtype = np.dtype(nrrd.reader._determine_datatype(header))
    except (nrrd.NRRDError, KeyError) as error:
        raise ScanRefused(
            source, "Its data type or byte order is missing or not read.", "Save it again."
        ) from error
    check_values(source, (*sizes, max(1, dtype.itemsize // 4)))
    size = int(np.prod(sizes, dtype=object)) * dtype.itemsize
    raw = _decoded(str(header["encoding"]).lower(), data, size, source)
    array = np.frombuffer(raw, dtype, count=size // dtype.itemsize).reshape(sizes, order="F")
    findings: list[Finding] = []
    further = [i for i in range(len(sizes)) if i not in axes]
    is_colour = False
    if further:
        kind = str((header.get("kinds") or [""] * len(sizes))[further[0]]).lower()
        array = np.moveaxis(array, further[0], -1)
        is_colour = kind in ("rgb-color", "rgba-color") and dtype == np.uint8
        if is_colour:
            if array.shape[-1] == 4:
                findings.append(
                    Finding("alpha-dropped", Severity.INFO, "The transparency channel was dropped.")
                )
            array = array[..., :3]
        else:
            number, notes = chosen_volume(array.shape[-1], options, source)
            findings += notes
            array = array[..., number : number + 1]
    else:
        _, notes = chosen_volume(1, options, source)
        array = array[..., None]
    if len(axes) == 2:
        array = array[:, :, None]
    return array, is_colour, findings


def _decoded(encoding: str, data: bytes, size: int, source: str) -> bytes:
    """Exactly `size` bytes; not one more is inflated."""
    if encoding == "raw":
        plain = data
    elif encoding in ("gzip", "gz"):
        plain = _inflated(zlib.decompressobj(zlib.MAX_WBITS | 32).decompress, data, size, source)
    elif encoding in ("bzip2", "bz2"):
        plain = _inflated(bz2.BZ2Decompressor().decompress, data, size, source)
    else:
        raise ScanRefused(source, "Its encoding is not read.", "Save it raw or with gzip.")
    if len(plain) < size:
        raise ScanRefused(source, "Its pixels are cut short.", "Copy or save it again.")
    return plain[:size]


def _inflated(inflate: Any, data: bytes, size: int, source: str) -> bytes:
    if size > LIMITS.inflated(len(data)):
        raise ScanRefused(
            source, "It inflates to more than an image of its size does.", "Save it without compression."
        )
    return bytes(inflate(data, size))


def _geometry(
    header: Header, axes: list[int], findings: list[Finding]
) -> tuple[npt.NDArray[np.float64] | None, tuple[float, float, float]]:
    """RAS affine from (column, row, slice) or None, and spacing of (slices, rows, columns)."""
    units = [str(unit).strip().lower() for unit in header.get("space units", [])]
    scale = _MILLIMETRES.get(units[0], 1.0) if units else 1.0
    signs = _TO_RAS.get(str(header.get("space", "")).strip().lower())
    directions = header.get("space directions")
    if directions is not None and len(axes) == 3:
        matrix = np.eye(4)
        matrix[:3, :3] = np.array([directions[axis] for axis in axes], dtype=float).T * scale
        matrix[:3, 3] = np.asarray(header.get("space origin", np.zeros(3)), dtype=float) * scale
        if signs is not None and geometry.is_usable(matrix):
            matrix = np.diag([*map(float, signs), 1.0]) @ matrix
            if geometry.shear(matrix) > 1e-2:
                findings.append(geometry.SHEARED)
            return matrix, geometry.spacing_of(matrix)
    findings.append(geometry.ORIENTATION_UNKNOWN)
    if directions is not None:
        lengths = [float(np.linalg.norm(directions[axis])) * scale for axis in axes]
    else:
        given = header.get("spacings")
        lengths = [float(given[axis]) if given is not None else 1.0 for axis in axes]
    column, row, across = ([n if np.isfinite(n) and n > 0 else 1.0 for n in lengths] + [1.0])[:3]
    return None, (across, row, column)
