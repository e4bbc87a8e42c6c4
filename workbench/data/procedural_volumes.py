"""Drawn volumes: what `procedural` does for images, in three dimensions.

Public sets of volumes are few, and they are needed to test an encoder. A *family* (bodies, sheets, tubes,
organs, textures) holds any number of *classes*, each one draw of the family's parameters; volumes of a class
differ in pose, in their random content and by a small change of the parameters. Each family of shapes makes
two conditions: the shapes as masks, and as scans with grey levels, grain and a background. Everything is
deterministic in the seed and computed in batches. Drawn conditions are only ever trained on.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.data.cohort import Cohort
from workbench.imaging.recipe import Recipe

_PARAMETERS = 12
_BATCH = 32
G = torch.Generator


def _gen(*key: int) -> G:
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


def _uniform(g: G, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return torch.rand(*shape, generator=g) * (high - low) + low


def _at(u: Tensor) -> Callable[[int], Tensor]:
    """Parameter i of every volume, shaped to multiply volumes ``(n, points)``."""
    return lambda i: u[:, i : i + 1]


def _points(g: G, n: int, size: int, tilt: float = 0.5) -> Tensor:
    """Coordinates -1..1 of every voxel, ``(n, size^3, 3)``, turned and shifted anew for each volume."""
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(1, -1, 3)
    a, b, c = _uniform(g, 3, n, low=-tilt, high=tilt)
    zero, one = torch.zeros(n), torch.ones(n)

    def turn(rows: list[list[Tensor]]) -> Tensor:
        return torch.stack([torch.stack(row, 1) for row in rows], 1)

    about_x = turn([[one, zero, zero], [zero, a.cos(), -a.sin()], [zero, a.sin(), a.cos()]])
    about_y = turn([[b.cos(), zero, b.sin()], [zero, one, zero], [-b.sin(), zero, b.cos()]])
    about_z = turn([[c.cos(), -c.sin(), zero], [c.sin(), c.cos(), zero], [zero, zero, one]])
    scale = _uniform(g, n, 1, 1, low=0.94, high=1.06)
    return (grid - _uniform(g, n, 1, 3, low=-0.12, high=0.12)) @ (about_x @ about_y @ about_z) * scale


def _smooth(g: G, n: int, size: int, cells: int) -> Tensor:
    """Smooth noise of unit scale, ``(n, size^3)``."""
    coarse = torch.randn(n, 1, cells, cells, cells, generator=g)
    return F.interpolate(coarse, size=(size,) * 3, mode="trilinear", align_corners=False).flatten(1)


# Each family: n parameter sets and a generator -> occupancy or grey value, (n, size^3) in 0..1.
def bodies(u: Tensor, g: G, size: int) -> Tensor:
    """A body of one to five lobes: class sets size, flatness, number and spread of lobes, roughness."""
    n, v = len(u), _at(u)
    p = _points(g, n, size)
    radius = 0.18 + 0.35 * v(0)
    flat = torch.stack([0.4 + 0.6 * u[:, 1], 0.4 + 0.6 * u[:, 2], torch.ones(n)], 1)[:, None]
    count = (1 + 4 * v(3)).round()
    deepest = torch.full((n, size**3), 9.0)
    for k in range(5):
        phase = 2.4 * k + 6.28 * v(8)
        away = (0.25 + 0.5 * v(4)) * (0.0 if k == 0 else 1.0)
        offset = torch.cat([away * phase.cos(), away * phase.sin(), away * (v(5) - 0.5) * (k % 3)], 1)
        offset = offset + 0.05 * torch.randn(n, 3, generator=g)
        lobe = radius * (1.0 if k == 0 else 0.75)
        distance = ((p - offset[:, None]) / flat).norm(dim=2) / lobe
        deepest = torch.where(k < count, torch.minimum(deepest, distance), deepest)
    rough = 0.25 * v(6) * _smooth(g, n, size, 6)
    hollow = (v(7) > 0.75) & (deepest + rough < 0.55)
    return torch.sigmoid((1 - deepest - rough) * 12) * (~hollow)


def sheets(u: Tensor, g: G, size: int) -> Tensor:
    """Bent sheets that meet in a line: class sets number, angles, thickness, extent and bending."""
    n, v = len(u), _at(u)
    p = _points(g, n, size)
    x, y, z = p.unbind(2)
    x = x + (v(0) - 0.5) * y.square() + 0.15 * v(1) * _smooth(g, n, size, 4)
    thickness = 0.04 + 0.16 * v(2)
    reach, height = 0.35 + 0.5 * v(3), 0.35 + 0.5 * v(4)
    count = (1 + 2 * v(5)).round()
    out = torch.zeros(n, size**3)
    for k in range(3):
        angle = 6.28 * (v(6) + (0.15 + 0.2 * v(7)) * k) + 0.12 * torch.randn(n, 1, generator=g)
        along, across = x * angle.cos() + z * angle.sin(), z * angle.cos() - x * angle.sin()
        bent = across - (v(8) - 0.5) * along.square()
        taper = thickness * (1 - 0.6 * v(9) * (along / reach).clamp(0, 1))
        inside = torch.minimum(taper - bent.abs(), torch.minimum(reach - along, along + thickness))
        inside = torch.minimum(inside, height - y.abs())
        out = torch.where(k < count, torch.maximum(out, torch.sigmoid(inside * 30)), out)
    return out


def tubes(u: Tensor, g: G, size: int) -> Tensor:
    """Random walks as tubes: class sets number, width, bending, bulges and common direction."""
    n, v, steps, lines = len(u), _at(u), 14, 4
    p = _points(g, n, size)
    heading = torch.randn(n, lines, 3, generator=g)
    heading[..., 0] += 4 * u[:, 0:1]
    at = _uniform(g, n, lines, 3, low=-0.5, high=0.5) - 0.5 * F.normalize(heading, dim=2)
    width = (0.05 + 0.12 * v(1)).expand(n, lines)
    bulge, count = v(2), (1 + 3 * v(3)).round()
    nearest = torch.full((n, size**3), -9.0)
    for step in range(steps):
        heading = F.normalize(heading, dim=2) + 0.9 * u[:, 4].view(n, 1, 1) ** 2 * torch.randn(
            n, lines, 3, generator=g
        )
        at = at + 0.11 * F.normalize(heading, dim=2)
        grown = width * (1 + 1.5 * bulge * (1 if step == steps // 2 else 0))
        for k in range(lines):
            inside = grown[:, k : k + 1] - (p - at[:, None, k]).norm(dim=2)
            nearest = torch.where(k < count, torch.maximum(nearest, inside), nearest)
    return torch.sigmoid(nearest * 40)


def organs(u: Tensor, g: G, size: int) -> Tensor:
    """A body with four parts at class-given places, sizes and grey levels."""
    n, v = len(u), _at(u)
    p = _points(g, n, size, tilt=0.25)
    warped = p + 0.06 * torch.stack([_smooth(g, n, size, 4) for _ in range(3)], 2)
    axes = torch.stack([0.6 + 0.3 * u[:, 0], 0.6 + 0.3 * u[:, 1], 0.7 + 0.2 * u[:, 2]], 1)[:, None]
    out = torch.sigmoid((1 - (warped / axes).norm(dim=2)) * 12) * 0.3
    for k in range(4):
        turned = u.roll(3 * k + 1, dims=1)
        centre = (turned[:, :3] - 0.5) * 0.9 + 0.03 * torch.randn(n, 3, generator=g)
        radius = 0.1 + 0.25 * turned[:, 3:6]
        part = torch.sigmoid((1 - ((warped - centre[:, None]) / radius[:, None]).norm(dim=2)) * 12)
        out = out * (1 - part) + part * (0.1 + 0.9 * v((2 * k + 6) % _PARAMETERS))
    return out


def textures(u: Tensor, g: G, size: int) -> Tensor:
    """Noise with a class's own power law, preferred direction and threshold."""
    n, v = len(u), u.view(len(u), _PARAMETERS, 1, 1, 1)
    noise = torch.fft.rfftn(torch.randn(n, size, size, size, generator=g), dim=(1, 2, 3))
    f = torch.fft.fftfreq(size) * size
    fz, fy, fx = torch.meshgrid(f, f, torch.fft.rfftfreq(size) * size, indexing="ij")
    radius = (fx**2 + (1 + 6 * v[:, 0] ** 2) * fy**2 + (1 + 6 * v[:, 1] ** 2) * fz**2).sqrt() + 0.5
    centre = 2 * 4 ** v[:, 2]
    band = torch.exp(-((radius.log() - centre.log()) ** 2) / (2 * (0.15 + 0.5 * v[:, 3]) ** 2))
    x = torch.fft.irfftn(noise * (radius ** -(1 + 2 * v[:, 4]) + band), s=(size,) * 3, dim=(1, 2, 3)).flatten(
        1
    )
    x = (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-6)
    level, hard = u[:, 5:6] - 0.5, u[:, 6:7] > 0.5
    return torch.where(hard, torch.sigmoid((x - level) * 6), (x / 6 + 0.5).clamp(0, 1))


