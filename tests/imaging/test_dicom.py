"""The pixel chain of single DICOM files, and files that lie about themselves."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    JPEG2000Lossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from tests.imaging.makers import AXIAL, asymmetric, ct, save
from workbench.errors import ScanRefused
from workbench.imaging import Scan, Units, read_scan
from workbench.imaging.codestream import frame_size


def _read(image: FileDataset, folder: Path) -> Scan:
    return read_scan(save(image, folder / "image"))


def _codes(scan: Scan) -> set[str]:
    return {finding.code for finding in scan.findings}


def _refusal(path: Path) -> ScanRefused:
    with pytest.raises(ScanRefused) as caught:
        read_scan(path)
    return caught.value


GREY = np.array([[0, 1, 2], [100, 2000, 4095]], np.uint16)


def test_ct_with_rescale_is_in_hounsfield_units(tmp_path: Path) -> None:
    image = ct(GREY)
    image.BitsStored, image.HighBit, image.RescaleSlope, image.RescaleIntercept = 12, 11, 2, -1024
    scan = _read(image, tmp_path)
    assert scan.units is Units.HOUNSFIELD
    assert scan.value_range == (-1024.0, 2 * 4095.0 - 1024.0)
    np.testing.assert_array_equal(scan.pixels[0, ..., 0], GREY * 2.0 - 1024.0)


def test_rescale_type_other_than_hu_is_not_hounsfield(tmp_path: Path) -> None:
    image = ct(GREY)
    image.RescaleType = "MGML"
    assert _read(image, tmp_path).units is Units.MODALITY


def test_window_is_kept_for_eyes_and_touches_no_value(tmp_path: Path) -> None:
    image = ct(GREY)
    image.WindowCenter, image.WindowWidth = [40, 500], [80, 1000]
    scan = _read(image, tmp_path)
    assert scan.window == (40.0, 80.0)
    np.testing.assert_array_equal(scan.pixels[0, ..., 0], GREY)


def test_window_without_width_is_ignored_with_a_finding(tmp_path: Path) -> None:
    image = ct(GREY)
    image.WindowCenter, image.WindowWidth = 40, 0
    scan = _read(image, tmp_path)
    assert scan.window is None
    assert "window-ignored" in _codes(scan)


def test_monochrome1_is_mirrored_in_the_range_of_its_encoding_after_rescale(tmp_path: Path) -> None:
    image = ct(GREY)
    image.Modality, image.PhotometricInterpretation = "DX", "MONOCHROME1"
    image.BitsStored, image.HighBit, image.RescaleSlope, image.RescaleIntercept = 12, 11, 2, 10
    image.WindowCenter, image.WindowWidth = 1000, 500
    scan = _read(image, tmp_path)
    np.testing.assert_array_equal(scan.pixels[0, ..., 0], (10.0 + 8200.0) - (GREY * 2.0 + 10.0))
    assert scan.window == (7210.0, 500.0)
    assert "monochrome1-inverted" in _codes(scan)


def test_negative_slope_is_applied(tmp_path: Path) -> None:
    image = ct(GREY)
    image.RescaleSlope, image.RescaleIntercept = -1, 4095
    np.testing.assert_array_equal(_read(image, tmp_path).pixels[0, ..., 0], 4095.0 - GREY)


def test_signed_values_with_unused_high_bits(tmp_path: Path) -> None:
    values = np.array([[-2048, -1], [0, 2047]])
    # 12 bits stored, and rubbish where overlays once were.
    image = ct(((values & 0x0FFF) | 0x5000).astype(np.uint16))
    image.PixelRepresentation, image.BitsStored, image.HighBit = 1, 12, 11
    np.testing.assert_array_equal(_read(image, tmp_path).pixels[0, ..., 0], values)


@pytest.mark.parametrize("invert", [False, True])
def test_padding_is_the_lowest_value_after_inversion_too(tmp_path: Path, invert: bool) -> None:
    image = ct(np.array([[5, 5, 60], [70, 80, 5]], np.uint16))
    image.PixelPaddingValue = 5
    image.PhotometricInterpretation = "MONOCHROME1" if invert else "MONOCHROME2"
    scan = _read(image, tmp_path)
    plane = scan.pixels[0, ..., 0]
    assert plane[0, 0] == plane[1, 2] == plane.min() == (65535 - 80 if invert else 60)
    assert "padding-masked" in _codes(scan)


def test_modality_lut(tmp_path: Path) -> None:
    image = ct(np.array([[0, 1], [2, 3]], np.uint16))
    del image.RescaleSlope, image.RescaleIntercept
    lut = Dataset()
    lut.LUTDescriptor, lut.ModalityLUTType, lut.LUTData = [4, 0, 16], "US", [7, 70, 700, 7000]
    lut["LUTDescriptor"].VR = lut["LUTData"].VR = "US"
    image.ModalityLUTSequence = Sequence([lut])
    assert _read(image, tmp_path).pixels.ravel().tolist() == [7, 70, 700, 7000]


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_planes_are_put_together(tmp_path: Path, planar: int) -> None:
    rgb = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    image = ct(rgb)
    image.PlanarConfiguration = planar
    image.PixelData = (rgb.transpose(2, 0, 1) if planar else rgb).tobytes()
    scan = _read(image, tmp_path)
    assert (scan.units, scan.value_range) == (Units.DISPLAY, (0.0, 255.0))
    np.testing.assert_array_equal(scan.pixels[0], rgb)


def test_ybr_full_becomes_rgb(tmp_path: Path) -> None:
    image = ct(np.array([[[76, 85, 255], [128, 128, 128]]], np.uint8))
    image.PhotometricInterpretation = "YBR_FULL"
    pixels = _read(image, tmp_path).pixels[0, 0]
    np.testing.assert_allclose(pixels, [[255, 0, 0], [128, 128, 128]], atol=2)


def test_frames_of_an_enhanced_image_have_their_own_rescale_and_place(tmp_path: Path) -> None:
    volume = np.full((3, 4, 5), 10, np.uint16)
    image = ct(volume[0], None)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    del image.RescaleSlope, image.RescaleIntercept
    image.NumberOfFrames, image.PixelData = 3, volume.tobytes()
    groups = []
    for slope, z in ((1, 4.0), (2, 0.0), (3, 2.0)):
        position, scaling, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, z]
        scaling.RescaleSlope, scaling.RescaleIntercept, scaling.RescaleType = slope, 0, "HU"
        group.PlanePositionSequence = Sequence([position])
        group.PixelValueTransformationSequence = Sequence([scaling])
        groups.append(group)
    image.PerFrameFunctionalGroupsSequence = Sequence(groups)
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient, measures.PixelSpacing = list(AXIAL), [0.5, 0.5]
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    scan = _read(image, tmp_path)
    assert scan.pixels[:, 0, 0, 0].tolist() == [20, 30, 10]
    assert scan.spacing == pytest.approx((2.0, 0.5, 0.5))
    assert scan.units is Units.HOUNSFIELD


def test_a_film_is_a_volume_in_file_order_with_a_finding(tmp_path: Path) -> None:
    frames = asymmetric((3, 4, 4)).astype(np.uint8)
    image = ct(frames[0], None)
    image.Modality, image.NumberOfFrames, image.PixelData = "US", 3, frames.tobytes()
    scan = _read(image, tmp_path)
    np.testing.assert_array_equal(scan.pixels[..., 0], frames)
    assert "frames-in-file-order" in _codes(scan)


def test_floating_point_pixels_and_not_a_number(tmp_path: Path) -> None:
    image = ct(np.zeros((2, 2), np.uint16))
    del image.PixelData, image.BitsStored, image.HighBit, image.PixelRepresentation
    image.BitsAllocated = 32
    image.FloatPixelData = np.array([1.5, np.nan, -2.5, np.inf], "<f4").tobytes()
    scan = _read(image, tmp_path)
    assert scan.pixels.ravel().tolist() == [1.5, -2.5, -2.5, -2.5]
    assert "non-finite-values" in _codes(scan)


def test_patient_is_a_pseudonym_and_an_empty_id_is_none(tmp_path: Path) -> None:
    image = ct(GREY)
    scan = _read(image, tmp_path)
    assert scan.patient is not None
    assert "SECRET" not in scan.patient
    image.PatientID = ""
    assert _read(image, tmp_path).patient is None


def test_a_ct_without_a_place_says_that_its_orientation_is_unknown(tmp_path: Path) -> None:
    scan = _read(ct(GREY, None), tmp_path)
    assert scan.affine is None
    assert "orientation-unknown" in _codes(scan)


def test_content_not_suffix_decides(tmp_path: Path) -> None:
    assert read_scan(save(ct(GREY), tmp_path / "picture.png")).provenance.format == "DICOM"


def test_refusals_hold_base_names_only(tmp_path: Path) -> None:
    path = tmp_path / "Doe_Jane" / "image.dcm"
    image = ct(GREY)
    image.PixelData = b"\x00\x00"
    error = _refusal(save(image, path))
    assert error.source == "image.dcm"
    for secret in ("Doe", "SECRET", str(tmp_path)):
        assert secret not in str(error)


def test_a_directory_record_is_refused(tmp_path: Path) -> None:
    image = ct(GREY)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    assert "DICOMDIR" in _refusal(save(image, tmp_path / "x")).reason


def test_an_unknown_transfer_syntax_is_named(tmp_path: Path) -> None:
    image = ct(GREY)
    data = io.BytesIO()
    image.save_as(data, enforce_file_format=True)
    path = tmp_path / "x"
    path.write_bytes(data.getvalue().replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.1.9.9\x00"))
    assert "1.2.840.10008.1.9.9" in _refusal(path).reason


def test_claims_of_gigabytes_are_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ct(GREY)
    image.Rows = image.Columns = 60_000
    image.file_meta.TransferSyntaxUID = RLELossless
    image.PixelData = encapsulate([b"\x00" * 64])
    path = save(image, tmp_path / "x")
    monkeypatch.setattr("workbench.imaging.dicom.decode", None)
    monkeypatch.setenv("WORKBENCH_WORKERS", "0")  # a worker would not know that decoding is not there
    assert "header claims" in _refusal(path).reason


def test_a_deflated_bomb_is_refused_before_it_inflates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ct(GREY)
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(image, tmp_path / "good")
    assert read_scan(path).pixels.shape == (1, 2, 3, 1)
    head = path.read_bytes()
    length = int.from_bytes(head[140:144], "little")
    bomb = tmp_path / "bomb"
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # 64 MiB against a budget of 16 keeps the test small.
    from workbench.imaging import dicomfile, limits

    monkeypatch.setattr(dicomfile, "LIMITS", limits.Limits(inflated_bytes=2**24))
    monkeypatch.setenv("WORKBENCH_WORKERS", "0")  # a worker knows its own limits only
    body = b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    bomb.write_bytes(head[: 144 + length] + body)
    assert "inflates" in _refusal(bomb).reason


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    sequence = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff"
    path = save(ct(GREY), tmp_path / "x")
    path.write_bytes(path.read_bytes()[:-40] + (sequence + item) * 5000)
    _refusal(path)


def test_a_codestream_larger_than_its_header_is_refused(tmp_path: Path) -> None:
    image = ct(np.zeros((16, 16), np.uint8))
    image.file_meta.TransferSyntaxUID = JPEG2000Lossless
    huge = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + (60_000).to_bytes(4, "big") * 2 + bytes(32)
    image.PixelData = encapsulate([huge])
    assert "larger than the header" in _refusal(save(image, tmp_path / "x")).reason


def test_codestream_sizes() -> None:
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08\x00\x10\x00\x20\x03"
    assert frame_size(jpeg) == (16, 32)
    assert frame_size(b"no image") is None
    assert frame_size(jpeg[:9]) is None


def test_padding_given_as_the_unsigned_bits_of_a_signed_value(tmp_path: Path) -> None:
    image = ct(np.array([[-2000, 60], [70, 80]], np.int16))
    image.add_new("PixelPaddingValue", "US", 63536)
    scan = _read(image, tmp_path)
    assert scan.pixels[0, 0, 0, 0] == 60


def _palette(image: FileDataset, tables: dict[str, list[int]], entries: int, segmented: bool) -> FileDataset:
    image.PhotometricInterpretation = "PALETTE COLOR"
    for colour, table in tables.items():
        setattr(image, f"{colour}PaletteColorLookupTableDescriptor", [entries, 0, 16])
        image[f"{colour}PaletteColorLookupTableDescriptor"].VR = "US"
        prefix = "Segmented" if segmented else ""
        data = np.array(table, "<u2").tobytes()
        setattr(image, f"{prefix}{colour}PaletteColorLookupTableData", data)
    return image


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    tables = {"Red": [0, 100, 65535], "Green": [5, 6, 7], "Blue": [9, 8, 7]}
    image = _palette(ct(np.array([[0, 1], [2, 2]], np.uint8)), tables, 3, segmented=False)
    scan = _read(image, tmp_path)
    assert scan.pixels[0].reshape(-1, 3).tolist() == [[0, 5, 9], [100, 6, 8], [65535, 7, 7], [65535, 7, 7]]


def test_a_segmented_palette_is_expanded(tmp_path: Path) -> None:
    """One discrete value 0, then a line of four to 400; and a discrete pair repeated indirectly for blue."""
    line = [0, 1, 0, 1, 4, 400]
    pairs = [0, 2, 7, 8, 0, 1, 9, 2, 1, 0, 0]
    image = _palette(
        ct(np.arange(5, dtype=np.uint8)[None]), {"Red": line, "Green": line, "Blue": pairs}, 5, segmented=True
    )
    scan = _read(image, tmp_path)
    assert scan.pixels[0, 0, :, 0].tolist() == [0, 100, 200, 300, 400]
    assert scan.pixels[0, 0, :, 2].tolist() == [7, 8, 9, 7, 8]


def test_a_segmented_palette_that_claims_millions_of_entries_is_refused(tmp_path: Path) -> None:
    bomb = [0, 1, 0] + [1, 65535, 9] * 2000
    tables = {"Red": bomb, "Green": bomb, "Blue": bomb}
    image = _palette(ct(np.zeros((2, 2), np.uint8)), tables, 256, segmented=True)
    assert "palette expands" in _refusal(save(image, tmp_path / "x")).reason


def test_ybr_full_422_has_half_the_colour(tmp_path: Path) -> None:
    """Two pixels share one pair of chroma (PS3.3 C.7.6.3.1.2): Y1 Y2 Cb Cr."""
    image = ct(np.zeros((1, 2, 3), np.uint8))
    image.PhotometricInterpretation = "YBR_FULL_422"
    image.PixelData = bytes([76, 150, 85, 255])
    pixels = _read(image, tmp_path).pixels[0, 0]
    red = [76 + 1.402 * 127, 76 - 0.344136 * -43 - 0.714136 * 127, 76 + 1.772 * -43]
    np.testing.assert_allclose(pixels[0], np.clip(red, 0, 255), atol=1.5)
    np.testing.assert_allclose(pixels[1] - pixels[0], [1, 74, 74], atol=3)


def test_single_bits_are_black_and_white(tmp_path: Path) -> None:
    image = ct(np.zeros((2, 8), np.uint8))
    image.BitsAllocated = image.BitsStored = 1
    image.HighBit, image.PixelData = 0, bytes([0b00000101, 0b10000000])
    del image.RescaleSlope, image.RescaleIntercept
    image.Modality = "OT"
    scan = _read(image, tmp_path)
    assert scan.pixels[0, ..., 0].tolist() == [[1, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1]]
    assert (scan.units, scan.value_range) == (Units.DISPLAY, (0.0, 1.0))


def test_an_overlay_in_unused_bits_touches_no_value(tmp_path: Path) -> None:
    values = np.array([[1, 2], [3, 4095]], np.uint16)
    image = ct(values | np.array([[0x8000, 0], [0, 0x8000]], np.uint16))
    image.BitsStored, image.HighBit = 12, 11
    image.add_new(0x60000010, "US", 2)
    image.add_new(0x60000011, "US", 2)
    image.add_new(0x60000102, "US", 15)
    scan = _read(image, tmp_path)
    np.testing.assert_array_equal(scan.pixels[0, ..., 0], values)
    assert "overlay-ignored" in _codes(scan)


def test_padding_of_floating_point_pixels(tmp_path: Path) -> None:
    image = ct(np.zeros((2, 2), np.uint16))
    del image.PixelData, image.BitsStored, image.HighBit, image.PixelRepresentation
    image.BitsAllocated = 32
    image.FloatPixelData = np.array([-1e30, 3.5, 2.5, -1e30], "<f4").tobytes()
    image.FloatPixelPaddingValue = float(np.float32(-1e30))
    scan = _read(image, tmp_path)
    assert scan.pixels.ravel().tolist() == [2.5, 3.5, 2.5, 2.5]
    assert "padding-masked" in _codes(scan)


@pytest.mark.parametrize("kind", ["sigmoid", "table"])
def test_curves_for_display_touch_no_value(tmp_path: Path, kind: str) -> None:
    image = ct(GREY)
    if kind == "sigmoid":
        image.WindowCenter, image.WindowWidth, image.VOILUTFunction = 40, 80, "SIGMOID"
    else:
        lut = Dataset()
        lut.LUTDescriptor, lut.LUTData = [2, 0, 8], [0, 255]
        lut["LUTDescriptor"].VR = lut["LUTData"].VR = "US"
        image.VOILUTSequence = Sequence([lut])
    scan = _read(image, tmp_path)
    np.testing.assert_array_equal(scan.pixels[0, ..., 0], GREY)
    assert "curve-ignored" in _codes(scan)


def test_a_missing_gpl_codec_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import JPEGExtended12Bit

    decoder = get_decoder(JPEGExtended12Bit)
    if "pylibjpeg" in decoder.available_plugins:
        pytest.skip("the GPL codec is installed")
    image = ct(GREY)
    image.BitsStored, image.HighBit = 12, 11
    image.file_meta.TransferSyntaxUID, image.PixelData = JPEGExtended12Bit, encapsulate([b"\xff\xd8" * 8])
    error = _refusal(save(image, tmp_path / "x"))
    assert "12-bit JPEG Extended" in error.reason
    assert "codecs-gpl" in error.fix


@pytest.mark.parametrize(
    ("missing", "expected"), [("RescaleSlope", GREY - 1024.0), ("RescaleIntercept", GREY * 2.0)]
)
def test_half_a_rescale_is_applied_with_a_warning(
    tmp_path: Path, missing: str, expected: npt.NDArray[np.float64]
) -> None:
    image = ct(GREY)
    image.RescaleSlope, image.RescaleIntercept = 2, -1024
    delattr(image, missing)
    scan = _read(image, tmp_path)
    np.testing.assert_array_equal(scan.pixels[0, ..., 0], expected)
    assert "rescale-incomplete" in _codes(scan)
