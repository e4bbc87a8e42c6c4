"""Transfer syntaxes: what the free codecs cover, and values that survive each lossless one.

GDCM writes the files, so that what is read was not written by the libraries that read it.
"""

from __future__ import annotations

from pathlib import Path

import gdcm
import numpy as np
import numpy.typing as npt
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder

from tests.imaging.makers import ct, save
from workbench.errors import ScanRefused
from workbench.imaging import Scan, read_scan

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
    decoder = get_decoder(syntax)
    assert decoder.is_available
    assert set(decoder.available_plugins) - {"pylibjpeg"} or syntax.name.startswith("High-Throughput")


LOSSLESS = {
    "implicit": gdcm.TransferSyntax.ImplicitVRLittleEndian,
    "big endian": gdcm.TransferSyntax.ExplicitVRBigEndian,
    "RLE": gdcm.TransferSyntax.RLELossless,
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


@pytest.mark.parametrize("colour", [False, True])
def test_random_bytes_in_each_syntax_end_typed(tmp_path: Path, colour: bool) -> None:
    """Damaged codestreams of every syntax, several lengths: a scan or a refusal, never another error."""
    pixels = PIXELS["colour" if colour else "8 bits"]
    for number, syntax in enumerate(syntax for syntax in FREE if syntax.is_encapsulated):
        for length in (2, 64, 1000):
            image = ct(pixels)
            image.file_meta.TransferSyntaxUID = syntax
            image.PixelData = encapsulate([RNG.bytes(length)])
            path = save(image, tmp_path / f"{number}-{length}")
            try:
                outcome: Scan | ScanRefused = read_scan(path)
            except ScanRefused as error:
                outcome = error
            assert isinstance(outcome, ScanRefused), (syntax.name, length)
