"""What to tell somebody about labelled scans that can be learned from, but could serve better.

Nothing here refuses anything; called by the command line and `workbench.read_support`.
"""

from __future__ import annotations

from collections import defaultdict

from workbench.data.folders import LabelledScans, scan_key

GOOD_START = 5
"""Patients per class below which a class is called thin."""


def advice(read: LabelledScans) -> tuple[str, ...]:
    """Everything worth saying, one text each; empty where all is well."""
    found = (few_patients(read), unknown_patients(read), divided_patients(read))
    return tuple(text for text in found if text)


def few_patients(read: LabelledScans) -> str:
    """Names the classes with fewer than `GOOD_START` patients."""
    patients: defaultdict[str, set[str]] = defaultdict(set)
    for example in read.examples:
        patients[example.label].add(example.patient)
    few = [f"{n!r} ({len(patients[n])})" for n in read.classes if len(patients[n]) < GOOD_START]
    if not few:
        return ""
    return (
        f"Few patients in class {', '.join(few)}: readings will be unsure, and little can be said about how "
        f"good they are. Add scans of more patients; {GOOD_START} to 20 per class are a good start."
    )


def unknown_patients(read: LabelledScans) -> str:
    """Says how many scans count as a patient each because nothing names theirs."""
    alone = sum(example.patient == scan_key(example.scan) for example in read.examples)
    if not alone:
        return ""
    return (
        f"The patient of {alone} of {len(read.examples)} scans is not known, so each of them counts as one. "
        "Where several are of one patient, put them into a subfolder of the class folder or name the patient "
        "in the table; otherwise estimates come out too good."
    )


def divided_patients(read: LabelledScans) -> str:
    """Says where DICOM files of one patient number were given as several patients."""
    given: defaultdict[str, set[str]] = defaultdict(set)
    for example in read.examples:
        if example.scan.patient is not None:
            given[example.scan.patient].add(example.patient)
    divided = max((len(patients) for patients in given.values()), default=1)
    if divided < 2:
        return ""
    return (
        f"Scans given as {divided} patients carry one patient number in their DICOM files. If they are "
        "studies of one patient, put them into one subfolder; if the number was only blanked out, nothing "
        "need be done."
    )
