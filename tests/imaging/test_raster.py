"""Raster files keep their depth, and what Pillow does silently is said."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.errors import ScanRefused
from workbench.imaging import Scan, Units, read_scan

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
COLOUR = np.arange(144, dtype=np.uint8).reshape(6, 8, 3)


def _codes(scan: Scan) -> set[str]:
    return {finding.code for finding in scan.findings}


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
def test_eight_bits_come_back_as_written(
    tmp_path: Path, suffix: str, array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> None:
    path = tmp_path / f"image{suffix}"
    Image.fromarray(array).save(path)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels[0].squeeze(), array)
    assert (scan.units, scan.value_range, _codes(scan)) == (Units.DISPLAY, (0.0, 255.0), {"tiny"})


def test_jpeg_has_rows_before_columns(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    Image.fromarray(COLOUR).save(path, quality=95)
    assert read_scan(path).pixels.shape == (1, 6, 8, 3)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_keep_every_level(tmp_path: Path, suffix: str) -> None:
    levels = (np.arange(1024, dtype=np.uint16) * 64).reshape(32, 32)
    path = tmp_path / f"image{suffix}"
    Image.fromarray(levels).save(path)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels[0, ..., 0], levels)
    assert (scan.units, scan.value_range) == (Units.MODALITY, (0.0, 65535.0))


def test_floating_point_tiff(tmp_path: Path) -> None:
    values = np.linspace(-3, 3, 48, dtype=np.float32).reshape(6, 8)
    path = tmp_path / "image.tif"
    Image.fromarray(values).save(path)
    np.testing.assert_array_equal(read_scan(path).pixels[0, ..., 0], values)


def test_sixteen_bit_colour_says_that_depth_was_lost(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\x00" + struct.pack(">3H", 256, 512, 65535) * 2
    parts = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    parts += chunk(b"IDAT", zlib.compress(row * 2)) + chunk(b"IEND", b"")
    path = tmp_path / "deep.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    assert "depth-reduced" in _codes(read_scan(path))


def test_transparency_is_laid_on_black_with_a_finding(tmp_path: Path) -> None:
    rgba = np.full((4, 4, 4), 200, np.uint8)
    rgba[:2, :, 3] = 0
    rgba[2:, :, 3] = 255
    path = tmp_path / "image.png"
    Image.fromarray(rgba).save(path)
    scan = read_scan(path)
    assert scan.pixels[0, 0, 0].tolist() == [0, 0, 0]
    assert scan.pixels[0, 3, 0].tolist() == [200, 200, 200]
    assert "alpha-composited" in _codes(scan)


def test_an_opaque_alpha_channel_loses_nothing_and_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(COLOUR).convert("RGBA").save(path)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels[0], COLOUR)
    assert [f.code for f in scan.findings] == ["tiny"]


def test_grey_with_alpha_stays_grey(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(GREY).convert("LA").save(path)
    assert read_scan(path).pixels.shape == (1, 6, 8, 1)


def test_palette_colours_are_looked_up(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2, 0])
    path = tmp_path / "image.png"
    image.save(path)
    scan = read_scan(path)
    assert scan.pixels[0, 0, 1].tolist() == [0, 255, 0]
    assert "palette-colour" in _codes(scan)


def test_cmyk_is_converted_with_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    Image.fromarray(COLOUR).convert("CMYK").save(path)
    scan = read_scan(path)
    assert scan.pixels.shape[-1] == 3
    assert "cmyk-converted" in _codes(scan)


def test_exif_rotation_is_applied_with_a_finding(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "image.png"
    Image.fromarray(GREY).save(path, exif=exif)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.pixels[0, ..., 0], np.rot90(GREY, -1))
    assert "exif-rotated" in _codes(scan)


def test_pages_alike_are_a_volume_and_others_give_the_first(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY + i) for i in range(3)]
    pages[0].save(tmp_path / "alike.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "mixed.tif", save_all=True, append_images=[Image.fromarray(GREY[:3])])
    alike, mixed = read_scan(tmp_path / "alike.tif"), read_scan(tmp_path / "mixed.tif")
    assert alike.pixels[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert "multi-page" in _codes(alike)
    assert mixed.pixels.shape[0] == 1
    assert "first-page" in _codes(mixed)


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(GREY > 20).save(path)
    assert set(read_scan(path).pixels.ravel()) == {0.0, 255.0}


def test_a_picture_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ScanRefused, match="cut short"):
        read_scan(path)


def test_a_picture_claiming_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(GREY).save(path)
    raw = bytearray(path.read_bytes())
    raw[16:24] = (60_000).to_bytes(4, "big") * 2
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    path.write_bytes(raw)
    with pytest.raises(ScanRefused):
        read_scan(path)


def test_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    for name, data, reason in (
        ("a.gif", b"GIF89a....", "picture format"),
        ("a.pdf", b"%PDF-1.7", "PDF"),
        ("a.txt", b"hello there", "no image"),
        ("a.png", b"", "empty"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ScanRefused, match=reason):
            read_scan(tmp_path / name)


def test_a_picture_past_the_budget_is_refused_for_its_size(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(path)
    with pytest.raises(ScanRefused, match="more pixels than are allowed"):
        read_scan(path)
