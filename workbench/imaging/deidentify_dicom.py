"""One DICOM header without identifiers, by allow-list: what is not named here does not get through.

After the Basic Application Level Confidentiality Profile (PS3.15 table E.1-1), which says what to remove;
here the other way round, what to keep, so that private elements, new attributes and misused free text cannot
slip through. docs/deidentification.md holds the table of options. Called by `deidentify`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from workbench.imaging.deidentify_rules import (
    DATES,
    DUMMIES,
    EMPTY,
    KEPT,
    PET_ONLY,
    REMAPPED,
    SEQUENCES,
)
from workbench.imaging.deidentify_values import SPECIAL, code_item, kept_value, shifted, standard_code
from workbench.imaging.identity import patient_key, pseudonym_uid, shift_days

DATES_REMOVED, DATES_SHIFTED = "REMOVED", "MODIFIED"
_ELSEWHERE = frozenset(
    ("PatientID", "PatientName", "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable")
)
"""Written by `_Cleaner.clean`, and by `deidentify` once pixels have been looked at."""
_KNOWN = KEPT | SEQUENCES | REMAPPED | DATES | frozenset(EMPTY) | frozenset(DUMMIES)
_METHODS = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
}
"""PS3.16 CID 7050."""


class Action(StrEnum):
    """What became of an element."""

    KEPT = "kept"
    REPLACED = "replaced"
    EMPTIED = "emptied"
    REMOVED = "removed"
    SHIFTED = "shifted"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person decided.

    Attributes:
        reviewed: somebody has looked at the pixels of every file and found nothing that identifies.
        shift_dates: move dates by a secret number of days per patient instead of dropping them.
    """

    reviewed: bool = False
    shift_dates: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Cleaned:
    """A header after de-identification, without pixel data.

    Attributes:
        dataset: what was kept.
        patient: pseudonymous key.
        actions: how often each element met which fate; by name, without values.
    """

    dataset: Dataset
    patient: str
    actions: Counter[tuple[str, Action]]


def clean_header(dataset: Dataset, wishes: Wishes, has_text: bool) -> Cleaned:
    """The header of an image without identifiers.

    Args:
        dataset: of a DICOM image; not changed.
        wishes: see `Wishes`.
        has_text: text was found in the pixels.
    """
    return _Cleaner(dataset, wishes).clean(has_text)


class _Cleaner:
    """Walks one dataset; holds what all its levels share."""

    def __init__(self, dataset: Dataset, wishes: Wishes) -> None:
        self._whole, self._wishes = dataset, wishes
        raw_id = str(dataset.get("PatientID") or "").strip(" \x00")
        # A study without a patient number is a patient of its own.
        self._raw_id = raw_id or f"study {dataset.get('StudyInstanceUID', '')}"
        self.patient = patient_key(self._raw_id)
        self._days = timedelta(days=shift_days(self._raw_id))
        self._is_enhanced = UID(str(dataset.get("SOPClassUID", ""))).name.startswith(("Enhanced", "Legacy"))
        self.actions: Counter[tuple[str, Action]] = Counter()

    def clean(self, has_text: bool) -> Cleaned:
        """Every level of the dataset, then what is said about it."""
        out = self._level(self._whole, is_top=True)
        for keyword in EMPTY:
            if keyword not in out:
                setattr(out, keyword, "")
        for keyword in ("PatientID", "PatientName"):
            setattr(out, keyword, self.patient)
            self.actions[named_keyword(keyword), Action.REPLACED] += 1
        self._state(out, has_text)
        return Cleaned(out, self.patient, self.actions)

    def _level(self, dataset: Dataset, is_top: bool) -> Dataset:
        out = Dataset()
        for tag in dataset.keys():  # noqa: SIM118 - iterating a dataset would parse every value
            keyword = "" if tag.is_private else keyword_for_tag(tag)
            if is_top and keyword in _ELSEWHERE:
                continue
            kept, action = self._judge(dataset, tag, keyword)
            self.actions[named(tag), action] += 1
            if kept is not None:
                out.add(kept)
        return out

    def _judge(self, dataset: Dataset, tag: BaseTag, keyword: str) -> tuple[DataElement | None, Action]:
        if keyword not in _KNOWN:
            return None, Action.REMOVED
        try:
            element = dataset[tag]
        except Exception:  # whatever a library raises on a damaged value
            return None, Action.REMOVED
        if keyword in SEQUENCES:
            return self._sequence(element) if element.VR == "SQ" else (None, Action.REMOVED)
        if keyword in REMAPPED and element.VM == 1:
            return DataElement(tag, "UI", pseudonym_uid(str(element.value))), Action.REPLACED
        if keyword in DATES and self._wishes.shift_dates:
            moved = shifted(element, self._days)
            if moved is not None:
                return moved, Action.SHIFTED
        if self._is_enhanced and keyword in DUMMIES:
            return DataElement(tag, element.VR, DUMMIES[keyword]), Action.REPLACED
        if keyword in EMPTY:
            return DataElement(tag, element.VR, ""), Action.EMPTIED
        if keyword not in KEPT or (keyword in PET_ONLY and self._whole.get("Modality") != "PT"):
            return None, Action.REMOVED
        value = SPECIAL[keyword](dataset) if keyword in SPECIAL else kept_value(element)
        if value is None:
            return DataElement(tag, element.VR, None), Action.EMPTIED
        same = keyword not in SPECIAL or value == element.value
        return DataElement(tag, element.VR, value), Action.KEPT if same else Action.REPLACED

    def _sequence(self, element: DataElement) -> tuple[DataElement | None, Action]:
        if element.keyword.endswith("CodeSequence") or element.keyword == "AnatomicRegionSequence":
            items = [code for item in element.value or () if (code := standard_code(item)) is not None]
        else:
            items = [self._level(item, is_top=False) for item in element.value or ()]
        if not items and element.value:
            return None, Action.REMOVED
        return DataElement(element.tag, "SQ", items), Action.KEPT

    def _state(self, out: Dataset, has_text: bool) -> None:
        """What was done, for whoever receives the file (PS3.3 C.7.1.1, PS3.15 E.1.1)."""
        used = ["113100", "113108"]
        used += ["113107"] if self._wishes.shift_dates else []
        used += ["113101"] if self._wishes.reviewed else []
        out.PatientIdentityRemoved = "YES" if self._wishes.reviewed else "NO"
        out.DeidentificationMethod = "Allow-list of elements" + (
            "" if self._wishes.reviewed else "; pixels not reviewed"
        )
        out.DeidentificationMethodCodeSequence = [
            code_item(value, "DCM", _METHODS[value]) for value in sorted(used)
        ]
        out.LongitudinalTemporalInformationModified = (
            DATES_SHIFTED if self._wishes.shift_dates else DATES_REMOVED
        )
        if self._wishes.reviewed:
            out.BurnedInAnnotation = "NO"
        elif has_text:
            out.BurnedInAnnotation = "YES"
        for keyword in (
            "PatientIdentityRemoved",
            "DeidentificationMethodCodeSequence",
            "LongitudinalTemporalInformationModified",
        ):
            self.actions[named_keyword(keyword), Action.ADDED] += 1


def named(tag: BaseTag) -> str:
    """Name and number of an element for a report; of a private one its group only."""
    if tag.is_private:
        return f"private, group {tag.group:04X}"
    return f"{keyword_for_tag(tag) or 'unknown'} ({tag.group:04X},{tag.elem:04X})"


def named_keyword(keyword: str) -> str:
    """The same for a keyword."""
    return named(Tag(keyword))
