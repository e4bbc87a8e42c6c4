"""Standardised uptake value of PET by body weight (SUVbw), from what the header says.

The vendor-neutral recipe of the QIBA FDG-PET/CT group ("SUV vendor neutral pseudo-code", happy path):
SUVbw = activity concentration [Bq/ml] x body weight [g] / injected dose decayed to the scan [Bq], with the
scan's time from SeriesTime, or from AcquisitionTime and FrameReferenceTime where the series was made later
than it was acquired. What is missing is named, and then values stay as the file gives them. Called by
`pixelchain`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM

from workbench.imaging.scan import Finding, Severity

_GE, _PHILIPS = "GEMS_PETD_01", "Philips PET Private Group"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Suv:
    """What a rescaled pixel value is multiplied with to give SUVbw in g/ml.

    Attributes:
        factor: None where it cannot be computed.
        reason: why it cannot, as the end of "... because "; free of values that describe the patient.
    """

    factor: float | None
    reason: str = ""


def uptake(dataset: Dataset, frames: int) -> tuple[float | None, Finding]:
    """Factor to SUVbw of a PET image, None where it has none, and the finding that says so.

    Args:
        dataset: its header.
        frames: number of its frames; an enhanced image is not converted.
    """
    found = suv_factor(dataset) if frames == 1 else Suv(None, "the image is an enhanced multi-frame one")
    if found.factor is not None:
        return found.factor, Finding(
            "suv",
            Severity.INFO,
            "Values are standardised uptake by body weight (SUVbw), from weight, dose and decay.",
        )
    return None, Finding(
        "suv-not-computed",
        Severity.WARNING,
        f"Standardised uptake (SUV) could not be computed because {found.reason}; values are as the file "
        "gives them.",
        "Do not compare uptake between such scans; export the series with its PET header.",
    )


def suv_factor(dataset: Dataset) -> Suv:
    """Factor of a PET image.

    Args:
        dataset: header of a single-frame PET image (PS3.3 C.8.9).
    """
    units = str(dataset.get("Units") or "").strip().upper()
    if units == "GML":
        kind = str(dataset.get("SUVType") or "BW").strip().upper()
        return Suv(1.0) if kind == "BW" else Suv(None, "its values are SUV of another kind than body weight")
    corrected = _words(dataset.get("CorrectedImage"))
    if units in ("BQML", "CNTS") and not {"ATTN", "DECY"} <= corrected:
        return Suv(None, "CorrectedImage does not say that attenuation and decay were corrected")
    if units == "CNTS":
        return _philips(dataset)
    if units != "BQML":
        return Suv(None, f"Units is {units if units.isalnum() else 'missing'}, not BQML, CNTS or GML")
    return _from_activity(dataset)


def _philips(dataset: Dataset) -> Suv:
    """Philips keeps factors of its own beside counts: to SUV (7053,1000), and to Bq/ml (7053,1009)."""
    to_suv, to_activity = (_positive(_private(dataset, 0x7053, _PHILIPS, n)) for n in (0x00, 0x09))
    if to_suv:
        return Suv(to_suv)
    if not to_activity:
        return Suv(None, "its values are counts, without the maker's factor to activity")
    found = _from_activity(dataset)
    return Suv(found.factor * to_activity) if found.factor is not None else found


def _from_activity(dataset: Dataset) -> Suv:
    weight = _positive(dataset.get("PatientWeight"))
    if weight is None:
        return Suv(None, "PatientWeight is missing")
    drug = (dataset.get("RadiopharmaceuticalInformationSequence") or [Dataset()])[0]
    dose = _positive(drug.get("RadionuclideTotalDose"))
    half_life = _positive(drug.get("RadionuclideHalfLife"))
    if dose is None or half_life is None:
        return Suv(None, "RadionuclideTotalDose or RadionuclideHalfLife is missing")
    correction = str(dataset.get("DecayCorrection") or "").strip().upper()
    if correction == "ADMIN":  # already relative to the injection (PS3.3 C.8.9.1.1.8)
        return Suv(weight * 1000.0 / dose)
    if correction != "START":
        return Suv(None, "DecayCorrection is neither START nor ADMIN")
    scan = _scan_time(dataset, half_life)
    if scan is None:
        return Suv(None, "the time of the scan is missing")
    start = _injection(drug, scan)
    if start is None:
        return Suv(None, "the time of the injection is missing or after the scan")
    decayed = dose * 2.0 ** (-(scan - start).total_seconds() / half_life)
    if decayed < dose * 2.0**-50:
        return Suv(None, "the time of the injection is too long before the scan")
    return Suv(weight * 1000.0 / decayed)


def _scan_time(dataset: Dataset, half_life: float) -> datetime | None:
    """Time to which the dose is decayed: the beginning of the first bed position."""
    series = _moment(dataset.get("SeriesDate"), dataset.get("SeriesTime"))
    acquired = _moment(dataset.get("AcquisitionDate"), dataset.get("AcquisitionTime"))
    if series is not None and (acquired is None or series <= acquired):
        return series
    # The series was made after it was acquired (reprocessed): its time means nothing.
    if moment := _date_time(_private(dataset, 0x0009, _GE, 0x0D)):
        return moment
    reference = _number(dataset.get("FrameReferenceTime"))
    duration = _positive(dataset.get("ActualFrameDuration"))
    if acquired is None or reference is None or duration is None:
        return None
    rate = math.log(2.0) / half_life
    decay = rate * duration / 1000.0
    # When, within the frame, the count rate was its mean.
    mean = math.log(decay / -math.expm1(-decay)) / rate
    return acquired + timedelta(seconds=mean - reference / 1000.0)


def _injection(drug: Dataset, scan: datetime) -> datetime | None:
    """Time of the injection, at most a day before the scan unless the file gives its date."""
    if moment := _date_time(drug.get("RadiopharmaceuticalStartDateTime")):
        return moment if moment <= scan else None
    time = drug.get("RadiopharmaceuticalStartTime")
    moment = _moment(scan.strftime("%Y%m%d"), time)
    if moment is None:
        return None
    return moment if moment <= scan else moment - _DAY


def _moment(date: object, time: object) -> datetime | None:
    try:
        day, clock = DA(str(date or "")), TM(str(time or ""))
    except ValueError:
        return None
    return datetime.combine(day, clock) if day and clock else None


def _date_time(value: object) -> datetime | None:
    try:
        moment = DT(str(value or ""))
    except ValueError:
        return None
    # Other times of the file are local and carry no zone.
    return datetime.combine(moment.date(), moment.time()) if moment else None


def _private(dataset: Dataset, group: int, creator: str, element: int) -> object:
    """A maker's own element, or None."""
    try:
        return dataset.private_block(group, creator)[element].value
    except KeyError:
        return None


def _positive(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _words(value: object) -> set[str]:
    parts = [value] if isinstance(value, str) else list(value or ())  # type: ignore[call-overload]
    return {str(part).strip().upper() for part in parts}
