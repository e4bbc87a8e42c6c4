"""DICOM objects that are no scan, by SOP class: what each is, and what to give instead.

Unique identifiers from PS3.4 B.5 and PS3.3 A; the longest beginning that fits decides, so that a class the
standard adds to a family is still explained. Called by `dicomfile`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import RTImageStorage

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_IMAGES = "Choose the image files of the study instead."
_SEGMENTED = "Choose the images that were segmented instead."
_DOSE = "Choose the planning CT or MR instead."


@dataclass(frozen=True, slots=True)
class NotAScan:
    """What a DICOM object is, as the end of "It is ...", and what to do."""

    what: str
    fix: str


_KINDS: dict[str, NotAScan] = {
    "1.2.840.10008.1.3.10": NotAScan(
        "a DICOMDIR, the index of a disc",
        "Give it, or its folder, where several scans are expected.",
    ),
    f"{_STORAGE}481.": NotAScan("radiotherapy data (RT)", _DOSE),
    f"{_STORAGE}481.2": NotAScan("a radiotherapy dose grid (RT Dose)", _DOSE),
    f"{_STORAGE}481.3": NotAScan("a set of radiotherapy contours (RT Structure Set)", _DOSE),
    f"{_STORAGE}481.4": NotAScan("a radiotherapy treatment record (RT)", _DOSE),
    f"{_STORAGE}481.5": NotAScan("a radiotherapy plan (RT Plan)", _DOSE),
    f"{_STORAGE}481.8": NotAScan("a radiotherapy plan for ions (RT Ion Plan)", _DOSE),
    "1.2.840.10008.5.1.4.34.": NotAScan("a radiotherapy work instruction (RT)", _DOSE),
    f"{_STORAGE}66": NotAScan("raw data of a scanner", "Choose the images reconstructed from it instead."),
    f"{_STORAGE}66.1": NotAScan("a spatial registration (REG), a change of coordinates", _IMAGES),
    f"{_STORAGE}66.2": NotAScan("a set of spatial fiducials (FID)", _IMAGES),
    f"{_STORAGE}66.3": NotAScan("a deformable registration (REG), a change of coordinates", _IMAGES),
    f"{_STORAGE}66.4": NotAScan("a segmentation (SEG), labels instead of measured values", _SEGMENTED),
    f"{_STORAGE}66.5": NotAScan("a surface segmentation, a mesh", _SEGMENTED),
    f"{_STORAGE}66.6": NotAScan("a set of fibre tracts (tractography)", _IMAGES),
    f"{_STORAGE}66.7": NotAScan("a label map segmentation (SEG), labels instead of values", _SEGMENTED),
    f"{_STORAGE}66.8": NotAScan("a height map segmentation (SEG)", _SEGMENTED),
    f"{_STORAGE}67": NotAScan("a real world value mapping, a table of units", _IMAGES),
    f"{_STORAGE}68.": NotAScan("a surface scan, a mesh or points", _IMAGES),
    f"{_STORAGE}88.": NotAScan("a structured report (SR)", _IMAGES),
    f"{_STORAGE}88.40": NotAScan("a procedure log, a structured report (SR)", _IMAGES),
    f"{_STORAGE}88.59": NotAScan("a key object selection (KO), a list", "Choose the images it lists."),
    f"{_STORAGE}88.67": NotAScan("a radiation dose report, a structured report (SR)", _IMAGES),
    f"{_STORAGE}90.": NotAScan("an assessment of content, no image", _IMAGES),
    f"{_STORAGE}91.": NotAScan("a set of annotations of a slide", "Choose the slide's image instead."),
    f"{_STORAGE}104.": NotAScan("an encapsulated document", _IMAGES),
    f"{_STORAGE}104.1": NotAScan("an encapsulated PDF document", _IMAGES),
    f"{_STORAGE}104.2": NotAScan("an encapsulated CDA document", _IMAGES),
    f"{_STORAGE}104.3": NotAScan("an encapsulated STL model for printing", _IMAGES),
    f"{_STORAGE}104.4": NotAScan("an encapsulated OBJ model for printing", _IMAGES),
    f"{_STORAGE}104.5": NotAScan("an encapsulated MTL material for printing", _IMAGES),
    f"{_STORAGE}9.": NotAScan("a waveform, curves over time (ECG, sound, ...)", _IMAGES),
    f"{_STORAGE}11.": NotAScan("a presentation state (PR), how images are to be shown", _IMAGES),
    f"{_STORAGE}4.2": NotAScan("an MR spectrum, no image", "Choose the MR images of the study instead."),
    f"{_STORAGE}77.1.5.3": NotAScan("a stereometric relationship, no image", _IMAGES),
    f"{_STORAGE}78.": NotAScan("a measurement of the eye, no image", _IMAGES),
    f"{_STORAGE}79.1": NotAScan("a macular grid report of the eye, no image", _IMAGES),
    f"{_STORAGE}80.1": NotAScan("a report of the visual field, no image", _IMAGES),
    "1.2.840.10008.5.1.4.38.": NotAScan("a hanging protocol, how to arrange images", _IMAGES),
    "1.2.840.10008.5.1.4.39.": NotAScan("a colour palette", _IMAGES),
    "1.2.840.10008.5.1.4.43.": NotAScan("a description of an implant, no image", _IMAGES),
    "1.2.840.10008.5.1.4.44.": NotAScan("a group of implant descriptions, no image", _IMAGES),
    "1.2.840.10008.5.1.4.45.": NotAScan("an implant assembly template, no image", _IMAGES),
}
"""A key that ends in a dot names a family, one that does not a single class."""


def not_a_scan(sop_class: str) -> NotAScan | None:
    """What an object of this class is, or None where it may be a scan (RT images are)."""
    if sop_class == RTImageStorage:
        return None
    if exact := _KINDS.get(sop_class):
        return exact
    families = [key for key in _KINDS if key.endswith(".") and sop_class.startswith(key)]
    return _KINDS[max(families, key=len)] if families else None
