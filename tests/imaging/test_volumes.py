"""Volumes through the recipe: which slices, which orientation, which spacing, and what a person is told."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn import functional as F

from workbench.imaging import Provenance, Recipe, Scan, Units, recipe_findings
from workbench.imaging.cube import cubed, upright


def _scan(pixels: npt.NDArray[np.generic], units: Units = Units.DISPLAY, **known: object) -> Scan:
    shaped = pixels.astype(np.float32)
    scan = Scan(shaped, units, "CT", Provenance("a", "NIfTI", "0"), value_range=(0.0, 255.0))
    return replace(scan, **known)  # type: ignore[arg-type]


def _before_volumes(recipe: Recipe, scan: Scan) -> npt.NDArray[np.uint8]:
    """`Recipe.apply` as it was when the shipped weights were made, word for word."""
    plane = scan.pixels[scan.pixels.shape[0] // 2]
    low, high = recipe._range(scan, plane)
    unit = np.clip((plane - low) / (high - low if high > low else 1.0), 0.0, 1.0)
    if recipe.channels == 1 and unit.shape[-1] == 3:
        unit = unit @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32)
    image = torch.from_numpy(np.ascontiguousarray(unit.transpose(2, 0, 1))).float()
    rows, columns = image.shape[-2:]
    side = max(rows, columns)
    top, left = (side - rows) // 2, (side - columns) // 2
    image = F.pad(image, (left, side - columns - left, top, side - rows - top))
    if side != recipe.size:
        image = F.interpolate(
            image[None], (recipe.size, recipe.size), mode="bilinear", antialias=True, align_corners=False
        )[0]
    if image.shape[0] < recipe.channels:
        image = image.expand(recipe.channels, -1, -1)
    return (image * 255.0).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


@pytest.mark.parametrize("units", list(Units))
@pytest.mark.parametrize("shape", [(1, 40, 90, 1), (1, 90, 40, 3), (7, 64, 64, 1), (1, 28, 28, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_encoders_of_images_get_bit_for_bit_what_they_always_got(
    units: Units, shape: tuple[int, ...], channels: int
) -> None:
    pixels = np.random.default_rng(0).normal(100, 400, shape)
    scan, recipe = _scan(pixels, units), Recipe(channels=channels)
    image = recipe.apply(scan)
    np.testing.assert_array_equal(image, _before_volumes(recipe, scan))
    images = torch.from_numpy(image)[None]
    network = images.permute(0, 3, 1, 2).float().sub_(255.0 * recipe.mean).div_(255.0 * recipe.std)
    assert torch.equal(recipe.normalise(images), network)
    assert recipe.normalise(images).is_contiguous(memory_format=torch.channels_last)


def test_recipes_written_before_volumes_mean_the_middle_slice() -> None:
    old = {"size": 64, "channels": 3, "hounsfield": [-1000.0, 1000.0], "percentiles": [0.5, 99.5],
           "mean": 0.5, "std": 0.25, "version": 1}  # fmt: skip
    assert Recipe.from_json(old) == Recipe()
    assert Recipe.from_json(Recipe(volume="slices", slices=8).to_json()) == Recipe(volume="slices", slices=8)


@pytest.mark.parametrize(
    ("slices", "expected"), [(9, (1, 4, 7)), (3, (0, 1, 2)), (2, (0, 1, 1)), (100, (16, 50, 83))]
)
def test_slices_are_the_middles_of_equal_parts(slices: int, expected: tuple[int, ...]) -> None:
    recipe = Recipe(28, 1, volume="slices", slices=3)
    assert recipe.positions(slices) == expected
    volume = np.broadcast_to(np.arange(slices).reshape(-1, 1, 1, 1), (slices, 28, 28, 1))
    images = recipe.apply(_scan(volume))
    assert images.shape == recipe.shape == (3, 28, 28, 1)
    assert tuple(images[:, 5, 5, 0]) == expected


def test_all_slices_are_scaled_by_one_range() -> None:
    volume = np.stack([np.full((28, 28, 1), v) for v in (0.0, 50.0, 100.0)])
    images = Recipe(28, 1, percentiles=(0.0, 100.0), volume="slices", slices=3).apply(
        _scan(volume, Units.MODALITY)
    )
    assert images[:, 0, 0, 0].tolist() == [0, 128, 255]


def test_what_is_kept_of_a_volume_gives_the_same_input() -> None:
    scan = _scan(np.random.default_rng(0).normal(size=(30, 31, 33, 1)), Units.MODALITY)
    for recipe in (Recipe(28), Recipe(28, volume="slices", slices=4), Recipe(28, volume="cube")):
        kept = recipe.kept(scan)
        assert len(kept.pixels) == {"middle": 1, "slices": 4, "cube": 30}[recipe.volume]
        np.testing.assert_array_equal(recipe.apply(kept), recipe.apply(scan))


def test_a_cube_has_cubic_voxels_whatever_the_spacing() -> None:
    """A ball of 20 mm in voxels of 4 x 1 x 2 mm is a ball again."""
    spacing = (4.0, 1.0, 2.0)
    z, y, x = (
        (np.arange(n) + 0.5) * s - 24.0 for n, s in zip((12, 48, 24), spacing, strict=True)
    )  # 48 mm in every direction
    ball = (z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None] ** 2 < 20.0**2) * 255.0
    cube = Recipe(48, 1, volume="cube").apply(_scan(ball[..., None], spacing=spacing))
    assert cube.shape == (48, 48, 48, 1)
    lengths = [int((cube[..., 0].max(axis=axes) > 127).sum()) for axes in ((1, 2), (0, 2), (0, 1))]
    assert all(abs(n - 40) <= 4 for n in lengths), lengths


def test_a_slab_is_padded_to_a_cube_and_said_to_be() -> None:
    slab = _scan(np.full((8, 32, 32, 1), 255), spacing=(1.0, 1.0, 1.0))
    cube = Recipe(32, 1, volume="cube").apply(slab)
    assert (cube[12:20] == 255).all()
    assert not cube[:12].any()
    assert not cube[20:].any()
    codes = [f.code for f in recipe_findings(slab, Recipe(32, 1, volume="cube"))]
    assert codes == ["volume-resampled", "padded"]


def test_every_orientation_ends_in_the_same_cube() -> None:
    """An asymmetric phantom stored in all 48 ways."""
    rng = np.random.default_rng(0)
    voxels = rng.integers(0, 255, (6, 5, 4)).astype(np.float32)  # column, row, slice: to the left, back, head
    affine = np.diag([-1.0, -2.0, 3.0, 1.0])
    recipe = Recipe(28, 1, volume="cube")
    expected = recipe.apply(_placed(voxels, affine))
    assert len({expected[z, y, x, 0] for z in (0, -1) for y in (8, -9) for x in (11, -12)}) > 1
    for order, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        change = np.array([[axis, flip] for axis, flip in zip(order, flips, strict=True)], dtype=float)
        moved = nib.orientations.apply_orientation(voxels, change)
        placed = affine @ nib.orientations.inv_ornt_aff(change, voxels.shape)
        np.testing.assert_array_equal(recipe.apply(_placed(moved, placed)), expected)


def _placed(voxels: npt.NDArray[np.float32], affine: npt.NDArray[np.float64]) -> Scan:
    column, row, across = np.linalg.norm(affine[:3, :3], axis=0)
    pixels = np.ascontiguousarray(voxels.transpose(2, 1, 0))[..., None]
    return _scan(pixels, affine=affine, spacing=(float(across), float(row), float(column)))


def test_an_unknown_orientation_is_left_alone_and_unknown_spacing_is_said() -> None:
    scan = _scan(np.random.default_rng(0).integers(0, 255, (28, 28, 28, 1)))
    pixels, spacing = upright(scan)
    assert pixels is scan.pixels
    assert spacing is None
    np.testing.assert_array_equal(Recipe(28, 1, volume="cube").apply(scan), scan.pixels.astype(np.uint8))
    codes = [f.code for f in recipe_findings(scan, Recipe(28, 1, volume="cube"))]
    assert codes == ["volume-resampled", "spacing-unknown"]


def test_resampling_one_direction_after_the_other_is_trilinear() -> None:
    """Enlarged, the antialiased filter is plain linear interpolation."""
    planes = torch.rand(6, 2, 5, 7)
    ours = cubed(planes, (7 / 6, 7 / 5, 1.0), 14)
    theirs = F.interpolate(planes.permute(1, 0, 2, 3)[None], (14, 14, 14), mode="trilinear")[0]
    torch.testing.assert_close(ours, theirs.permute(1, 0, 2, 3), rtol=1e-5, atol=1e-5)


def test_a_person_is_told_what_the_model_sees_of_a_volume() -> None:
    volume, image = _scan(np.zeros((20, 64, 64, 1))), _scan(np.zeros((1, 64, 64, 1)))
    (found,) = recipe_findings(volume, Recipe(volume="slices", slices=5))
    assert (found.code, "5 of 20 slices, evenly spaced from 3 to 19" in found.message) == (
        "slices-taken",
        True,
    )
    for recipe in (Recipe(volume="slices", slices=5), Recipe(volume="cube")):
        assert "one-slice" in [f.code for f in recipe_findings(image, recipe)]
        assert recipe.apply(image).shape == recipe.shape
    assert recipe_findings(image, Recipe()) == ()


def test_recipes_that_contradict_themselves_are_refused() -> None:
    for wrong in (
        {"volume": "slices"},
        {"volume": "slices", "slices": 65},
        {"volume": "cube", "slices": 4},
        {"slices": 4},
        {"volume": "cube", "size": 224},
        {"volume": "projection"},
    ):
        with pytest.raises(ValueError, match=r"Recipe\."):
            Recipe(**wrong)  # type: ignore[arg-type]
