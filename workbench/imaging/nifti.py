"""Reading NIfTI-1 and NIfTI-2 (``.nii``, ``.nii.gz``, ``.hdr`` with ``.img``) into a `Scan`.

The acquired plane (first two axes) is kept and hung as DICOM is (see `geometry`). Values are scaled by
``scl_slope`` and ``scl_inter``. Called by `read`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from math import prod
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.arrayproxy import ArrayProxy
from nibabel.fileholders import FileHolder

from workbench.errors import ScanRefused
from workbench.imaging import geometry
from workbench.imaging.dicom import replace_non_finite
from workbench.imaging.dicomfile import quiet, refusing
from workbench.imaging.limits import LIMITS, check_claim, check_file_size, check_held, check_values
from workbench.imaging.options import DEFAULTS, ReadOptions, chosen_volume
from workbench.imaging.scan import Finding, Provenance, Scan, Severity, Units

_MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_CIFTI = range(3000, 3100)
_FORM_TOLERANCE_MM = 0.1
_HEAD = 544
_KINDS = {
    (1, False): nib.Nifti1Image,
    (2, False): nib.Nifti2Image,
    (1, True): nib.Nifti1Pair,
    (2, True): nib.Nifti2Pair,
}
"""nibabel's classes by version and whether header and image are two files."""

Header = nib.Nifti1Header
"""Of which `nib.Nifti2Header` is a subclass."""


def read_nifti(path: Path, source: str, options: ReadOptions = DEFAULTS) -> Scan:
    """Read one NIfTI file, or a header and the image beside it.

    Args:
        path: the file; of a pair the header or the image.
        source: what to call it.
        options: `ReadOptions.volume` is heeded where there are more than three dimensions.

    Raises:
        ScanRefused: not NIfTI, half of a pair, damaged, without the volume asked for, or past the budget.
    """
    with refusing(source), quiet():
        path, data = _pair(path, source)
        for part in dict.fromkeys((path, data)):
            check_file_size(source, part.stat().st_size)
        kind = _KINDS[_version(_checked_header(path, data, source)), path != data]
        findings: list[Finding] = []
        with _opened(path) as stream, _opened(data) as pixel_stream:
            parts = {"header": FileHolder(fileobj=stream), "image": FileHolder(fileobj=pixel_stream)}
            image = kind.from_file_map(parts)
            header: Header = image.header
            pixels, units, value_range = _pixels(image, source, findings, options)
            if _has_more(pixel_stream, image):
                findings.append(
                    Finding(
                        "trailing-bytes",
                        Severity.WARNING,
                        "The file goes on after its last pixel; the rest was ignored.",
                        "Check that its header gives the size of the whole image.",
                    )
                )
        affine = _affine(header, findings)
        scale = _MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
        if affine is None:
            spacing = _zooms(header, scale)
        else:
            pixels, affine, _ = geometry.hang(pixels, np.diag([scale, scale, scale, 1.0]) @ affine)
            spacing = geometry.spacing_of(affine)
        findings += geometry.oblong_pixels(spacing)
        encoding = f"NIfTI-{_version(header)}, {header.get_data_dtype()}"
        return Scan(
            pixels=np.ascontiguousarray(pixels, dtype=np.float32),
            units=units,
            modality="OT",
            provenance=Provenance(source, "NIfTI", _digest(path, data), encoding),
            value_range=value_range,
            spacing=spacing,
            affine=affine,
            window=_window(header),
            findings=tuple(findings),
        )


def has_header(image: Path) -> Path | None:
    """Header of a NIfTI pair whose image this is, judged by the header's content, or None."""
    name = image.name.removesuffix(".gz").removesuffix(".img")
    if name == image.name or not name:
        return None
    for header in (image.with_name(f"{name}.hdr"), image.with_name(f"{name}.hdr.gz")):
        if header.is_file():
            try:
                with _opened(header) as stream:
                    if header_kind(stream.read(_HEAD)) == "pair":
                        return header
            except (OSError, EOFError, zlib.error):
                continue
    return None


