"""What DICOM headers of ultrasound and mammography say beyond the pixels.

Called by `dicom`.
"""

from __future__ import annotations

from contextlib import suppress

from pydicom.dataset import Dataset

from workbench.imaging.scan import Finding, Severity, UltrasoundRegion

_REGION_KINDS = {1: "tissue", 2: "m-mode", 3: "spectral", 4: "waveform", 5: "graphics"}
"""UltrasoundRegion Spatial Format (PS3.3 C.8.5.5.1.1)."""
_CENTIMETRES = 3
"""Physical Units (PS3.3 C.8.5.5.1.15)."""
_LATERALITY = {"L": "left", "R": "right", "B": "both sides"}
_PROJECTION_XRAY = ("MG", "DX", "IO", "PX")


def ultrasound_regions(dataset: Dataset) -> tuple[UltrasoundRegion, ...]:
    """Regions of an ultrasound image, cut to the picture; those that lie outside of it are left out."""
    found: list[UltrasoundRegion] = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or ():
        with suppress(TypeError, ValueError, OverflowError):  # a nonsense region is none
            found += _region(item, int(dataset.Rows), int(dataset.Columns))
    return tuple(found)


def _region(item: Dataset, rows: int, columns: int) -> list[UltrasoundRegion]:
    """The region of one item; none where it is empty or lies outside."""
    ends = [item.get(f"RegionLocation{end}") for end in ("MinY0", "MaxY1", "MinX0", "MaxX1")]
    if None in ends:
        return []
    top, bottom, left, right = (max(0, int(end)) for end in ends)
    bottom, right = min(bottom + 1, rows), min(right + 1, columns)
    if top >= bottom or left >= right:
        return []
    kind = _REGION_KINDS.get(int(item.get("RegionSpatialFormat") or 0), "other")
    return [UltrasoundRegion(kind, (top, bottom), (left, right), _region_spacing(item))]


def region_findings(regions: tuple[UltrasoundRegion, ...], rows: int, columns: int) -> list[Finding]:
    """How much of the picture the regions leave to text and rulers."""
    if not regions:
        return []
    kinds = ", ".join(dict.fromkeys(region.kind for region in regions))
    # Regions may overlap (a Doppler trace over tissue), so the rectangle around all of them is what counts.
    high = max(region.rows[1] for region in regions) - min(region.rows[0] for region in regions)
    wide = max(region.columns[1] for region in regions) - min(region.columns[0] for region in regions)
    outside = 100.0 * (1.0 - high * wide / (rows * columns))
    return [
        Finding(
            "ultrasound-regions",
            Severity.INFO,
            f"The header marks {len(regions)} region{'s' if len(regions) > 1 else ''} of image ({kinds}); "
            f"{outside:.0f} % of the picture lies around them, where machines write text.",
        )
    ]


def common_spacing(regions: tuple[UltrasoundRegion, ...]) -> tuple[float, float] | None:
    """Spacing of the tissue regions in mm where they agree, else None."""
    spacings = {region.spacing for region in regions if region.kind == "tissue"}
    return spacings.pop() if len(spacings) == 1 else None


def part_findings(dataset: Dataset) -> list[Finding]:
    """Whether an image is one part of a longer one (PS3.3 C.7.6.16.2.2.4); parts are not joined."""
    if not dataset.get("ConcatenationUID") or dataset.get("InConcatenationTotalNumber") == 1:
        return []
    return [
        Finding(
            "part-of-concatenation",
            Severity.WARNING,
            "The file is one part of an image that was split into several; it was read on its own.",
            "Export the image whole.",
        )
    ]


def projection_findings(dataset: Dataset) -> list[Finding]:
    """View and laterality of a mammogram, and whether X-ray pixels are raw (PS3.3 C.8.11.1, C.8.11.7)."""
    modality = str(dataset.get("Modality") or "").strip()
    if modality not in _PROJECTION_XRAY:
        return []
    found: list[Finding] = []
    intent = str(dataset.get("PresentationIntentType") or "").strip().upper()
    if intent == "FOR PROCESSING":
        found.append(
            Finding(
                "for-processing",
                Severity.WARNING,
                "The pixels are raw detector values (FOR PROCESSING), not made for reading; they look unlike "
                "images FOR PRESENTATION.",
                "Give the images FOR PRESENTATION, or raw ones throughout.",
            )
        )
    if modality == "MG":
        side = str(dataset.get("ImageLaterality") or dataset.get("Laterality") or "").strip().upper()
        view = _view(dataset)
        known = intent if intent in ("FOR PRESENTATION", "FOR PROCESSING") else "intent not said"
        found.append(
            Finding(
                "mammogram",
                Severity.INFO,
                f"Mammogram: {_LATERALITY.get(side, 'side not said')}, {view or 'view not said'}, {known}.",
            )
        )
    return found


def _view(dataset: Dataset) -> str:
    """CC, MLO, ... ; from the code (PS3.16 CID 4014) where no short form is given."""
    text = str(dataset.get("ViewPosition") or "").strip().upper()
    if text.isalpha() and len(text) <= 8:
        return text
    codes = dataset.get("ViewCodeSequence") or [Dataset()]
    return _VIEWS.get(str(codes[0].get("CodeValue") or ""), "")


_VIEWS = {
    "399162004": "CC",
    "R-10242": "CC",
    "399368009": "MLO",
    "R-10226": "MLO",
    "399260004": "ML",
    "R-10224": "ML",
    "399352003": "LM",
    "R-10228": "LM",
    "399099002": "LMO",
    "399196006": "FB",
    "399188001": "SIO",
    "441555000": "ISO",
    "399192008": "XCCL",
    "399101009": "XCCM",
}
"""Code values of CID 4014 (SNOMED CT, and its retired form) to the abbreviations of the ACR."""


def _region_spacing(item: Dataset) -> tuple[float, float] | None:
    units = item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection")
    deltas = item.get("PhysicalDeltaY"), item.get("PhysicalDeltaX")
    if units != (_CENTIMETRES, _CENTIMETRES) or None in deltas:
        return None
    rows, columns = (abs(float(delta)) * 10.0 for delta in deltas)
    return (rows, columns) if rows > 0 and columns > 0 else None
