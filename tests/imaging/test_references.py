"""Every real file against what pydicom, GDCM and nibabel make of it, by code that shares nothing with ours.

pydicom gives stored values through its own plug-ins; GDCM decodes with its own C++ codecs and is a second,
independent witness wherever it can read the file; nibabel gives scaled NIfTI values.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import gdcm
import nibabel as nib
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from PIL import Image
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

from tests.imaging.corpus import DEFECTS, read_once
from workbench.errors import ScanRefused
from workbench.imaging import ReadOptions, Scan, read_scan

SHARED = Path(os.environ.get("WORKBENCH_SHARED", Path(__file__).parents[3] / "shared"))
FILES = [path for part in ("dicom", "nifti") for path in sorted((SHARED / part).rglob("*")) if path.is_file()]
Array = npt.NDArray[np.float64]
HEADERLESS = ReadOptions(allow_no_preamble=True)


@cache
def _outcome(path: Path) -> Scan | ScanRefused:
    """What came of a file, those without the DICOM header read all the same."""
    found = read_once(path)
    if not isinstance(found, ScanRefused) or "lacks the DICOM file header" not in found.reason:
        return found
    try:
        return read_scan(path, options=HEADERLESS)
    except ScanRefused as error:
        return error


def _scan(path: Path) -> Scan:
    found = _outcome(path)
    assert isinstance(found, Scan)
    return found


def _rescaled(image: pydicom.Dataset, stored: Array) -> Array:
    """Modality LUT or rescale of each frame, looked up here by hand."""
    frames = stored.reshape(-1, image.Rows, image.Columns)
    out = np.empty(frames.shape)
    for index, frame in enumerate(frames):
        parts = [image]
        for name, at in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", index)):
            if name in image and "PixelValueTransformationSequence" in image[name].value[at]:
                parts.append(image[name].value[at].PixelValueTransformationSequence[0])
        if "ModalityLUTSequence" in image:
            out[index] = apply_modality_lut(frame.astype(int), image)
        else:
            scaling = parts[-1]
            slope, cut = scaling.get("RescaleSlope"), scaling.get("RescaleIntercept")
            out[index] = frame * float(1 if slope is None else slope) + float(0 if cut is None else cut)
    return out


def _expected(image: pydicom.Dataset) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Values by pydicom, and which of them are no padding."""
    stored = image.pixel_array
    if image.PhotometricInterpretation == "PALETTE COLOR":
        return apply_color_lut(stored, image)[..., :3].astype(float), np.ones(stored.shape, bool)
    if image.get("SamplesPerPixel", 1) == 3:
        return stored.astype(float), np.ones(stored.shape[:-1], bool)
    values = _rescaled(image, stored.astype(float))
    padding = image.get("PixelPaddingValue")
    real = stored.reshape(values.shape) != padding if padding is not None else np.ones(values.shape, bool)
    if image.PhotometricInterpretation == "MONOCHROME1":
        ends = np.array([0, 2**image.BitsStored - 1]) - image.PixelRepresentation * 2 ** (
            image.BitsStored - 1
        )
        full = _rescaled(_one(image), np.resize(ends.astype(float), (1, 1, 2)))
        values = full.sum() - values
    return values, real


def _one(image: pydicom.Dataset) -> pydicom.Dataset:
    small = pydicom.Dataset()
    for name in ("RescaleSlope", "RescaleIntercept"):
        if name in image:
            small[name] = image[name]
    small.Rows, small.Columns = 1, 2
    return small


def _as_stored(scan: Scan, image: pydicom.Dataset) -> Array:
    """Our values, carried back to where the file has them by the places of both alone."""
    if scan.affine is None:
        return scan.pixels.astype(float)
    items = [image]
    groups = image.get("PerFrameFunctionalGroupsSequence")
    if groups:
        shared = image.SharedFunctionalGroupsSequence[0]
        items = [
            pydicom.Dataset(
                {
                    **_inner(shared, "PlaneOrientationSequence"),
                    **_inner(shared, "PixelMeasuresSequence"),
                    **_inner(group, "PlaneOrientationSequence"),
                    **_inner(group, "PixelMeasuresSequence"),
                    **_inner(group, "PlanePositionSequence"),
                }
            )
            for group in groups
        ]
    back, frames = np.linalg.inv(scan.affine), []
    r, c = np.mgrid[0 : image.Rows, 0 : image.Columns]
    for part in items:
        cosines = np.array(part.ImageOrientationPatient, float)
        down, across = (float(value) for value in part.PixelSpacing)
        at = np.array(part.ImagePositionPatient, float)[:, None, None]
        at = at + cosines[:3, None, None] * across * c + cosines[3:, None, None] * down * r
        ras = np.stack([-at[0], -at[1], at[2], np.ones(at.shape[1:])])
        column, row, index, _ = np.rint(np.einsum("ij,jrc->irc", back, ras)).astype(int)
        frames.append(scan.pixels[index, row, column])
    return np.stack(frames).astype(float)


def _inner(group: pydicom.Dataset, name: str) -> dict[object, object]:
    return dict(group[name].value[0].items()) if name in group else {}


def _check_dicom(path: Path) -> None:
    image = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in image.file_meta:
        image.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    expected, real = _expected(image)
    ours = _as_stored(_scan(path), image)
    assert ours.shape[-1] == (3 if expected.ndim == real.ndim + 1 else 1)
    assert ours.size == expected.size
    ours, expected = ours.reshape(real.size, -1), expected.reshape(real.size, -1)
    np.testing.assert_allclose(ours[real.ravel()], expected[real.ravel()], rtol=1e-6, atol=1e-6)
    # What padding became lies nowhere above the rest.
    assert real.all() or ours[~real.ravel()].max() <= ours[real.ravel()].min()


