from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from workbench.data.items import array_scan
from workbench.imaging import Scan, Severity
from workbench.imaging.quality import checked, quality_findings
from workbench.imaging.quality_blur import smoothness
from workbench.imaging.quality_text import _opening, text_lines

Picture = npt.NDArray[np.uint8]


def texture(side: int = 160, seed: int = 0) -> Picture:
    """Blobs of all sizes, as in tissue."""
    rng = np.random.default_rng(seed)
    layers = [ndimage.gaussian_filter(rng.standard_normal((side, side)), s) * s for s in (0.7, 1.5, 4, 12)]
    values = np.sum(layers, axis=0)
    return np.asarray((110 + 30 * values / values.std()).clip(0, 235).astype(np.uint8))


def scan(picture: npt.NDArray[np.generic]) -> Scan:
    return array_scan(picture.astype(np.uint8), "picture", "OT")


def codes(picture: npt.NDArray[np.generic]) -> list[str]:
    return [finding.code for finding in quality_findings(scan(picture))]


def test_a_sound_image_has_no_findings() -> None:
    for seed in range(5):
        assert codes(texture(seed=seed)) == []


def test_a_blank_image_is_of_no_use_and_says_so_alone() -> None:
    (finding,) = quality_findings(scan(np.full((64, 64), 7)))
    assert (finding.code, finding.severity) == ("blank", Severity.ERROR)
    assert codes(np.full((64, 64), 7) + (np.arange(64) % 3 == 0)) == ["faint"]


def test_brightness_that_was_cut_off_is_found_and_masks_are_let_be() -> None:
    assert "clipped" in codes((texture() * 2.2).clip(0, 255))
    assert "clipped" not in codes((texture() > 100) * 255)


@pytest.mark.parametrize("axis", [0, 1])
def test_movement_along_one_direction_is_found(axis: int) -> None:
    sharp = texture()
    moved = ndimage.uniform_filter1d(sharp.astype(float), 11, axis=axis).round()
    assert codes(moved) == ["motion-blur"]
    assert smoothness(moved.astype(np.uint8)) < smoothness(sharp)


def test_a_straight_slope_is_as_smooth_as_can_be_and_noise_is_not() -> None:
    slope = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    noise = np.random.default_rng(0).integers(0, 255, (200, 200)).astype(np.uint8)
    # |x(p+1) - x(p)| / |x(p+2) - x(p)| is 1/2 on a slope; independent values differ alike at any distance.
    assert smoothness(slope + slope.T // 2) == pytest.approx(0.5, abs=0.05)
    assert smoothness(noise) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("bright", [True, False])
def test_text_is_found_bright_and_dark_with_its_place(bright: bool) -> None:
    picture = Image.fromarray(texture(200) if bright else 255 - texture(200))
    ImageDraw.Draw(picture).text((12, 90), "DOE JANE 1961", fill=255 if bright else 0, font_size=20)
    (line,) = text_lines(np.asarray(picture))
    top, left, bottom, right = line.box
    assert 85 <= top < bottom <= 118
    assert 8 <= left < right <= 190
    assert line.characters >= 6
    assert codes(np.asarray(picture)) == ["text-in-pixels"]


def test_the_fast_opening_is_scipys() -> None:
    picture = texture(70)
    expected = ndimage.grey_opening(picture, size=(7, 7), mode="nearest")
    np.testing.assert_array_equal(_opening(picture, 7), expected)


def test_coloured_callipers_are_found_in_grey_images_and_colour_images_are_let_be() -> None:
    marked = np.repeat(texture()[..., None], 3, axis=2)
    marked[40:44, 40:60] = (255, 255, 0)
    assert codes(marked) == ["coloured-marks"]
    colour = np.stack([texture(), texture() // 2, texture() // 3], axis=-1)
    assert "coloured-marks" not in codes(colour)


def test_tiny_images_are_named_with_their_size() -> None:
    (finding,) = quality_findings(scan(texture()[:20, :40]))
    assert finding.code == "tiny"
    assert "40 x 20" in finding.message


def test_every_finding_has_a_fix_and_is_made_once() -> None:
    twice = checked(checked(scan((texture() * 2.2).clip(0, 255))))
    said = [finding.code for finding in twice.findings]
    assert len(said) == len(set(said)) >= 1
    assert all(finding.fix for finding in twice.findings)
