"""The recipe maps values as recorded and says what it leaves out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from workbench.imaging import Provenance, Recipe, Scan, Units, recipe_findings


def _scan(
    pixels: npt.NDArray[np.generic], units: Units, value_range: tuple[float, float] | None = None
) -> Scan:
    return Scan(pixels.astype(np.float32), units, "OT", Provenance("a", "PNG", "0"), value_range=value_range)


def test_hounsfield_ends_are_0_and_255_whatever_else_is_in_the_scan() -> None:
    pixels = np.zeros((1, 64, 64, 1))
    pixels[0, :32], pixels[0, 0, 0] = -3000.0, 9000.0
    image = Recipe(size=64).apply(_scan(pixels, Units.HOUNSFIELD))
    assert image.shape == (64, 64, 3)
    assert (image[5, 5, 0], image[50, 5, 0], image[0, 0, 0]) == (0, 128, 255)


def test_display_values_are_kept() -> None:
    pixels = np.arange(64 * 64).reshape(1, 64, 64, 1) % 256
    image = Recipe(size=64, channels=1).apply(_scan(pixels, Units.DISPLAY, (0.0, 255.0)))
    np.testing.assert_array_equal(image, pixels[0])


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_modality_values_do_not_depend_on_their_unit(scale: float) -> None:
    ramp = np.linspace(0.0, 1.0, 64 * 64).reshape(1, 64, 64, 1)
    image = Recipe(size=64, channels=1).apply(_scan(ramp * scale, Units.MODALITY))
    assert (image.min(), image.max()) == (0, 255)
    assert 126 <= np.median(image) <= 129


def test_a_blank_scan_is_black() -> None:
    assert Recipe().apply(_scan(np.full((1, 9, 9, 1), 5.0), Units.MODALITY)).max() == 0


def test_aspect_is_kept_by_padding_with_black() -> None:
    image = Recipe(size=64, channels=1).apply(
        _scan(np.full((1, 32, 64, 1), 255), Units.DISPLAY, (0.0, 255.0))
    )
    assert image[32, 32, 0] == 255
    assert image[4, 32, 0] == image[60, 32, 0] == 0


def test_colour_becomes_luma_and_grey_becomes_three_equal_channels() -> None:
    green = np.zeros((1, 28, 28, 3))
    green[..., 1] = 255
    grey = Recipe(size=28, channels=1).apply(_scan(green, Units.DISPLAY, (0.0, 255.0)))
    assert set(grey.ravel()) == {150}
    image = Recipe(size=28).apply(_scan(green[..., 1:2], Units.DISPLAY, (0.0, 255.0)))
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


def test_a_volume_is_read_by_its_middle_slice() -> None:
    volume = np.arange(5).reshape(5, 1, 1, 1) * np.full((5, 28, 28, 1), 50)
    scan = _scan(volume, Units.DISPLAY, (0.0, 255.0))
    assert set(Recipe(size=28).apply(scan).ravel()) == {100}
    assert [f.code for f in recipe_findings(scan, Recipe(size=28))] == ["middle-slice"]


def test_padding_and_enlargement_are_reported() -> None:
    scan = _scan(np.zeros((1, 10, 30, 1)), Units.MODALITY)
    assert {f.code for f in recipe_findings(scan, Recipe(size=64))} == {"padded", "enlarged"}
    plain = _scan(np.zeros((1, 64, 100, 1)), Units.MODALITY)
    assert recipe_findings(plain, Recipe(size=64)) == ()


def test_json_round_trip_and_bounds() -> None:
    recipe = Recipe(size=96, channels=1, hounsfield=(-160.0, 240.0))
    assert Recipe.from_json({**recipe.to_json(), "hounsfield": [-160.0, 240.0]}) == recipe
    for wrong in ({"size": 20}, {"size": 300}, {"channels": 2}):
        with pytest.raises(ValueError, match=r"Recipe\."):
            Recipe(**wrong)
