"""Procedural worlds: an inexhaustible supply of picture classes that nobody drew.

A *family* (textures, leaves, fractals, ...) holds any number of *classes*; a class is one
draw of the family's parameters, fixed by ``(family, seed, class)``. Images of a class differ
in their random content, pose, palette and brightness; colour never gives the class away.
Everything is deterministic in the seed and computed in batches. Drawn conditions widen the distribution of
meta-training tasks (after Kataoka et al. 2020, "Pre-training without Natural Images", and Baradad et al.
2021, "Learning to See by Looking at Noise"); they are never evaluated on.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.data.cohort import Cohort
from workbench.data.procedural_volumes import volume_cohorts
from workbench.imaging.recipe import Recipe

G = torch.Generator
Params = dict[str, Tensor]


def _gen(*key: int) -> G:
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))


def _rand(g: G, n: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return torch.rand(n, *shape, generator=g) * (high - low) + low


def _grid(size: int) -> tuple[Tensor, Tensor]:
    a = (torch.arange(size) + 0.5) / size * 2 - 1
    return a.view(1, 1, size).expand(1, size, size), a.view(1, size, 1).expand(1, size, size)


def _unit(x: Tensor) -> Tensor:
    """Stretch every picture to [0, 1]."""
    low, high = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
    return (x - low) / (high - low + 1e-6)


def _columns(u: Tensor) -> Callable[[int], Tensor]:
    """Parameter i of every picture, shaped to multiply pictures."""
    return lambda i: u[:, i].view(len(u), 1, 1)


# Each family: n parameter sets (one per image) and a generator -> (n, size, size) in [0, 1].
def spectral(p: Params, g: G, size: int) -> Tensor:
    """Noise with a class's own power law, preferred direction and frequency band."""
    u = p["u"]
    n = len(u)
    noise = torch.fft.rfft2(torch.randn(n, size, size, generator=g))
    fy = torch.fft.fftfreq(size).view(1, size, 1) * size
    fx = torch.fft.rfftfreq(size).view(1, 1, -1) * size
    v = _columns(u)
    turn = v(0) * math.pi
    a, b = fx * turn.cos() + fy * turn.sin(), -fx * turn.sin() + fy * turn.cos()
    r = (a**2 * (1 + 8 * v(1) ** 2) + b**2).sqrt() + 0.5
    law = r ** -(0.6 + 1.6 * v(2))
    centre = 2 * 8 ** v(3)
    band = torch.exp(-((r.log() - centre.log()) ** 2) / (2 * (0.12 + 0.5 * v(4)) ** 2))
    x = torch.fft.irfft2(noise * (law * 0.3 + band * (v(5) > 0.3)), s=(size, size))
    x = x / (x.std((1, 2), keepdim=True) + 1e-6)
    hard = torch.sigmoid((x - (v(6) - 0.5)) * 6)  # spots and labyrinths
    ridge = 1 - x.abs().clamp(max=2) / 2
    return _unit(torch.where(v(7) < 0.4, x, torch.where(v(7) < 0.75, hard, ridge)))


def gratings(p: Params, g: G, size: int) -> Tensor:
    """Two warped gratings: class sets frequencies, crossing angle, wave form, warp."""
    u = p["u"]
    n = len(u)
    x, y = _grid(size)
    v = _columns(u)
    warp = F.interpolate(torch.randn(n, 2, 4, 4, generator=g), size=(size, size), mode="bicubic")
    x, y = x + warp[:, 0] * 0.3 * v(0), y + warp[:, 1] * 0.3 * v(0)
    base = _rand(g, n, 1, 1, high=math.pi * 2)

    def wave(freq: Tensor, angle: Tensor) -> Tensor:
        t = (x * angle.cos() + y * angle.sin()) * freq + _rand(g, n, 1, 1, high=6.28)
        s = t.sin()
        return torch.where(v(1) < 0.4, s, torch.where(v(1) < 0.7, torch.tanh(5 * s), s.abs()))

    one = wave(6 + 26 * v(2), base)
    two = wave(6 + 26 * v(3), base + v(4) * math.pi)
    rings = torch.sin((x**2 + y**2).sqrt() * (6 + 30 * v(3)) + _rand(g, n, 1, 1, high=6.28))
    return _unit(torch.where(v(5) < 0.33, one, torch.where(v(5) < 0.7, one + two, one * 0.4 + rings)))