Family = Callable[[Tensor, G, int], Tensor]
FAMILIES: tuple[tuple[Family, bool], ...] = (
    (bodies, True), (bodies, False), (sheets, True), (sheets, False), (tubes, True), (tubes, False),
    (organs, False), (textures, False),
)  # fmt: skip
"""Each family with whether its shapes are given as masks."""


def draw(family: Family, mask: bool, u: Tensor, g: G, size: int) -> Tensor:
    """Volumes of the parameters ``(n, 12)``: uint8 ``(n, size, size, size)``."""
    n = len(u)
    x = family(u, g, size)
    if mask:
        x = (x > 0.5).float()
    else:
        tone = _uniform(g, n, 1, low=0.5, high=1.0)
        ground = _uniform(g, n, 1, high=0.3) + 0.08 * _smooth(g, n, size, 5)
        grain = _uniform(g, n, 1, high=0.08) * torch.randn(n, size**3, generator=g)
        x = (ground + (tone - ground) * x + grain).clamp(0, 1) ** _uniform(g, n, 1, low=0.7, high=1.4)
    return (x * 255).round().to(torch.uint8).view(n, size, size, size)


def volume_cohorts(volumes: int, recipe: Recipe, seed: int, classes: int = 24) -> list[Cohort]:
    """One drawn condition per entry of `FAMILIES`.

    Args:
        volumes: altogether, shared equally; 0 for none.
        recipe: reads volumes; of its slices those at its positions are kept.
        seed: of the drawing.
        classes: of each condition.

    Returns:
        Cohorts whose `modality` is empty: that is how drawn conditions are told from real ones.
    """
    if volumes == 0:
        return []
    each = max(classes, volumes // len(FAMILIES))
    return [_cohort(number, each, recipe, seed, classes) for number in range(len(FAMILIES))]


def _cohort(number: int, count: int, recipe: Recipe, seed: int, classes: int) -> Cohort:
    family, mask = FAMILIES[number]
    name = f"drawn-{family.__name__}-{'masks' if mask else 'scans'}"
    g = _gen(seed, 3, number)
    parameters = _uniform(g, classes, _PARAMETERS)
    labels = torch.arange(count) % classes
    images = np.empty((count, *recipe.shape), np.uint8)
    kept = list(recipe.positions(recipe.size))
    for start in range(0, count, _BATCH):
        chosen = parameters[labels[start : start + _BATCH]]
        u = (chosen + 0.03 * torch.randn(chosen.shape, generator=g)).clamp_(0, 1)
        drawn = draw(family, mask, u, g, recipe.size).numpy()[:, kept]
        images[start : start + _BATCH] = drawn[..., None]
    return Cohort(
        name=name,
        classes=tuple(str(k) for k in range(classes)),
        images=images,
        labels=labels.numpy().astype(np.int64),
        patients=np.arange(count, dtype=np.int64),
        names=("",) * count,
        splits=("",) * count,
        origin=(name,),
        modality="",
    )
