"""Reading NIfTI-1 and NIfTI-2 (``.nii``, ``.nii.gz``) into a `Scan`.

The acquired plane (first two axes) is kept and hung as DICOM is (see `geometry`). Values are scaled by
``scl_slope`` and ``scl_inter``. Called by `read`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
from math import prod
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from workbench.errors import ScanRefused
from workbench.imaging import geometry
from workbench.imaging.dicom import replace_non_finite
from workbench.imaging.dicomfile import quiet, refusing
from workbench.imaging.limits import LIMITS, check_claim, check_file_size, check_held, check_values
from workbench.imaging.scan import Finding, Provenance, Scan, Severity, Units

_MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_CIFTI = range(3000, 3100)
_FORM_TOLERANCE_MM = 0.1

Header = nib.Nifti1Header
"""Of which `nib.Nifti2Header` is a subclass."""


def read_nifti(path: Path, source: str) -> Scan:
    """Read one NIfTI file; of more than three dimensions the first volume is taken, with a finding.

    Raises:
        ScanRefused: not a single-file NIfTI, damaged, or past the budget.
    """
    with refusing(source), quiet():
        check_file_size(source, path.stat().st_size)
        kind = nib.Nifti2Image if _version(_checked_header(path, source)) == 2 else nib.Nifti1Image
        findings: list[Finding] = []
        with _opened(path) as stream:
            image = kind.from_stream(stream)
            header: Header = image.header
            pixels, units, value_range = _pixels(image, source, findings)
        affine = _affine(header, findings)
        scale = _MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
        if affine is None:
            spacing = _zooms(header, scale)
        else:
            pixels, affine, _ = geometry.hang(pixels, np.diag([scale, scale, scale, 1.0]) @ affine)
            spacing = geometry.spacing_of(affine)
        findings += geometry.oblong_pixels(spacing)
        with path.open("rb") as plain:
            digest = hashlib.file_digest(plain, "sha256").hexdigest()
        encoding = f"NIfTI-{_version(header)}, {header.get_data_dtype()}"
        return Scan(
            pixels=np.ascontiguousarray(pixels, dtype=np.float32),
            units=units,
            modality="OT",
            provenance=Provenance(source, "NIfTI", digest, encoding),
            value_range=value_range,
            spacing=spacing,
            affine=affine,
            window=_window(header),
            findings=tuple(findings),
        )


def header_kind(head: bytes) -> str:
    """What the first 544 (inflated) bytes are: ``single``, ``pair``, ``analyze`` or empty."""
    size = {head[:4]} & {n.to_bytes(4, order) for n in (348, 540) for order in ("little", "big")}
    if not size:
        return ""
    magic = head[344:347] if 348 in (int.from_bytes(head[:4], o) for o in ("little", "big")) else head[4:7]
    return {b"n+1": "single", b"n+2": "single", b"ni1": "pair", b"ni2": "pair"}.get(magic, "analyze")


def _checked_header(path: Path, source: str) -> Header:
    """Header from the first bytes alone, its claims within the budget."""
    with _opened(path) as stream:
        head = stream.read(544)
    kind = header_kind(head)
    if kind in ("pair", "analyze"):
        raise ScanRefused(
            source, "It is half of a header and image pair.", "Convert the pair to one .nii file."
        )
    if kind != "single":
        raise ScanRefused(source, "It is not a NIfTI file.", "Convert it to .nii or .nii.gz.")
    header: Header
    if head[4:7] == b"n+2":
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
    voxels, size = prod(shape[:3]), path.stat().st_size
    if _is_gzipped(path):
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


def _pixels(
    image: nib.Nifti1Image, source: str, findings: list[Finding]
) -> tuple[npt.NDArray[np.float32], Units, tuple[float, float] | None]:
    shape = image.shape
    extra = shape[3:]
    if any(size > 1 for size in extra):
        findings.append(
            Finding(
                "first-volume",
                Severity.WARNING,
                f"The file holds {int(np.prod(extra))} volumes; the first was taken.",
                "Save the volume of interest as its own file.",
            )
        )
    if image.get_data_dtype().kind == "c":
        raise ScanRefused(source, "Its values are complex numbers.", "Save magnitude or phase.")
    stored = np.asarray(image.dataobj[(..., *(0 for _ in extra))])
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
        findings.append(
            Finding(
                "sheared",
                Severity.WARNING,
                "The voxels are sheared, not boxes; nothing was resampled.",
                "Resample the volume to a rectangular grid.",
            )
        )
    return np.asarray(affine, dtype=np.float64)


def _apart(sform: npt.NDArray[np.float64], qform: npt.NDArray[np.float64], header: Header) -> bool:
    """Whether two affines put a corner of the volume at places more than half a voxel apart."""
    shape = (*header.get_data_shape()[:3], 1, 1)[:3]
    corners = np.array([[x, y, z, 1] for x in (0, shape[0]) for y in (0, shape[1]) for z in (0, shape[2])])
    distance = np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max()
    smallest = float(np.linalg.norm(sform[:3, :3], axis=0).min())
    return bool(distance > max(_FORM_TOLERANCE_MM, 0.5 * smallest))