def cells(p: Params, g: G, size: int) -> Tensor:
    """Voronoi tissue: class sets density, regularity, walls or fills or distance."""
    u = p["u"]
    n, m = len(u), 60
    v = _columns(u)
    count = (6 + (m - 6) * u[:, 0] ** 1.5).long().view(n, 1)
    k = torch.arange(m).view(1, m)
    side = count.float().sqrt().ceil()
    lattice = torch.stack([(k % side + 0.5) / side, ((k / side).floor() + 0.5) / side], 2) * 2 - 1
    free = _rand(g, n, m, 2, low=-1, high=1)
    mix = (u[:, 1] ** 0.7).view(n, 1, 1)
    pts = lattice + (free * 1.6 / side.unsqueeze(2)) * mix
    x, y = _grid(size)
    q = torch.stack([x.reshape(1, -1), y.reshape(1, -1)], 2).expand(n, -1, -1)
    d = torch.cdist(q, pts) + (k >= count).unsqueeze(1) * 10.0
    near, idx = d.topk(2, dim=2, largest=False)
    f1, f2 = near[..., 0].view(n, size, size), near[..., 1].view(n, size, size)
    shade = torch.gather(_rand(g, n, m), 1, idx[..., 0]).view(n, size, size)
    wall = torch.sigmoid(((f2 - f1) - 0.02 - 0.1 * v(3)) * 60)
    dot = torch.sigmoid((0.04 + 0.12 * v(4) - f1) * 60)
    out = torch.where(v(5) < 0.3, shade, torch.where(v(5) < 0.5, f1 * 2, shade * 0.3 + 0.5))
    return _unit(out * (0.3 + 0.7 * wall) - (v(6) > 0.5) * dot * 0.6)


def leaves(p: Params, g: G, size: int) -> Tensor:
    """Dead leaves: overlapping shapes; class sets sizes, elongation, shape, shading."""
    u = p["u"]
    n, m = len(u), 48
    x, y = _grid(size)
    v = _columns(u)
    out = _rand(g, n, 1, 1).expand(n, size, size).clone()
    align = _rand(g, n, 1, 1, high=math.pi)
    power = 1 + 3 * v(0) ** 2  # 1 diamond, 2 ellipse, 4 box
    for _ in range(m):
        r = (0.06 + 0.3 * v(1)) * _rand(g, n, 1, 1, low=0.2) ** (2 * v(2))
        angle = align + (_rand(g, n, 1, 1) - 0.5) * math.pi * v(3)
        dx, dy = x - _rand(g, n, 1, 1, low=-1.1, high=1.1), y - _rand(g, n, 1, 1, low=-1.1, high=1.1)
        a = (dx * angle.cos() + dy * angle.sin()).abs() / r
        b = (dy * angle.cos() - dx * angle.sin()).abs() / (r * (0.25 + 0.75 * v(4)))
        f = (a.clamp(min=1e-3) ** power + b.clamp(min=1e-3) ** power).clamp(max=4)
        shade = _rand(g, n, 1, 1) + torch.where(v(5) > 0.6, 0.4 * (1 - f), torch.zeros(()))
        shade = torch.where((v(6) > 0.6) & (f > 0.7), shade * 0.2, shade)
        out = torch.where(f < 1, shade, out)
    return _unit(out)


def blobs(p: Params, g: G, size: int) -> Tensor:
    """A smear: separate bodies with rim, nucleus, lobes or spikes on a plain ground."""
    u = p["u"]
    n = len(u)
    x, y = _grid(size)
    v = _columns(u)
    out = torch.zeros(n, size, size)
    count = (1 + 11 * u[:, 0] ** 2).long().view(n, 1, 1)
    for k in range(12):
        single = count == 1
        spread = torch.where(single, torch.tensor(0.25), torch.tensor(0.95))
        r = torch.where(single, 0.35 + 0.35 * v(1), (0.1 + 0.25 * v(1)))
        r = r * _rand(g, n, 1, 1, low=0.8, high=1.2)
        angle = _rand(g, n, 1, 1, high=6.28)
        dx = x - _rand(g, n, 1, 1, low=-1, high=1) * spread
        dy = y - _rand(g, n, 1, 1, low=-1, high=1) * spread
        a, b = dx * angle.cos() + dy * angle.sin(), dy * angle.cos() - dx * angle.sin()
        b = b / (0.4 + 0.6 * v(2))
        phi = torch.atan2(b, a)
        wob = 1 + 0.3 * v(3) ** 2 * torch.sin(phi * (2 + 9 * v(4)).floor())
        f = (a * a + b * b).sqrt() / (r * wob)
        edge = torch.sigmoid((1 - f) * 25)
        tone = 0.5 + 0.3 * torch.where(v(5) < 0.33, f, torch.where(v(5) < 0.66, 1 - f, torch.zeros(())))
        rim = (v(6) > 0.5) * 0.35 * torch.exp(-(((f - 0.9) / 0.1) ** 2))
        off = 0.5 * v(9) * r
        na, nb = (a - off) / r, b / r
        lobe = 1 + 0.5 * (v(8) > 0.5) * torch.sin(torch.atan2(nb, na) * (1 + 3 * v(8)).floor())
        nuc = torch.sigmoid((0.2 + 0.5 * v(7) - (na**2 + nb**2).sqrt() * lobe) * 25) * (v(7) > 0.3) * 0.4
        out = torch.where((k < count) & (edge > 0.02), out * (1 - edge) + edge * (tone + rim + nuc), out)
    grain = F.interpolate(torch.randn(n, 1, 16, 16, generator=g), size=(size, size), mode="bicubic")
    return _unit(out + 0.04 * grain[:, 0])


