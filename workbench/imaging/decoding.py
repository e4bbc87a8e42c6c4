"""What is done to a file inside a worker: the functions that `read` hands over.

Each takes picklable arguments and returns something whose arrays travel beside the pickle (see `wire`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileDataset

from workbench.errors import ScanRefused
from workbench.imaging.dicom import decoded
from workbench.imaging.dicomfile import PIXEL_ELEMENTS, DicomFile, open_dicom
from workbench.imaging.held import Held
from workbench.imaging.limits import MIB
from workbench.imaging.nifti import read_nifti
from workbench.imaging.nrrd import read_nrrd
from workbench.imaging.options import DEFAULTS, ReadOptions
from workbench.imaging.pixelchain import Values
from workbench.imaging.raster import read_raster
from workbench.imaging.scan import Scan
from workbench.imaging.sniff import Kind

_READERS: dict[Kind, Callable[[Path, str, ReadOptions], Scan]] = {
    Kind.NIFTI: read_nifti,
    Kind.NIFTI_IMAGE: read_nifti,
    Kind.NRRD: read_nrrd,
    Kind.RASTER: read_raster,
}
"""Of files that stand alone."""
_BULK = (None, "OB", "OW", "OF", "OD", "OL", "OV", "UN", "UT", "UC", "UR")
"""Value representations of bulk data; None where the encoding does not name one."""


def read_file(kind: Kind, path: Path, source: str, options: ReadOptions = DEFAULTS) -> Scan:
    """Read one file that stands alone.

    Raises:
        ScanRefused: as the reader says.
    """
    return _READERS[kind](path, source, options)


def open_decoded(path: Path, source: str, options: ReadOptions = DEFAULTS) -> DicomFile:
    """Open a DICOM file and decode it, reading it once.

    What is wrong with its pixels is kept in the file, to be raised where they are used: its header still
    says which series it belongs to.

    Raises:
        ScanRefused: it is no image or passes the budget.
    """
    file = open_dicom(path, source, options)
    outcome: Values | ScanRefused
    try:
        outcome = decoded(file)
    except ScanRefused as refusal:
        outcome = refusal
    return replace(file, dataset=_header(file.dataset), held=Held(outcome))


def open_header(path: Path, source: str, options: ReadOptions = DEFAULTS) -> DicomFile:
    """Open a DICOM file without decoding it.

    Raises:
        ScanRefused: as `open_decoded`.
    """
    file = open_dicom(path, source, options)
    return replace(file, dataset=_header(file.dataset))


def _header(dataset: FileDataset) -> FileDataset:
    """The data set without pixels and without a tie to the bytes that it was read from."""
    for name in PIXEL_ELEMENTS:
        if name in dataset:
            del dataset[name]
    bulky = [element.tag for element in dataset.values() if element.VR in _BULK and _length(element) > MIB]
    for tag in bulky:
        dataset[tag] = DataElement(tag, dataset.get_item(tag).VR, b"")
    dataset.filename = dataset.buffer = dataset.fileobj_type = None
    return dataset


def _length(element: DataElement | RawDataElement) -> int:
    return len(element.value) if isinstance(element.value, bytes) else 0
