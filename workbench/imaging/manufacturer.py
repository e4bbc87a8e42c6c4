"""The class of manufacturer behind DICOM's Manufacturer (0008,0070), free of anything that names a site.

Some archives write the device's owner or serial number into the field, so that only known makers are kept.
"""

from __future__ import annotations

import re

UNKNOWN, OTHER = "", "other"
_MAKERS = (
    "agfa", "barco", "canon", "carestream", "carl zeiss", "esaote", "fonar", "fuji", "ge", "general electric",
    "hamamatsu", "heidelberg", "hitachi", "hologic", "kodak", "konica", "leica", "lorad", "mindray", "nidek",
    "olympus", "optovue", "philips", "samsung", "shimadzu", "siemens", "swissray", "topcon", "toshiba",
    "united imaging", "varian", "zeiss",
)  # fmt: skip
_SAME = {"general electric": "ge", "carl zeiss": "zeiss"}


def manufacturer_class(text: object) -> str:
    """A known maker in lower case, ``other``, or empty where the file does not say.

    Args:
        text: value of Manufacturer, or None.
    """
    words = " ".join(re.findall(r"[a-z]+", str(text or "").lower()))
    if not words:
        return UNKNOWN
    for maker in _MAKERS:
        if re.search(rf"\b{maker}(?:film)?\b", words):
            return _SAME.get(maker, maker)
    return OTHER
