"""Transfer syntaxes: what the free codecs cover, and values that survive each lossless one.

GDCM writes the files, so that most were not written by the library that reads them. (Its RLE encoder aborts
on noise; RLE is held to real files in `test_references`.)
"""

from __future__ import annotations

from pathlib import Path

import gdcm
import numpy as np
import numpy.typing as npt
import pytest
from pydicom import uid
from pydicom.pixels.decoders.base import get_decoder

from tests.imaging.makers import ct, save
from workbench.imaging import read_scan

FREE = (
    uid.RLELossless,
    uid.JPEGBaseline8Bit,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)


@pytest.mark.parametrize("syntax", FREE, ids=[syntax.name for syntax in FREE])
def test_a_free_codec_is_there(syntax: uid.UID) -> None:
    assert get_decoder(syntax).is_available


LOSSLESS = {
    "implicit": gdcm.TransferSyntax.ImplicitVRLittleEndian,
    "big endian": gdcm.TransferSyntax.ExplicitVRBigEndian,
    "JPEG process 14": gdcm.TransferSyntax.JPEGLosslessProcess14,
    "JPEG process 14 SV1": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
}
RNG = np.random.default_rng(0)
PIXELS: dict[str, npt.NDArray[np.generic]] = {
    "8 bits": RNG.integers(0, 256, (17, 23)).astype(np.uint8),
    "12 of 16 bits": RNG.integers(0, 4096, (17, 23)).astype(np.uint16),
    "16 bits": RNG.integers(0, 65536, (17, 23)).astype(np.uint16),
    "16 bits, signed": RNG.integers(-32768, 32768, (17, 23)).astype(np.int16),
    "colour": RNG.integers(0, 256, (17, 23, 3)).astype(np.uint8),
}


def _transcoded(source: Path, target: Path, syntax: int) -> bool:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    if not change.Change():
        return False
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    return bool(writer.Write())


@pytest.mark.parametrize("pixels", PIXELS.values(), ids=PIXELS)
@pytest.mark.parametrize("syntax", LOSSLESS.values(), ids=LOSSLESS)
def test_values_survive_a_lossless_syntax(
    tmp_path: Path, syntax: int, pixels: npt.NDArray[np.generic]
) -> None:
    image = ct(pixels)
    if pixels.dtype == np.uint16 and pixels.max() < 4096:  # type: ignore[operator]
        image.BitsStored, image.HighBit = 12, 11
    plain = save(image, tmp_path / "plain.dcm")
    if not _transcoded(plain, tmp_path / "packed.dcm", syntax):
        pytest.skip("GDCM does not write this combination")
    scan = read_scan(tmp_path / "packed.dcm")
    np.testing.assert_array_equal(scan.pixels[0].reshape(pixels.shape), pixels)
