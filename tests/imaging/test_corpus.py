"""Every real file at hand ends as a scan or is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from tests.imaging.corpus import DEFECTS, read_once
from workbench.errors import ScanRefused
from workbench.imaging import ReadOptions, Scan, read_scan
from workbench.imaging.archive import is_clutter
from workbench.imaging.inventory import as_markdown, row_of


@pytest.fixture(scope="module")
def corpus(shared: Path) -> dict[Path, Scan | ScanRefused]:
    files = [p for part in ("dicom", "nifti") for p in sorted((shared / part).rglob("*")) if p.is_file()]
    return {path: read_once(path) for path in files}


def _find(corpus: dict[Path, Scan | ScanRefused], name: str) -> Path:
    return next(path for path in corpus if path.name == name)


def test_every_file_is_read_or_refused_with_reason_and_fix(corpus: dict[Path, Scan | ScanRefused]) -> None:
    for path, outcome in corpus.items():
        if isinstance(outcome, ScanRefused):
            assert outcome.reason.endswith("."), path
            assert outcome.fix.endswith("."), path
            assert not isinstance(outcome.__cause__, DEFECTS), (path, repr(outcome.__cause__))
        else:
            assert np.isfinite(outcome.pixels).all(), path
            assert outcome.provenance.sha256, path
    scans = [outcome for outcome in corpus.values() if isinstance(outcome, Scan)]
    by_format = {form: sum(s.provenance.format == form for s in scans) for form in ("DICOM", "NIfTI")}
    assert by_format["DICOM"] >= 200, by_format
    assert by_format["NIfTI"] >= 13, by_format


def test_no_message_names_a_folder_or_a_patient(corpus: dict[Path, Scan | ScanRefused]) -> None:
    for path, outcome in corpus.items():
        texts = (
            [str(outcome)]
            if isinstance(outcome, ScanRefused)
            else [outcome.provenance.source, *(f"{f.message} {f.fix}" for f in outcome.findings)]
        )
        for text in texts:
            assert str(path.parent) not in text


REFUSED = {
    "test-SR.dcm": "structured report",
    "rtplan.dcm": "radiotherapy",
    "rtdose.dcm": "radiotherapy",
    "liver.dcm": "segmentation",
    "waveform_ecg.dcm": "waveform",
    "DICOMDIR": "DICOMDIR",
    "MR_truncated.dcm": "cut short",
    "JPGExtended.dcm": "12-bit JPEG Extended",
    "JPEG2000-embedded-sequence-delimiter.dcm": "larger than the header says",
    "hotiron.dcm": "colour palette",
    "UN_sequence.dcm": "without pixel data",
    "seg_image_ct_binary.dcm": "segmentation (SEG)",
    "rtstruct.dcm": "lacks the DICOM file header",
    "OT-PAL-8-face.dcm": "lacks the DICOM file header",
    "zipMR.gz": "DICOM file inside gzip",
    "analyze.hdr": "Analyze 7.5",
    "T1.PAR": "PAR header",
    "tiny.mnc": "MINC",
    "test.mgz": "MGH",
    "simple.trk": "fibre tracts",
    "scaled+tlrc.HEAD": "AFNI",
    "sm_image.dcm": "whole-slide",
    "row_major.dconn.nii": "CIFTI",
    "nifti1.hdr": "pair",
}


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_refusals_name_their_reason(corpus: dict[Path, Scan | ScanRefused], name: str, reason: str) -> None:
    outcome = corpus[_find(corpus, name)]
    assert isinstance(outcome, ScanRefused)
    assert reason in str(outcome)


SAME_AS_PYDICOM = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEG2000.dcm",
    "JLSL_16_15_1_1F.dcm",
    "decimal_rescale.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "color-pl.dcm",
    "examples_ybr_color.dcm",
    "emri_small_jpeg_ls_lossless.dcm",
    "parametric_map_float.dcm",
)


@pytest.mark.parametrize("name", SAME_AS_PYDICOM)
def test_values_equal_pydicoms_with_rescale(corpus: dict[Path, Scan | ScanRefused], name: str) -> None:
    path = _find(corpus, name)
    scan = corpus[path]
    assert isinstance(scan, Scan)
    dataset = pydicom.dcmread(path)
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    expected = dataset.pixel_array.astype(np.float64) * slope + intercept
    np.testing.assert_allclose(scan.pixels.ravel(), expected.ravel(), rtol=1e-6)


def test_padding_is_given_the_lowest_value_of_the_rest(corpus: dict[Path, Scan | ScanRefused]) -> None:
    path = _find(corpus, "693_UNCR.dcm")
    scan, dataset = corpus[path], pydicom.dcmread(path)
    assert isinstance(scan, Scan)
    stored = dataset.pixel_array
    padded = stored == dataset.PixelPaddingValue
    assert 0 < padded.sum() < padded.size
    plain = stored.astype(float) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    np.testing.assert_array_equal(scan.pixels[0, ..., 0][~padded], plain[~padded])
    assert set(scan.pixels[0, ..., 0][padded]) == {plain[~padded].min()}
    assert "padding-masked" in {f.code for f in scan.findings}


@pytest.mark.parametrize(
    "name",
    ["anatomical.nii", "example4d.nii.gz", "functional.nii", "example_ct_sm.nii.gz", "standard.nii.gz"],
)
def test_nifti_value_at_each_place_equals_nibabels(corpus: dict[Path, Scan | ScanRefused], name: str) -> None:
    path = _find(corpus, name)
    scan, image = corpus[path], nib.load(path)
    assert isinstance(scan, Scan)
    assert scan.affine is not None
    data = image.get_fdata()
    data = data[..., 0] if data.ndim == 4 else data
    rng = np.random.default_rng(0)
    for s, r, c in rng.integers(0, scan.pixels.shape[:3], (50, 3)):
        i, j, k, _ = np.rint(np.linalg.inv(image.affine) @ scan.affine @ (c, r, s, 1)).astype(int)
        assert scan.pixels[s, r, c, 0] == pytest.approx(data[i, j, k], rel=1e-5)


def test_compressed_and_plain_copies_of_an_image_agree(corpus: dict[Path, Scan | ScanRefused]) -> None:
    plain = corpus[_find(corpus, "MR_small.dcm")]
    assert isinstance(plain, Scan)
    for name in ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_implicit.dcm"):
        other = corpus[_find(corpus, name)]
        assert isinstance(other, Scan)
        np.testing.assert_array_equal(plain.pixels, other.pixels)


def test_the_published_table_is_what_came_of_each_file(
    shared: Path, corpus: dict[Path, Scan | ScanRefused]
) -> None:
    page = Path(__file__).parents[2] / "docs" / "benchmarks" / "corpus.md"
    published = page.read_text(encoding="utf-8")
    for part in ("dicom", "nifti"):
        root = shared / part
        rows = [
            row_of(path, path.relative_to(root).as_posix(), found)
            for path, found in corpus.items()
            if path.is_relative_to(root) and not is_clutter(path.name)
        ]
        printed = as_markdown({part: rows}).splitlines()
        assert sorted(set(printed) - set(published.splitlines())) == []


HEADERLESS = ("OT-PAL-8-face.dcm", "JLSL_RGB_ILV0.dcm", "JLSL_RGB_ILV2.dcm", "JLSN_RGB_ILV0.dcm")


@pytest.mark.parametrize("name", HEADERLESS)
def test_a_file_without_the_dicom_header_is_read_with_a_finding_where_asked(
    corpus: dict[Path, Scan | ScanRefused], name: str
) -> None:
    scan = read_scan(_find(corpus, name), options=ReadOptions(allow_no_preamble=True))
    codes = {f.code for f in scan.findings}
    assert "dicom-header-missing" in codes
    # Three of them lack the preamble only.
    assert ("syntax-guessed" in codes) == (name == "OT-PAL-8-face.dcm")


def test_files_without_header_are_told_what_they_are_where_asked(
    corpus: dict[Path, Scan | ScanRefused],
) -> None:
    with pytest.raises(ScanRefused, match="RT Structure Set"):
        read_scan(_find(corpus, "rtstruct.dcm"), options=ReadOptions(allow_no_preamble=True))
