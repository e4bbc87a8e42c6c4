"""Values that may be kept in a de-identified header, in a form that can say nothing unforeseen.

Called by `deidentify_dicom` for elements that the allow-list names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from workbench.imaging.dicom_terms import VOCABULARY, known_body_part, vendor

_NUMBERS = frozenset(("US", "SS", "UL", "SL", "FL", "FD", "AT", "UV", "SV"))
_PIXELS = frozenset(("OB", "OW", "OF", "OD", "OL", "OB or OW"))
_LARGEST_INTEGER = 10**6
_OLDEST = 90

Value = str | int | float | bytes | list[str] | list[int] | list[float] | None


def kept_value(element: DataElement) -> Value:
    """The element's value in a form that can say nothing unforeseen, or None where it has none."""
    raw = element.value
    if raw is None or raw == "":
        return None
    if element.VR in _NUMBERS or element.VR in _PIXELS:
        return raw  # type: ignore[no-any-return]
    values = list(raw) if element.VM > 1 else [raw]
    if element.VR in ("DS", "IS"):
        kind = float if element.VR == "DS" else int
        try:
            numbers = [kind(value) for value in values if value not in (None, "")]
        except (TypeError, ValueError, OverflowError):
            return None
        if element.VR == "IS" and any(abs(number) >= _LARGEST_INTEGER for number in numbers):
            return None
        if len(numbers) != len(values) or not numbers:
            return None
        # As the file spells them, which is known to be a number: rounding twice would move a slice.
        return [str(value).strip() for value in values] if len(values) > 1 else str(values[0]).strip()
    if element.VR in ("CS", "LO", "SH"):
        words = [str(value).strip().upper() for value in values]
        fit = [word if word in VOCABULARY or _is_small_number(word) else "" for word in words]
        if not any(fit):
            return None
        if element.keyword == "ImageType" or element.keyword == "FrameType":
            fit = [word or "OTHER" for word in fit]
        return fit if len(fit) > 1 else fit[0]
    return None


def _is_small_number(word: str) -> bool:
    """Echo numbers, stack names and the like."""
    return len(word) <= 3 and word.isdecimal()


def _sop_class(dataset: Dataset) -> Value:
    return str(dataset.SOPClassUID)


def _body_part(dataset: Dataset) -> Value:
    return known_body_part(str(dataset.get("BodyPartExamined") or "")) or None


def _vendor(dataset: Dataset) -> Value:
    return vendor(str(dataset.get("Manufacturer") or "")) or None


def _age_band(dataset: Dataset) -> Value:
    """PatientAge as the middle of its decade, ``090Y`` from ninety on (PS3.5 6.2, AS)."""
    found = re.fullmatch(r"(\d{3})([DWMY])", str(dataset.get("PatientAge") or "").strip())
    if found is None:
        return None
    years = int(found[1]) // {"D": 365, "W": 52, "M": 12, "Y": 1}[found[2]]
    return f"{_OLDEST if years >= _OLDEST else years // 10 * 10 + 5:03d}Y"


SPECIAL: dict[str, Callable[[Dataset], Value]] = {
    "SOPClassUID": _sop_class,
    "BodyPartExamined": _body_part,
    "Manufacturer": _vendor,
    "PatientAge": _age_band,
}


def standard_code(item: Dataset) -> Dataset | None:
    """A coded concept in the standard's own words, or None where the standard does not know it."""
    value, scheme = str(item.get("CodeValue") or ""), str(item.get("CodingSchemeDesignator") or "")
    meaning = _meanings(scheme).get(value) if scheme in ("DCM", "SCT") else None
    return code_item(value, scheme, meaning) if meaning else None


@lru_cache(maxsize=8)
def _meanings(scheme: str) -> dict[str, str]:
    """Meanings by value, of all concepts of a scheme that PS3.16 names."""
    known = getattr(codes, scheme, None)
    if known is None:
        return {}
    concepts = (getattr(known, keyword) for keyword in known.dir())
    return {concept.value: concept.meaning for concept in concepts}


def code_item(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence (PS3.3 8.8)."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def shifted(element: DataElement, days: timedelta) -> DataElement | None:
    """A date, or date and time, moved by whole days; times of day stay; None where it cannot be read."""
    text = str(element.value or "").strip()
    if element.VR == "TM":
        return DataElement(element.tag, "TM", text) if re.fullmatch(r"\d{2,6}(\.\d{1,6})?", text) else None
    found = re.fullmatch(r"(\d{8})(\d{0,6}(?:\.\d{1,6})?(?:[+-]\d{4})?)", text)
    if found is None or (element.VR == "DA" and found[2]):
        return None
    try:
        moved = datetime.strptime(found[1], "%Y%m%d") + days
    except (ValueError, OverflowError):
        return None
    return DataElement(element.tag, element.VR, moved.strftime("%Y%m%d") + found[2])
