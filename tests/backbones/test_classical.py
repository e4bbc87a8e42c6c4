"""Classical features against loops, hand-computed codes and the properties their papers prove."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from workbench.backbones import BackboneSpec, build
from workbench.backbones.hog import BINS, CELLS, blocks, cell_histograms
from workbench.backbones.lbp import codes, transitions, uniform_bins
from workbench.backbones.scattering import MAPS, filters, scatter
from workbench.backbones.texture import LEVELS, co_occurrence, moments, properties, quantise

NAMES = ("hog", "lbp", "scattering", "texture", "classical")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [28, 45, 64])
def test_embeddings_have_unit_length_at_any_size_and_nothing_to_learn(name: str, size: int) -> None:
    network = build(BackboneSpec(name, channels=1, size=size))
    assert not list(network.parameters())
    assert not network.state_dict()
    z = network(torch.randn(2, 1, size, size))
    assert z.shape == (2, network.dim)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("name", NAMES)
def test_a_blank_image_has_a_finite_embedding(name: str) -> None:
    assert torch.isfinite(build(BackboneSpec(name, size=32))(torch.zeros(1, 3, 32, 32))).all()


def test_gradient_histograms_equal_a_loop_over_pixels() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(3, 18, 18))  # 16x16 gradients: cells of 2x2
    expected = np.zeros((BINS, CELLS, CELLS))
    for y in range(1, 17):
        for x in range(1, 17):
            pairs = [
                (image[c, y, x + 1] - image[c, y, x - 1], image[c, y + 1, x] - image[c, y - 1, x])
                for c in range(3)
            ]
            dx, dy = max(pairs, key=lambda pair: math.hypot(*pair))
            place = (math.degrees(math.atan2(dy, dx)) % 180) / 20
            low, share = int(place), place - int(place)
            for number, weight in ((low % BINS, 1 - share), ((low + 1) % BINS, share)):
                expected[number, (y - 1) // 2, (x - 1) // 2] += weight * math.hypot(dx, dy) / 4
    found = cell_histograms(torch.from_numpy(image)[None])
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-12)


def test_a_ramp_has_its_gradient_in_one_bin() -> None:
    """Brightness rising downwards: 90 degrees, halfway between the bins at 80 and 100."""
    ramp = torch.arange(34.0)[:, None].expand(1, 1, 34, 34)
    found = cell_histograms(ramp)[0].mean((1, 2))
    torch.testing.assert_close(found, torch.tensor([0.0] * 4 + [1.0] * 2 + [0.0] * 3), atol=1e-5, rtol=0)


def test_blocks_are_normalised_clipped_and_normalised_again() -> None:
    cells = torch.zeros(1, 2, 2, 2)
    cells[0, :, 0, 0] = torch.tensor([3.0, 4.0])
    cells[0, 0, 1, 1] = 0.5
    unit = np.array([3, 0, 0, 0.5, 4, 0, 0, 0]) / math.sqrt(25.25)
    clipped = np.minimum(unit, 0.2)
    np.testing.assert_allclose(blocks(cells)[0, 0].numpy(), clipped / np.linalg.norm(clipped), atol=1e-5)


def test_there_are_58_uniform_codes_and_one_bin_for_the_rest() -> None:
    bins = uniform_bins()
    assert sorted(set(bins.tolist())) == list(range(59))
    assert int((bins == 58).sum()) == 256 - 58
    # No bit, all bits, or one run of 1 to 7 bits that starts at any of 8 places.
    runs = {
        sum(1 << ((start + i) % 8) for i in range(length)) for start in range(8) for length in range(1, 8)
    }
    assert {code for code in range(256) if bins[code] < 58} == runs | {0, 255}
    assert transitions(0b01010101) == 8


def test_a_code_computed_by_hand() -> None:
    """Right, up and left neighbours at least as bright; diagonals by interpolation at 1 / sqrt 2."""
    patch = torch.tensor([[0.0, 9.0, 0.0], [5.0, 5.0, 7.0], [0.0, 1.0, 0.0]])[None, None]
    a = 1 / math.sqrt(2)

    def diagonal(corner: float, beside: float, above: float) -> float:
        return a * a * corner + a * (1 - a) * (beside + above) + (1 - a) ** 2 * 5

    # Points 0 to 7: right, upper right, up, upper left, left, lower left, down, lower right.
    around = [7, diagonal(0, 7, 9), 9, diagonal(0, 5, 9), 5, diagonal(0, 5, 1), 1, diagonal(0, 7, 1)]
    expected = sum((value >= 5) << p for p, value in enumerate(around))
    assert int(codes(patch, 1)) == expected == 0b00010101


def test_turning_an_image_turns_the_codes() -> None:
    """A quarter turn moves each point on by two: the code's bits are rotated and its run stays as long."""
    image = torch.randn(1, 1, 20, 20)
    plain, turned = codes(image, 2), codes(torch.rot90(image, 1, (2, 3)), 2)
    rotated = ((plain << 2) | (plain >> 6)) & 255
    assert torch.equal(torch.rot90(rotated, 1, (2, 3)), turned)


