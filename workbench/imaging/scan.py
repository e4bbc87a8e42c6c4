"""The one form in which every image, whatever its file format, enters the workbench.

Readers (`dicom`, `nifti`, `raster`) make a `Scan`; `Recipe` turns it into model input; `display` into
something for eyes. Nothing downstream of a `Scan` knows about files.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt


class Severity(StrEnum):
    """How much a finding should worry the reader."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    """The scan is of no use as it stands (a blank image); reserved for what nobody would argue about."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know about a scan: it was cropped, guessed, resampled, or looks wrong.

    Attributes:
        code: stable kebab-case name, e.g. ``orientation-unknown``.
        severity: see `Severity`.
        message: one sentence, without anything that identifies a patient.
        fix: one sentence, or empty where nothing need be done.
    """

    code: str
    severity: Severity
    message: str
    fix: str = ""


class Units(StrEnum):
    """What a pixel value means."""

    HOUNSFIELD = "HU"
    """CT attenuation after rescale (DICOM PS3.3 C.11.1)."""
    MODALITY = "modality"
    """Output of the modality LUT or rescale, in a unit of the modality's own (MR, PET, X-ray, NIfTI)."""
    SUV = "SUV"
    """PET uptake by body weight in g/ml (see `suv`)."""
    DISPLAY = "display"
    """Grey or colour levels meant for a screen (PNG, JPEG, RGB DICOM); `Scan.value_range` is full scale."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a scan came from, free of identifiers.

    Attributes:
        source: the file's base name as the user knows it (for messages on the user's own screen only; it
            may identify a patient, so it is never stored in a model or an export).
        format: ``DICOM``, ``NIfTI``, ``NRRD``, ``PNG``, ``JPEG``, ``BMP`` or ``TIFF``.
        sha256: of the file's bytes; of the concatenated file digests, sorted, for a series.
        encoding: transfer syntax, bit depth or data type, in words.
    """

    source: str
    format: str
    sha256: str
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class UltrasoundRegion:
    """A rectangle of an ultrasound picture that holds image, by its header (PS3.3 C.8.5.5).

    What lies outside all of them is where machines write text.

    Attributes:
        kind: ``tissue``, ``m-mode``, ``spectral``, ``waveform``, ``graphics`` or ``other``.
        rows: first row and the one after the last.
        columns: first column and the one after the last.
        spacing: millimetres between (rows, columns); None where they are no distances.
    """

    kind: str
    rows: tuple[int, int]
    columns: tuple[int, int]
    spacing: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One image or volume in modality units.

    Attributes:
        pixels: float32, shape ``(slices, rows, columns, channels)``; 2-D images have one slice, grey
            images one channel, colour images three (RGB).
        units: meaning of a pixel value.
        value_range: full scale of the encoding as ``(low, high)`` where it is known (``(0, 255)`` for an
            8-bit PNG), else None.
        modality: DICOM modality code (``CT``, ``MR``, ``US``, ``DX``, ...), ``OT`` where unknown.
        body_part: DICOM BodyPartExamined or empty.
        manufacturer: class of its maker (see `workbench.imaging.dicom_terms.vendor`), empty where unknown.
        spacing: millimetres between (slices, rows, columns); None where unknown.
        affine: 4x4 from voxel index (column, row, slice) to millimetres in RAS+; None where orientation
            is unknown.
        window: display window as (centre, width) in `units`, from the file or None; display only.
        patient: pseudonymous patient key (keyed HMAC) or None where the file names no patient.
        provenance: see `Provenance`.
        findings: in the order they were made.
        ultrasound_regions: of an ultrasound picture whose header names them; otherwise empty.
        whole: digest of all pixels of the scan as it was read, where only a part of it is left; else empty.
        marked: the part that a person marked, in words (`workbench.imaging.region`); empty where none was.
    """

    pixels: npt.NDArray[np.float32]
    units: Units
    modality: str
    provenance: Provenance
    value_range: tuple[float, float] | None = None
    body_part: str = ""
    spacing: tuple[float, float, float] | None = None
    affine: npt.NDArray[np.float64] | None = None
    window: tuple[float, float] | None = None
    patient: str | None = None
    findings: tuple[Finding, ...] = field(default=())
    ultrasound_regions: tuple[UltrasoundRegion, ...] = field(default=())
    whole: str = ""
    marked: str = ""
    manufacturer: str = ""

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.shape[-1] not in (1, 3) or 0 in self.pixels.shape:
            raise ValueError(f"Scan.pixels must be (slices, rows, columns, 1 or 3), not {self.pixels.shape}")
        if self.pixels.dtype != np.float32:
            raise ValueError(f"Scan.pixels must be float32, not {self.pixels.dtype}")

    @property
    def is_volume(self) -> bool:
        """Whether there is more than one slice."""
        return len(self.pixels) > 1

    def with_findings(self, *findings: Finding) -> Scan:
        """The same scan with further findings."""
        return replace(self, findings=self.findings + findings)