def phantoms(p: Params, g: G, size: int) -> Tensor:
    """Nested organs: a body with parts at class-given places, plus speckle."""
    u = p["u"]
    n = len(u)
    x, y = _grid(size)
    x = x - _rand(g, n, 1, 1, low=-0.12, high=0.12)
    y = y - _rand(g, n, 1, 1, low=-0.12, high=0.12)
    turn = _rand(g, n, 1, 1, low=-0.35, high=0.35)
    x, y = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    warp = F.interpolate(torch.randn(n, 2, 4, 4, generator=g), size=(size, size), mode="bicubic")
    x, y = x + 0.05 * warp[:, 0], y + 0.05 * warp[:, 1]
    out = torch.zeros(n, size, size)
    w = p["w"]  # (n, 7 parts, 6)
    for k in range(7):
        q = [w[:, k, i].view(n, 1, 1) + 0.06 * (_rand(g, n, 1, 1) - 0.5) for i in range(6)]
        first = k == 0
        cx, cy = ((q[0] - 0.5) * (0.1 if first else 1.0), (q[1] - 0.5) * (0.1 if first else 1.0))
        rx, ry = (
            (0.55 + 0.35 * q[2], 0.55 + 0.35 * q[3]) if first else (0.08 + 0.25 * q[2], 0.08 + 0.25 * q[3])
        )
        f = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
        e = torch.sigmoid((1 - f) * 12)
        out = out * (1 - e) + e * q[4] if not first else e * (0.3 + 0.4 * q[4])
    grain = torch.randn(n, size, size, generator=g)
    level = w[:, 0, 5].view(n, 1, 1)
    return _unit(out * (1 + 0.3 * level * grain) + 0.03 * grain)


def vessels(p: Params, g: G, size: int) -> Tensor:
    """Threads: random walks drawn as soft tubes; class sets number, width, bending."""
    u = p["u"]
    n, steps = len(u), 24
    v = _columns(u)
    lines = 6
    pos = _rand(g, n, lines, 2, low=-0.9, high=0.9)
    radial = (v(4) > 0.5).expand(n, lines, 1)
    pos = torch.where(radial, pos * 0.1, pos)
    heading = _rand(g, n, lines, high=6.28)
    pts = []
    bend = (0.9 * u[:, 0] ** 2).view(n, 1)
    drift = torch.zeros(n, lines)
    for _ in range(steps):
        drift = 0.7 * drift + bend * torch.randn(n, lines, generator=g)
        heading = heading + drift + (u[:, 1].view(n, 1) - 0.5) * 0.4
        pos = pos + 0.08 * torch.stack([heading.cos(), heading.sin()], 2)
        pts.append(pos)
    path = torch.stack(pts, 2)  # n, lines, steps, 2
    number = (1 + (lines - 1) * u[:, 2]).round().view(n, 1)
    path = path + ((torch.arange(lines) >= number) * 20.0).view(n, lines, 1, 1)
    x, y = _grid(size)
    q = torch.stack([x.reshape(1, -1), y.reshape(1, -1)], 2).expand(n, -1, -1)
    d = torch.cdist(q, path.reshape(n, -1, 2)).amin(2).view(n, size, size)
    width = 0.03 + 0.09 * v(3)
    out = torch.where(v(5) > 0.6, torch.exp(-(((d - width) / 0.03) ** 2)), torch.sigmoid((width - d) * 50))
    grain = F.interpolate(torch.randn(n, 1, 12, 12, generator=g), size=(size, size), mode="bicubic")
    return _unit(out + 0.12 * v(6) * grain[:, 0])


