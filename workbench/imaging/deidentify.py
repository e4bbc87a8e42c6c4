"""De-identified copies of scans: DICOM, NIfTI and raster files, written under pseudonymous names.

What the reader refuses is not written: nobody could look at its pixels. What only a person can judge (text in
the pixels, a face in a head volume, an ultrasound banner) becomes a `Look` in the result. Called by
``workbench deidentify``; docs/deidentification.md states the profile.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID

from workbench.errors import ScanRefused, WorkbenchError
from workbench.imaging.archive import is_clutter, unpacked
from workbench.imaging.deidentify_dicom import Action, Wishes, clean_header
from workbench.imaging.deidentify_files import clean_nifti, clean_raster
from workbench.imaging.deidentify_pixels import bare_pixels
from workbench.imaging.dicom import scan_of
from workbench.imaging.dicom_terms import HEAD_PARTS, known_body_part
from workbench.imaging.dicomfile import DicomFile, image_type, open_dicom, quiet, refusing
from workbench.imaging.identity import patient_key, pseudonym_uid
from workbench.imaging.nifti import read_nifti
from workbench.imaging.quality import grey_levels
from workbench.imaging.quality_text import text_lines
from workbench.imaging.raster import read_raster
from workbench.imaging.scan import Scan
from workbench.imaging.sniff import Kind, sniff

_PIXEL_ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_SLICES_LOOKED_AT = 24
_HEAD_MODALITIES = ("CT", "MR", "PT")
_VISIBLE_LIGHT = ("ES", "GM", "OP", "XC", "IO")
_NAME_DIGITS = 12


class Look(StrEnum):
    """Why a person should look at a file before it leaves."""

    TEXT = "text was found in the pixels"
    BURNED_IN = "the header does not exclude burned-in text"
    CAPTURE = "it is a secondary capture or a saved screen"
    ULTRASOUND = "ultrasound images usually carry a banner"
    FACE = "a face may be reconstructed from a volume of the head"
    UNKNOWN_PART = "the body part is not stated; a head volume would show a face"
    PHOTOGRAPH = "photographs may show a face, a tattoo or a name tag"
    UNSTATED = "the file does not say how it was made"


@dataclass(frozen=True, slots=True)
class Written:
    """One file that was written.

    Attributes:
        case: number of the file among those given, from 1; stands for its name.
        name: of the copy, below the output folder.
        form: ``DICOM``, ``NIfTI`` or ``raster``.
        before, after: number of header elements; a sequence that was removed counts once.
        looks: why a person should look at it; empty where somebody has.
    """

    case: int
    name: str
    form: str
    before: int
    after: int
    looks: tuple[Look, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Deidentified:
    """What came of a number of files.

    Attributes:
        wishes: what was asked for.
        written: the copies.
        refused: number of each file that was not copied, and why (the error names the file, for the screen).
        actions: in how many places each element met which fate.
    """

    wishes: Wishes
    written: tuple[Written, ...]
    refused: tuple[tuple[int, ScanRefused], ...]
    actions: Counter[tuple[str, Action]] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, eq=False)
class _Copy:
    name: str
    form: str
    before: int
    after: int
    looks: tuple[Look, ...]
    actions: Counter[tuple[str, Action]]


def deidentify(
    paths: Sequence[Path],
    out: Path,
    wishes: Wishes | None = None,
    progress: Callable[[int], None] | None = None,
) -> Deidentified:
    """Write de-identified copies.

    Args:
        paths: files, folders (with subfolders) and zips.
        out: a new or empty folder outside of `paths`.
        wishes: see `Wishes`.
        progress: called with the number of files done.

    Raises:
        WorkbenchError: `out` holds files already, or lies within what is read.
    """
    wishes = wishes or Wishes()
    _check_place(paths, out)
    written: list[Written] = []
    refused: list[tuple[int, ScanRefused]] = []
    actions: Counter[tuple[str, Action]] = Counter()
    with ExitStack() as held:
        for case, given in enumerate(_files(paths, held), start=1):
            if isinstance(given, ScanRefused):
                refused.append((case, given))
                continue
            path, source = given
            try:
                copy = _copy(path, source, out, wishes)
            except ScanRefused as error:
                refused.append((case, error))
            else:
                actions += copy.actions
                written.append(Written(case, copy.name, copy.form, copy.before, copy.after, copy.looks))
            if progress is not None:
                progress(case)
    return Deidentified(wishes, tuple(written), tuple(refused), actions)


def _check_place(paths: Sequence[Path], out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WorkbenchError(f"{out.name}: exists and is not an empty folder. Name a new folder.")
    inside = [path for path in paths if out.resolve().is_relative_to(path.resolve())]
    if inside:
        raise WorkbenchError(f"{out.name}: lies inside what is to be read. Name a folder elsewhere.")


def _files(paths: Sequence[Path], held: ExitStack) -> Iterator[tuple[Path, str] | ScanRefused]:
    """Every file with its name for the screen; zips are opened, what cannot be is a refusal."""
    for path in paths:
        for file in _walk(path) if path.is_dir() else (path,):
            try:
                with refusing(file.name):
                    kind = sniff(file)
                if kind is not Kind.ZIP:
                    yield file, file.name
                    continue
                inside = held.enter_context(unpacked(file, file.name))
            except ScanRefused as error:
                yield error
                continue
            yield from inside.files
            yield from inside.refused


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(files) if not is_clutter(name))


def _copy(path: Path, source: str, out: Path, wishes: Wishes) -> _Copy:
    with refusing(source), quiet():
        kind = sniff(path)
        if kind is Kind.DICOM:
            return _copy_dicom(open_dicom(path, source), out, wishes)
        if kind in (Kind.NIFTI, Kind.RASTER):
            return _copy_other(path, source, kind, out, wishes)
    raise ScanRefused(
        source,
        "It is no scan of a kind that is de-identified here.",
        "Give DICOM, NIfTI, PNG, JPEG, BMP or TIFF files.",
    )


def _copy_dicom(file: DicomFile, out: Path, wishes: Wishes) -> _Copy:
    dataset = file.dataset
    sop_class = UID(str(dataset.get("SOPClassUID", "")))
    if sop_class.is_private or sop_class.name == sop_class:
        raise ScanRefused(
            file.source,
            "Its SOP class is not one of the standard's; nobody knows what its elements mean.",
            "Export it as a standard DICOM image.",
        )
    has_text = _has_text(scan_of(file))
    cleaned = clean_header(dataset, wishes, has_text)
    header = cleaned.dataset
    for keyword in _PIXEL_ELEMENTS:
        if keyword in dataset:
            header.add(dataset[keyword])
    if "PixelData" in dataset:
        bare_pixels(header, UID(dataset.file_meta.TransferSyntaxUID))
    if header.get("SOPInstanceUID") is None:
        header.SOPInstanceUID = pseudonym_uid(file.digest)
    name = _dicom_name(cleaned.patient, header)
    _write(header, str(dataset.file_meta.TransferSyntaxUID), out / name)
    looks = () if wishes.reviewed else _dicom_looks(dataset, has_text)
    before = sum(number for (_, action), number in cleaned.actions.items() if action is not Action.ADDED)
    return _Copy(name, "DICOM", before, sum(1 for _ in header.iterall()), looks, cleaned.actions)


def _dicom_name(patient: str, header: Dataset) -> str:
    """``patient/series/image.dcm``, each a part of a keyed hash."""
    series = patient_key(f"series {header.get('SeriesInstanceUID', '')}")
    image = patient_key(f"image {header.SOPInstanceUID}")
    return f"{patient[:_NAME_DIGITS]}/{series[:_NAME_DIGITS]}/{image[:_NAME_DIGITS]}.dcm"


def _write(header: Dataset, syntax: str, path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    meta.TransferSyntaxUID, meta.ImplementationClassUID = UID(syntax), PYDICOM_IMPLEMENTATION_UID
    file = FileDataset("", header, file_meta=meta, preamble=b"\x00" * 128)
    path.parent.mkdir(parents=True, exist_ok=True)
    uid = UID(syntax)
    dcmwrite(
        path,
        file,
        enforce_file_format=True,
        implicit_vr=uid.is_implicit_VR,
        little_endian=uid.is_little_endian,
    )


def _dicom_looks(dataset: Dataset, has_text: bool) -> tuple[Look, ...]:
    modality, words = str(dataset.get("Modality") or ""), " ".join(image_type(dataset))
    part = known_body_part(str(dataset.get("BodyPartExamined") or ""))
    is_capture = "Secondary Capture" in UID(str(dataset.SOPClassUID)).name
    capture = is_capture or modality in ("SC", "OT") or "SCREEN" in words
    judged = {
        Look.TEXT: has_text,
        Look.BURNED_IN: str(dataset.get("BurnedInAnnotation", "")).strip().upper() != "NO",
        Look.CAPTURE: capture,
        Look.ULTRASOUND: modality in ("US", "IVUS"),
        Look.FACE: modality in _HEAD_MODALITIES and part in HEAD_PARTS,
        Look.UNKNOWN_PART: modality in _HEAD_MODALITIES and not part,
        Look.PHOTOGRAPH: modality in _VISIBLE_LIGHT,
    }
    return tuple(look for look, applies in judged.items() if applies)


def _copy_other(path: Path, source: str, kind: Kind, out: Path, wishes: Wishes) -> _Copy:
    scan = read_nifti(path, source) if kind is Kind.NIFTI else read_raster(path, source)
    cleaned = clean_nifti(path, source) if kind is Kind.NIFTI else clean_raster(path, source)
    name = f"{patient_key(f'file {scan.provenance.sha256}')[:_NAME_DIGITS]}{cleaned.suffix}"
    out.mkdir(parents=True, exist_ok=True)
    (out / name).write_bytes(cleaned.data)
    looks = [Look.TEXT] if _has_text(scan) else []
    looks.append(Look.FACE if kind is Kind.NIFTI else Look.UNSTATED)
    actions = Counter({(item, Action.REMOVED): number for item, number in cleaned.removed.items()})
    before = sum(cleaned.removed.values())
    form = "NIfTI" if kind is Kind.NIFTI else "raster"
    return _Copy(name, form, before, 0, () if wishes.reviewed else tuple(looks), actions)


def _has_text(scan: Scan) -> bool:
    """Whether there is text on any of some slices, spread over all."""
    slices = len(scan.pixels)
    chosen = np.unique(np.linspace(0, slices - 1, min(slices, _SLICES_LOOKED_AT)).astype(int))
    return any(text_lines(grey_levels(scan, int(index))) for index in chosen)
