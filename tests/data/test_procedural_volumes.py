"""Drawn volumes differ by their class; views of a volume move its slices together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import f_oneway

from workbench.data.augment import Augmentation, augment
from workbench.data.procedural import procedural_cohorts
from workbench.data.procedural_volumes import FAMILIES, Family, draw
from workbench.imaging.recipe import Recipe

CUBE = Recipe(28, 1, volume="cube")
STILL = Augmentation(rotate=0.0, upright=1.0, tilt=0.0, zoom=(1.0, 1.0), shift=0.0, colour_share=0.0,
                     noise_share=0.0, blur_share=0.0, erase_share=0.0)  # fmt: skip


def test_drawn_volumes_are_the_same_for_the_same_seed_and_marked_as_drawn() -> None:
    first, again = procedural_cohorts(192, CUBE, 3), procedural_cohorts(192, CUBE, 3)
    assert len(first) == len(FAMILIES)
    assert len({cohort.name for cohort in first}) == len(FAMILIES)
    for one, other in zip(first, again, strict=True):
        assert one.modality == ""
        assert one.images.shape == (24, 28, 28, 28, 1)
        np.testing.assert_array_equal(one.images, other.images)
    assert any(not np.array_equal(a.images, b.images)
               for a, b in zip(first, procedural_cohorts(192, CUBE, 4), strict=True))  # fmt: skip


def test_a_recipe_of_slices_gets_those_at_its_positions() -> None:
    slices = Recipe(28, 3, volume="slices", slices=4)
    for whole, some in zip(procedural_cohorts(192, CUBE, 0), procedural_cohorts(192, slices, 0), strict=True):
        at = list(slices.positions(28))
        np.testing.assert_array_equal(some.images, np.repeat(whole.images[:, at], 3, axis=-1))


@pytest.mark.parametrize("family", dict.fromkeys(family for family, _ in FAMILIES))
def test_classes_differ_by_more_than_volumes_of_one_class(family: Family) -> None:
    """One-way analysis of variance of how much is filled, and how unevenly, over six classes of eight."""
    g = torch.Generator().manual_seed(5)
    labels = np.arange(6).repeat(8)
    values = family(torch.rand(6, 12, generator=g)[torch.from_numpy(labels)], g, 20)
    assert 0 <= float(values.min()) <= float(values.max()) <= 1
    ratios = [f_oneway(*(x[labels == k] for k in range(6))).statistic for x in (values.mean(1).numpy(),
              values.std(1).numpy())]  # fmt: skip
    assert max(ratios) > 6  # the 99.9 % quantile of F(5, 42) is 5.1


@pytest.mark.parametrize("number", range(len(FAMILIES)))
def test_masks_are_masks_and_scans_are_not(number: int) -> None:
    family, mask = FAMILIES[number]
    g = torch.Generator().manual_seed(0)
    volumes = draw(family, mask, torch.rand(4, 12, generator=g), g, 20)
    assert volumes.shape == (4, 20, 20, 20)
    assert (set(volumes.unique().tolist()) <= {0, 255}) == mask


def test_views_of_volumes_are_a_function_of_the_generator() -> None:
    volumes = torch.randint(0, 255, (4, 6, 16, 16, 1), dtype=torch.uint8)
    one, two, other = (augment(volumes, Augmentation(), torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert one.shape == volumes.shape
    assert one.dtype == torch.uint8
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_volume_that_is_changed_in_nothing_is_at_most_mirrored() -> None:
    volumes = torch.randint(0, 255, (8, 5, 16, 16, 3), dtype=torch.uint8)
    views = augment(volumes, STILL, torch.Generator().manual_seed(0))
    plain = (views.int() - volumes.int()).abs().amax((1, 2, 3, 4)) <= 1
    mirrored = (views.int() - volumes.flip(3).int()).abs().amax((1, 2, 3, 4)) <= 1
    assert bool((plain ^ mirrored).all())
    assert bool(plain.any() and mirrored.any())


def test_slices_of_a_volume_move_together() -> None:
    """A column that is bright in every slice stays one straight bar through all of them."""
    volumes = torch.zeros(6, 8, 24, 24, 1, dtype=torch.uint8)
    volumes[:, :, 4:8, 14:19] = 255
    views = augment(volumes, replace(STILL, rotate=180.0, upright=0.0), torch.Generator().manual_seed(1))
    assert bool((views == views[:, :1]).all())
    assert not torch.equal(views, volumes)