def _check_nifti(path: Path) -> None:
    scan, image = _scan(path), nib.load(path)
    data = np.asarray(image.dataobj[(..., *(0 for _ in image.shape[3:]))], dtype=float)
    finite = np.isfinite(data)
    assert scan.affine is not None
    index = np.indices(scan.pixels.shape[2::-1]).reshape(3, -1)
    places = np.linalg.inv(image.affine) @ scan.affine @ np.vstack([index, np.ones(index.shape[1])])
    i, j, k = np.rint(places[:3]).astype(int)
    np.testing.assert_allclose(places[:3], (i, j, k), atol=1e-2)
    c, r, s = index
    ours, theirs, known = scan.pixels[s, r, c, 0], data[i, j, k], finite[i, j, k]
    np.testing.assert_allclose(ours[known], theirs[known], rtol=1e-5)
    assert len(np.unique(np.ravel_multi_index((i, j, k), data.shape))) == data.size


def _check_picture(path: Path) -> None:
    with Image.open(path) as picture:
        np.testing.assert_array_equal(_scan(path).pixels[0], np.asarray(picture, dtype=float))


def _ids(paths: list[Path]) -> list[str]:
    return [f"{path.parent.name}/{path.name}"[-60:] for path in paths]


CHECKS = {"DICOM": _check_dicom, "NIfTI": _check_nifti, "JPEG": _check_picture}


@pytest.mark.parametrize("path", FILES, ids=_ids(FILES))
def test_a_file_is_read_as_its_reference_reads_it_or_refused_with_a_reason(path: Path) -> None:
    found = _outcome(path)
    if isinstance(found, Scan):
        CHECKS[found.provenance.format](path)
        return
    assert found.reason.endswith(".")
    assert found.fix.endswith(".")
    assert not isinstance(found.__cause__, DEFECTS), repr(found.__cause__)


def _gdcm(path: Path) -> npt.NDArray[np.generic] | None:
    """Stored values by GDCM, None where it cannot read them or gives them in another form."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        return None
    image = reader.GetImage()
    kinds = {
        gdcm.PixelFormat.UINT8: np.uint8,
        gdcm.PixelFormat.INT8: np.int8,
        gdcm.PixelFormat.UINT16: np.uint16,
        gdcm.PixelFormat.INT16: np.int16,
        gdcm.PixelFormat.UINT32: np.uint32,
        gdcm.PixelFormat.INT32: np.int32,
    }
    dtype = kinds.get(image.GetPixelFormat().GetScalarType())
    if dtype is None or image.GetPixelFormat().GetSamplesPerPixel() != 1:
        return None
    buffer = image.GetBuffer()
    return None if buffer is None else np.frombuffer(buffer.encode("utf-8", "surrogateescape"), dtype)


def _scans(form: str) -> list[Path]:
    return [
        path
        for path in FILES
        if isinstance(found := _outcome(path), Scan) and found.provenance.format == form
    ]


def _need_shared() -> None:
    if not SHARED.is_dir():
        pytest.skip("no folder of real data beside the checkout (set WORKBENCH_SHARED to point at one)")


def test_gdcm_decodes_the_same_values() -> None:
    """One test for all, since GDCM reads only some of them: four in five, and none otherwise than we do."""
    _need_shared()
    grey = [path for path in _scans("DICOM") if _scan(path).pixels.shape[-1] == 1]
    agreed = []
    for path in grey:
        image, stored = pydicom.dcmread(path, force=True), _gdcm(path)
        syntax = image.file_meta.get("TransferSyntaxUID")
        if stored is None or syntax is None or image.get("BitsAllocated") not in (8, 16):
            continue
        if image.PhotometricInterpretation == "MONOCHROME1" or image.get("PixelPaddingValue") is not None:
            continue
        if image.BitsStored < image.BitsAllocated:  # GDCM leaves unused bits as they are
            top = 1 << image.BitsStored
            stored = stored.astype(int) & (top - 1)
            stored = (
                np.where(stored >= top // 2, stored - top, stored) if image.PixelRepresentation else stored
            )
        expected = _rescaled(image, stored.astype(float).reshape(-1, image.Rows, image.Columns))
        np.testing.assert_allclose(
            _as_stored(_scan(path), image).ravel(), expected.ravel(), rtol=1e-6, atol=1e-6, err_msg=path.name
        )
        agreed.append(path.name)
    assert len(agreed) >= 0.8 * len(grey), (len(agreed), len(grey))


def test_what_the_references_can_read_and_we_do_not_is_no_scan_or_named() -> None:
    """A refusal of a file with pixels that pydicom decodes must be for a reason of its own."""
    reasons = ("segmentation", "label map", "radiotherapy", "whole-slide", "mosaic", "gzip")
    for path in FILES:
        found = _outcome(path)
        if not isinstance(found, ScanRefused):
            continue
        try:
            pydicom.dcmread(path, force=True).pixel_array  # noqa: B018
        except Exception:
            continue
        known = "larger than the header" in found.reason or any(r in found.reason for r in reasons)
        assert known, (path.name, found.reason)


def test_the_corpus_is_there() -> None:
    _need_shared()
    assert len(_scans("DICOM")) >= 200
    assert len(_scans("NIfTI")) >= 13
