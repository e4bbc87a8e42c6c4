"""What is no scan is told by name, with what to give instead."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from pydicom import uid

from tests.imaging.makers import ct, save
from workbench.errors import ScanRefused
from workbench.imaging import ReadOptions, read_scan, read_scans
from workbench.imaging.sopclasses import not_a_scan

OBJECTS = {
    uid.SegmentationStorage: "segmentation (SEG)",
    uid.UID("1.2.840.10008.5.1.4.1.1.66.7"): "label map segmentation (SEG)",
    uid.SurfaceSegmentationStorage: "surface segmentation",
    uid.SpatialRegistrationStorage: "registration (REG)",
    uid.DeformableSpatialRegistrationStorage: "registration (REG)",
    uid.SpatialFiducialsStorage: "fiducials",
    uid.TractographyResultsStorage: "fibre tracts",
    uid.RawDataStorage: "raw data",
    uid.RealWorldValueMappingStorage: "real world value mapping",
    uid.BasicTextSRStorage: "structured report (SR)",
    uid.ComprehensiveSRStorage: "structured report (SR)",
    uid.Comprehensive3DSRStorage: "structured report (SR)",
    uid.MammographyCADSRStorage: "structured report (SR)",
    uid.XRayRadiationDoseSRStorage: "radiation dose report",
    uid.KeyObjectSelectionDocumentStorage: "key object selection (KO)",
    uid.EncapsulatedPDFStorage: "encapsulated PDF",
    uid.EncapsulatedCDAStorage: "encapsulated CDA",
    uid.EncapsulatedSTLStorage: "encapsulated STL",
    uid.TwelveLeadECGWaveformStorage: "waveform",
    uid.AmbulatoryECGWaveformStorage: "waveform",
    uid.GrayscaleSoftcopyPresentationStateStorage: "presentation state (PR)",
    uid.ColorSoftcopyPresentationStateStorage: "presentation state (PR)",
    uid.RTStructureSetStorage: "RT Structure Set",
    uid.RTDoseStorage: "RT Dose",
    uid.RTPlanStorage: "RT Plan",
    uid.RTIonPlanStorage: "RT Ion Plan",
    uid.RTBeamsTreatmentRecordStorage: "treatment record",
    uid.MRSpectroscopyStorage: "MR spectrum",
    uid.MediaStorageDirectoryStorage: "DICOMDIR",
    uid.ColorPaletteStorage: "colour palette",
    uid.HangingProtocolStorage: "hanging protocol",
    uid.MicroscopyBulkSimpleAnnotationsStorage: "annotations",
    uid.LensometryMeasurementsStorage: "measurement of the eye",
}


@pytest.mark.parametrize(("sop_class", "what"), OBJECTS.items(), ids=[cls.name for cls in OBJECTS])
def test_an_object_is_refused_by_its_name(tmp_path: Path, sop_class: uid.UID, what: str) -> None:
    image = ct(np.zeros((2, 2), np.uint16))
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = sop_class
    with pytest.raises(ScanRefused) as caught:
        read_scan(save(image, tmp_path / "x"))
    assert what in caught.value.reason
    assert caught.value.fix.endswith(".")


IMAGES = [
    uid.CTImageStorage,
    uid.EnhancedCTImageStorage,
    uid.MRImageStorage,
    uid.EnhancedMRImageStorage,
    uid.PositronEmissionTomographyImageStorage,
    uid.UltrasoundMultiFrameImageStorage,
    uid.EnhancedUSVolumeStorage,
    uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.BreastTomosynthesisImageStorage,
    uid.SecondaryCaptureImageStorage,
    uid.RTImageStorage,
    uid.OphthalmicPhotography8BitImageStorage,
    uid.OphthalmicTomographyImageStorage,
    uid.ParametricMapStorage,
    uid.VLEndoscopicImageStorage,
    uid.NuclearMedicineImageStorage,
]


@pytest.mark.parametrize("sop_class", IMAGES, ids=[cls.name for cls in IMAGES])
def test_classes_of_images_are_let_through(sop_class: uid.UID) -> None:
    assert not_a_scan(sop_class) is None


def test_a_class_the_standard_adds_to_a_family_is_explained_by_it() -> None:
    found = not_a_scan("1.2.840.10008.5.1.4.1.1.88.99")
    assert found is not None
    assert "structured report" in found.what


def _with_syntax(path: Path, syntax: bytes) -> Path:
    save(ct(np.zeros((2, 2), np.uint16)), path)
    old = b"1.2.840.10008.1.2.1\x00"
    data = path.read_bytes().replace(b"UI\x14\x00" + old, b"UI" + len(syntax).to_bytes(2, "little") + syntax)
    # The group's length has changed with it.
    length = int.from_bytes(data[140:144], "little") + len(syntax) - len(old)
    path.write_bytes(data[:140] + length.to_bytes(4, "little") + data[144:])
    return path


def test_a_video_is_named(tmp_path: Path) -> None:
    path = _with_syntax(tmp_path / "x", b"1.2.840.10008.1.2.4.102\x00")
    with pytest.raises(ScanRefused, match="video"):
        read_scan(path)


def test_pixels_on_a_server_are_named(tmp_path: Path) -> None:
    image = ct(np.zeros((2, 2), np.uint16))
    del image.PixelData
    image.PixelDataProviderURL = "https://example.org/image"
    with pytest.raises(ScanRefused, match="server"):
        read_scan(save(image, tmp_path / "x"))


def test_a_mosaic_is_no_slice(tmp_path: Path) -> None:
    image = ct(np.zeros((4, 4), np.uint16))
    image.Modality, image.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    with pytest.raises(ScanRefused, match="mosaic"):
        read_scan(save(image, tmp_path / "x"))


@pytest.mark.parametrize("implicit", [False, True])
def test_a_file_without_preamble_is_read_only_when_asked(tmp_path: Path, implicit: bool) -> None:
    pixels = np.arange(6, dtype=np.uint16).reshape(2, 3)
    image = ct(pixels)
    if implicit:
        image.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
    path = save(image, tmp_path / "x")
    whole = path.read_bytes()
    path.write_bytes(whole[144 + int.from_bytes(whole[140:144], "little") :])
    with pytest.raises(ScanRefused, match="lacks the DICOM file header"):
        read_scan(path)
    assert read_scans([path]).refused
    scan = read_scan(path, options=ReadOptions(allow_no_preamble=True))
    np.testing.assert_array_equal(scan.pixels[0, ..., 0], pixels)
    assert "dicom-header-missing" in {finding.code for finding in scan.findings}


FOREIGN = {
    "MINC": b"\x89HDF\r\n\x1a\n" + bytes(600),
    "PAR": b"# === DATA DESCRIPTION FILE ====\n",
    "MetaImage": b"ObjectType = Image\nNDims = 3\n",
    "AFNI": b"\ntype = string-attribute\nname = TYPESTRING\ncount = 15\n",
    "MGH": bytes([0, 0, 0, 1, 0, 0, 0, 9]) + bytes(300),
    "tracts": b"TRACK\x00" + bytes(994),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("packed", [False, True])
def test_formats_that_are_not_read_are_named_with_the_way_out(
    tmp_path: Path, name: str, packed: bool
) -> None:
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(FOREIGN[name]) if packed else FOREIGN[name])
    with pytest.raises(ScanRefused, match=name) as caught:
        read_scan(path)
    assert caught.value.fix


def test_a_gzipped_dicom_is_named(tmp_path: Path) -> None:
    path = save(ct(np.zeros((2, 2), np.uint16)), tmp_path / "x")
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ScanRefused, match="DICOM file inside gzip"):
        read_scan(path)