def fractals(p: Params, g: G, size: int) -> Tensor:
    """Iterated function systems played as a chaos game; class sets the four maps."""
    w = p["w"]  # n, 7, 6
    n, walkers, steps = len(w), 160, 40
    maps = (w[:, :4] - 0.5) * 2 + 0.06 * torch.randn(n, 4, 6, generator=g)
    m = maps[..., :4].reshape(n, 4, 2, 2)
    m = (
        m
        / torch.linalg.matrix_norm(m, keepdim=True).clamp(min=0.3)
        * (0.5 + 0.45 * w[:, 4, :4].view(n, 4, 1, 1))
    )
    shift = maps[..., 4:]
    pos = torch.zeros(n, walkers, 2)
    row = torch.arange(n).view(n, 1)
    dots = []
    for k in range(steps):
        pick = torch.randint(0, 4, (n, walkers), generator=g)
        pos = torch.einsum("nwij,nwj->nwi", m[row, pick], pos) + shift[row, pick]
        if k >= 8:
            dots.append(pos)
    pts = torch.cat(dots, 1)
    low, high = pts.amin(1, keepdim=True), pts.amax(1, keepdim=True)
    ij = ((pts - low) / (high - low + 1e-4) * (size * 0.9 - 1) + size * 0.05).long().clamp(0, size - 1)
    flat = ij[..., 1] * size + ij[..., 0] + row * size * size
    hist = torch.bincount(flat.reshape(-1), minlength=n * size * size).float().view(n, 1, size, size)
    soft = F.avg_pool2d(hist, 3, 1, 1) * 0.6 + hist * 0.4
    return _unit((soft[:, 0] + 0.05).log())


FAMILIES: dict[str, Callable[[Params, G, int], Tensor]] = {
    f.__name__: f for f in (spectral, gratings, cells, leaves, blobs, phantoms, vessels, fractals)
}


def _palette(x: Tensor, g: G, grey: float) -> Tensor:
    """Grey value to colour through a random three-point palette; a share stays grey."""
    n = len(x)
    stops = _rand(g, n, 3, 3)
    tone = torch.tensor([0.05, 0.5, 0.95]).view(1, 3, 1)
    flip = torch.rand(n, 1, 1, generator=g) < 0.4
    tone = torch.where(flip, 1 - tone, tone.expand(n, 3, 1))
    stops = tone + (stops - tone) * _rand(g, n, 1, 1, high=0.7)
    plain = torch.rand(n, 1, 1, generator=g) < grey
    stops = torch.where(plain, tone.expand(n, 3, 3), stops)
    t = x.unsqueeze(1) * 2
    a, b, c = (stops[:, i].view(n, 3, 1, 1) for i in range(3))
    return torch.where(t < 1, a + (b - a) * t, b + (c - b) * (t - 1))


def world(
    kind: str, seed: int, n: int, size: int = 64, classes: int = 16, grey: float = 0.5, batch: int = 128
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Render n images of one family: uint8 (n, size, size, 3) and class labels (n,).

    The classes are drawn by (kind, seed); the same arguments always give the same bytes on
    one machine. A share `grey` of the pictures has no colour.
    """
    family = FAMILIES[kind]
    key = list(FAMILIES).index(kind)
    g = _gen(seed, key)
    u, w = _rand(g, classes, 12), _rand(g, classes, 7, 6)
    y = torch.arange(n) % classes
    out = np.empty((n, size, size, 3), np.uint8)
    for start in range(0, n, batch):
        k = y[start : start + batch]
        p = {
            "u": (u[k] + 0.04 * torch.randn(len(k), 12, generator=g)).clamp_(0, 1),
            "w": w[k],
        }
        x = family(p, g, size)
        x = x.clamp(0, 1) ** _rand(g, len(k), 1, 1, low=0.7, high=1.4)
        rgb = _palette(x, g, grey)
        out[start : start + len(k)] = (rgb.clamp(0, 1) * 255).byte().permute(0, 2, 3, 1).numpy()
    return out, y.numpy()


def procedural_cohorts(images: int, recipe: Recipe, seed: int, classes: int = 24) -> list[Cohort]:
    """One drawn condition per family; of volumes where the recipe reads volumes (`procedural_volumes`).

    Args:
        images: altogether, shared equally among the families; 0 for none.
        recipe: gives size and channels.
        seed: of the drawing.
        classes: of each condition.

    Returns:
        Cohorts whose `modality` is empty: that is how drawn conditions are told from real ones.
    """
    if images == 0:
        return []
    if recipe.dims == 3:
        return volume_cohorts(images, recipe, seed, classes)
    each = max(classes, images // len(FAMILIES))
    return [_cohort(kind, each, recipe, seed, classes) for kind in FAMILIES]


def _cohort(kind: str, count: int, recipe: Recipe, seed: int, classes: int) -> Cohort:
    pictures, labels = world(kind, seed, count, recipe.size, classes)
    if recipe.channels == 1:
        pictures = pictures.mean(axis=3, keepdims=True).astype(np.uint8)
    return Cohort(
        name=f"drawn-{kind}",
        classes=tuple(str(k) for k in range(classes)),
        images=pictures,
        labels=labels.astype(np.int64),
        patients=np.arange(count, dtype=np.int64),
        names=("",) * count,
        splits=("",) * count,
        origin=(f"drawn-{kind}",),
        modality="",
    )