def test_codes_do_not_change_with_exposure() -> None:
    """But for the few comparisons that are decided by what counts as rounding."""
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)) / 64 - 2
    for radius in (1, 2, 3):
        differ = codes(images, radius) != codes(0.5 * images + 0.3, radius)
        assert float(differ.float().mean()) < 0.005


def test_a_constant_image_has_the_pattern_of_all_bits() -> None:
    assert set(codes(torch.full((1, 1, 12, 12), 0.37), 3).flatten().tolist()) == {255}


@pytest.mark.parametrize("side", [32, 48])
def test_filters_lose_energy_and_never_add_any(side: int) -> None:
    """Littlewood-Paley sum: at most 1; wavelets have mean 0, phi mean 1."""
    made = filters(side)
    band = made.band.flatten(0, 1)
    reverse = torch.roll(band.flip(1, 2), (1, 1), (1, 2))
    total = made.low.square() + (band.square() + reverse.square()).sum(0) / 2
    assert float(total.max()) <= 1 + 1e-5
    assert float(total.median()) > 0.5
    assert float(band[:, 0, 0].abs().max()) < 1e-6
    assert float(made.low[0, 0]) == pytest.approx(1)


def test_scattering_equals_filtering_at_full_resolution() -> None:
    """Every map against plain products of transfer functions, without keeping fewer pixels in between.

    A band-limited image leaves nothing beyond what the coarser grids can hold in order 1; the moduli that
    order 2 is made of are not band-limited, so those maps agree less closely.
    """
    torch.manual_seed(0)
    given = filters(32)
    image = torch.fft.ifft2(torch.fft.fft2(torch.randn(1, 32, 32)) * given.low).real
    found = scatter(image, given)[0]

    def through(values: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
        return torch.fft.ifft2(torch.fft.fft2(values) * transfer)

    low = given.low
    zeroth = [through(image, low).real]
    first, second = [], []
    for j in range(3):
        for psi in given.band[j]:
            inner = through(image, psi).abs()
            first.append(through(inner, low).real)
    for j in range(3):
        for psi in given.band[j]:
            inner = through(image, psi).abs()
            second += [
                through(through(inner, p).abs(), low).real for k in range(j + 1, 3) for p in given.band[k]
            ]
    expected = torch.cat([*zeroth, *first, *second])[:, ::8, ::8]
    assert found.shape == expected.shape == (MAPS, 4, 4)
    scale = float(expected[1:19].abs().max())
    torch.testing.assert_close(found[:1], expected[:1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[1:19], expected[1:19], atol=0.02 * scale, rtol=0)
    for block in (found[19:], expected[19:]):
        assert block.shape == (108, 4, 4)
    torch.testing.assert_close(found[19:], expected[19:], atol=0.02 * scale, rtol=0)


def test_scattering_adds_no_energy_and_brings_no_images_further_apart() -> None:
    """Scattering is non-expansive, with energy as the mean square over positions."""
    torch.manual_seed(0)
    given = filters(32)
    one, other = torch.randn(2, 5, 32, 32)
    energy = scatter(one, given).square().mean((2, 3)).sum(1)
    assert bool((energy <= one.square().mean((1, 2)) * (1 + 1e-4)).all())
    apart = (scatter(one, given) - scatter(other, given)).square().mean((2, 3)).sum(1)
    assert bool((apart <= (one - other).square().mean((1, 2))).all())


def test_scattering_hardly_changes_with_a_shift_of_two_pixels() -> None:
    """Far less than the pixels do; and orders 0 to 2 of a constant image are its value and nothing."""
    torch.manual_seed(0)
    given = filters(64)
    image = torch.randn(1, 64, 64)
    moved = image.roll((2, 1), (1, 2))
    plain, shifted = scatter(image, given), scatter(moved, given)
    change = float((plain - shifted).norm() / plain.norm())
    assert change < 0.2 < 1 < float((image - moved).norm() / image.norm())
    constant = scatter(torch.full((1, 64, 64), 0.7), given)[0]
    torch.testing.assert_close(constant[0], torch.full((8, 8), 0.7))
    assert float(constant[1:].abs().max()) < 1e-5


def test_scattering_at_one_scale_only_sees_its_own_waves() -> None:
    """A wave along x at the centre of the second scale excites that scale's first orientation most."""
    side = 64
    wave = torch.cos(torch.arange(side) * 2 * math.pi * 12 / side).expand(1, side, side)
    first = scatter(wave.contiguous(), filters(side))[0, 1:19].mean((1, 2))
    assert int(first.argmax()) == 6


def test_co_occurrence_equals_a_loop_over_pairs() -> None:
    rng = np.random.default_rng(1)
    level = rng.integers(0, LEVELS, (7, 9))
    for distance in (1, 3):
        expected = np.zeros((LEVELS, LEVELS))
        for dy, dx in ((0, distance), (distance, 0), (distance, distance), (distance, -distance)):
            counts = np.zeros((LEVELS, LEVELS))
            for y in range(7):
                for x in range(9):
                    if 0 <= y + dy < 7 and 0 <= x + dx < 9:
                        counts[level[y, x], level[y + dy, x + dx]] += 1
                        counts[level[y + dy, x + dx], level[y, x]] += 1
            expected += counts / counts.sum() / 4
        found = co_occurrence(torch.from_numpy(level)[None], distance)[0]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_properties_of_a_matrix_by_hand() -> None:
    """Levels 0 and 1, alike with probability 0.8: means 0.5, variances 0.25, covariance 0.15."""
    matrix = torch.tensor([[[0.4, 0.1], [0.1, 0.4]]])
    entropy = -(2 * 0.4 * math.log(0.4) + 2 * 0.1 * math.log(0.1)) / math.log(4)
    expected = torch.tensor([[0.34, 0.2, 0.6, 0.9, entropy]])
    torch.testing.assert_close(properties(matrix), expected)


def test_moments_and_levels_by_hand() -> None:
    """Three at 0 and one at 1: mean 1/4, variance 3/16, skewness 2 / sqrt 3, kurtosis 7/3 - 3."""
    skew, excess = 2 / math.sqrt(3), 7 / 3 - 3
    expected = [0.25 / 2, math.sqrt(3 / 16) / 2, skew / (1 + skew), excess / (1 - excess)]
    torch.testing.assert_close(moments(torch.tensor([[0.0, 0.0, 0.0, 1.0]])), torch.tensor([expected]))
    assert quantise(torch.tensor([-9.0, -2.0, -0.01, 0.0, 1.99, 2.0]), 4).tolist() == [0, 0, 1, 2, 3, 3]