def header_kind(head: bytes) -> str:
    """What the first 544 (inflated) bytes are: ``single``, ``pair``, ``analyze`` or empty."""
    size = {head[:4]} & {n.to_bytes(4, order) for n in (348, 540) for order in ("little", "big")}
    if not size:
        return ""
    magic = head[344:347] if 348 in (int.from_bytes(head[:4], o) for o in ("little", "big")) else head[4:7]
    return {b"n+1": "single", b"n+2": "single", b"ni1": "pair", b"ni2": "pair"}.get(magic, "analyze")


def _checked_header(path: Path, data: Path, source: str) -> Header:
    """Header from the first bytes alone, its claims within the budget and what the data's file can hold."""
    with _opened(path) as stream:
        head = stream.read(_HEAD)
    kind = header_kind(head)
    if kind == "analyze":
        raise ScanRefused(
            source,
            "It is an Analyze 7.5 header: the format does not say which side is left.",
            "Convert the image to NIfTI with a program that knows how it was written.",
        )
    if kind not in ("single", "pair"):
        raise ScanRefused(source, "It is not a NIfTI file.", "Convert it to .nii or .nii.gz.")
    header: Header
    if head[4:7] in (b"n+2", b"ni2"):
        header = nib.Nifti2Header(head[:540], check=False)
    else:
        header = nib.Nifti1Header(head[:348], check=False)
    if int(header["intent_code"]) in _CIFTI:
        raise ScanRefused(
            source, "It is a CIFTI matrix over the cortex, not an image.", "Give the volume itself."
        )
    shape = header.get_data_shape()
    if not shape:
        raise ScanRefused(source, "Its header says that it has no dimensions.", "Convert it again.")
    # A colour takes three values, a 64-bit number the room of two.
    check_values(source, (*shape[:3], max(1, header.get_data_dtype().itemsize // 4)))
    if any(size <= 0 for size in shape):
        check_values(source, shape)
    if not 0 <= float(header["vox_offset"]) <= LIMITS.header_bytes:
        raise ScanRefused(source, "Its pixels begin beyond any honest header.", "Convert it again.")
    # nibabel makes room for what is claimed before it finds that the file ends.
    voxels, size = prod(shape[:3]), data.stat().st_size
    if _is_gzipped(data):
        check_claim(source, voxels, size)
    else:
        check_held(source, voxels * header.get_data_dtype().itemsize, size - int(header["vox_offset"]))
    return header


def _opened(path: Path) -> io.BufferedIOBase:
    """The file's bytes, inflated where they are gzipped, whatever its name says."""
    return gzip.GzipFile(path) if _is_gzipped(path) else path.open("rb")


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as plain:
        return plain.read(2) == b"\x1f\x8b"


def _zooms(header: Header, scale: float) -> tuple[float, float, float]:
    """Spacing of (slices, rows, columns) from ``pixdim`` alone; 1 mm where it is nonsense."""
    zooms = [abs(float(zoom)) * scale for zoom in header.get_zooms()[:3]]
    column, row, across = ([z if np.isfinite(z) and z > 0 else 1.0 for z in zooms] + [1.0] * 3)[:3]
    return across, row, column


def _window(header: Header) -> tuple[float, float] | None:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return ((low + high) / 2, high - low) if np.isfinite(high - low) and high > low else None


def _version(header: Header) -> int:
    return 2 if isinstance(header, nib.Nifti2Header) else 1


def _pair(path: Path, source: str) -> tuple[Path, Path]:
    """Files that hold header and image: the same one twice unless they are a pair.

    The other half lies beside the one given, under the same name; nothing a file says names another.
    """
    path = has_header(path) or path
    with _opened(path) as stream:
        if header_kind(stream.read(_HEAD)) != "pair":
            return path, path
    name = path.name.removesuffix(".gz").removesuffix(".hdr")
    for image in (path.with_name(f"{name}.img"), path.with_name(f"{name}.img.gz")):
        if image.is_file():
            return path, image
    raise ScanRefused(
        source,
        "It is the header of a header and image pair, and the image (.img) is not beside it.",
        "Give both in one folder, or convert the pair to one .nii file.",
    )


def _digest(header: Path, data: Path) -> str:
    """SHA-256 of the file; of the two digests of a pair."""
    digests = []
    for path in dict.fromkeys((header, data)):
        with path.open("rb") as plain:
            digests.append(hashlib.file_digest(plain, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _has_more(stream: io.BufferedIOBase, image: nib.Nifti1Pair) -> bool:
    """Whether bytes follow the last pixel. Those of a packed file of several volumes are not looked for: they
    would have to be inflated only to be counted."""
    shape = image.shape
    if isinstance(stream, gzip.GzipFile) and any(size > 1 for size in shape[3:]):
        return False
    size = int(np.prod([int(n) for n in shape], dtype=object)) * image.get_data_dtype().itemsize
    # The image's own header has forgotten where its data began.
    stream.seek(int(cast(ArrayProxy, image.dataobj).offset) + size)
    return bool(stream.read(1))


def _pixels(
    image: nib.Nifti1Pair, source: str, findings: list[Finding], options: ReadOptions
) -> tuple[npt.NDArray[np.float32], Units, tuple[float, float] | None]:
    shape = image.shape
    extra = shape[3:]
    number, notes = chosen_volume(int(np.prod(extra, dtype=np.int64)), options, source)
    findings += notes
    if image.get_data_dtype().kind == "c":
        raise ScanRefused(source, "Its values are complex numbers.", "Save magnitude or phase.")
    # The first of the further axes runs fastest (NIfTI-1, dim).
    place = np.unravel_index(number, extra, order="F") if extra else ()
    stored = np.asarray(image.dataobj[(..., *(int(index) for index in place))])
    stored = stored.reshape(*shape[:3], *(1 for _ in range(3 - len(shape))))
    if stored.dtype.fields is not None:
        names = stored.dtype.names or ()
        if "A" in names:
            findings.append(Finding("alpha-dropped", Severity.INFO, "The transparency channel was dropped."))
        colour = np.stack([stored[name] for name in ("R", "G", "B")], axis=-1).astype(np.float32)
        return colour.transpose(2, 1, 0, 3), Units.DISPLAY, (0.0, 255.0)
    with np.errstate(over="ignore"):
        pixels = stored.astype(np.float32).transpose(2, 1, 0)[..., None]
    finite = np.isfinite(pixels)
    if not finite.all():
        pixels, note = replace_non_finite(pixels, finite, source)
        findings.append(note)
    return pixels, Units.MODALITY, None


def _affine(header: Header, findings: list[Finding]) -> npt.NDArray[np.float64] | None:
    sform, s_code = header.get_sform(coded=True)
    q_code = int(header["qform_code"])
    qform = header.get_qform() if q_code > 0 else None
    affine = sform if s_code > 0 else qform
    if affine is None or not geometry.is_usable(affine):
        findings.append(geometry.ORIENTATION_UNKNOWN)
        return None
    if sform is not None and s_code > 0 and qform is not None and _apart(sform, qform, header):
        findings.append(
            Finding(
                "form-conflict",
                Severity.WARNING,
                "The file gives two places in the patient (sform and qform) that differ; sform was used.",
                "Check left and right by eye.",
            )
        )
    if geometry.shear(affine) > 1e-2:
        findings.append(geometry.SHEARED)
    return np.asarray(affine, dtype=np.float64)


def _apart(sform: npt.NDArray[np.float64], qform: npt.NDArray[np.float64], header: Header) -> bool:
    """Whether two affines put a corner of the volume at places more than half a voxel apart."""
    shape = (*header.get_data_shape()[:3], 1, 1)[:3]
    corners = np.array([[x, y, z, 1] for x in (0, shape[0]) for y in (0, shape[1]) for z in (0, shape[2])])
    distance = np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max()
    smallest = float(np.linalg.norm(sform[:3, :3], axis=0).min())
    return bool(distance > max(_FORM_TOLERANCE_MM, 0.5 * smallest))
