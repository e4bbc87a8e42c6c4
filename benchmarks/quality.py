"""How often quality findings are wrong, and how much they find, on public sets.

    python -m benchmarks.quality --data ../shared/data --images 60
    python -m benchmarks.quality --data ../shared/data --only text

Each part takes images of every set as they are (a finding there is a false alarm, unless the image really has
the fault: the command names such files with --list) and copies with the fault put in (a finding there is a
hit). Thresholds were set on other draws from the same sets; with small sets some images are in both.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from workbench.data.items import array_scan
from workbench.data.near import near_copies
from workbench.data.quality import set_findings
from workbench.evaluation.statistics import Proportion, proportion
from workbench.imaging.quality import quality_findings

Grey = npt.NDArray[np.uint8]
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10")
TEXTS = (
    "DOE JANE 12.03.1961",
    "ID 482913-77",
    "Smith, John 45Y M",
    "2019-04-17 10:22",
    "MI 1.2 TIs 0.4 25 fps",
)
SIZES = (10, 12, 16, 20, 28)
BLURS = (0.02, 0.03, 0.04, 0.06)


@dataclass
class Tally:
    """Hits and trials by name of a condition."""

    hits: dict[str, int] = field(default_factory=dict)
    trials: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, hit: bool) -> None:
        """One more trial."""
        self.hits[name] = self.hits.get(name, 0) + hit
        self.trials[name] = self.trials.get(name, 0) + 1

    def of(self, name: str) -> Proportion:
        """The proportion with its interval."""
        return proportion(self.hits.get(name, 0), self.trials.get(name, 0))

    def rows(self) -> list[str]:
        """A line of text for each name."""
        return [f"  {name:42} {self.of(name)}" for name in self.trials]


def pictures(folder: Path, count: int, salt: str = "measured") -> list[tuple[Path, Image.Image]]:
    """Some images of a set, chosen by the hash of their names."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    files.sort(key=lambda p: hashlib.sha256(f"{salt}{p.name}".encode()).digest())
    return [(p, Image.open(p).convert("RGB")) for p in files[:count]]


def codes(picture: npt.NDArray[np.uint8]) -> set[str]:
    """Codes of the findings of an image."""
    return {f.code for f in quality_findings(array_scan(picture, "image", "OT"))}


def grey(picture: Image.Image) -> Grey:
    """Luma of an image."""
    return np.asarray(picture.convert("L"))


def recompressed(picture: Grey, quality: int) -> Grey:
    """The image after JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("L"))


def moved(picture: Grey, share: float, angle: float) -> Grey:
    """Averaged along a line of `share` of the longer side (at least three pixels), in some direction."""
    length = max(3.0, share * max(picture.shape))
    side = int(np.ceil(length)) | 1
    kernel = np.zeros((side, side))
    for t in np.linspace(-length / 2, length / 2, 8 * side):
        y, x = (side - 1) / 2 + t * np.sin(angle), (side - 1) / 2 + t * np.cos(angle)
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= row < side and 0 <= column < side:
                    kernel[row, column] += (1 - abs(y - row)) * (1 - abs(x - column))
    blurred = ndimage.convolve(picture.astype(np.float64), kernel / kernel.sum(), mode="nearest")
    return np.asarray(blurred.round().clip(0, 255).astype(np.uint8))


def written_on(picture: Grey, size: int, rng: np.random.Generator) -> Grey:
    """With a line of text somewhere, and through JPEG."""
    font = ImageFont.truetype(
        str(Path(matplotlib.get_data_path(), "fonts/ttf", f"{FONTS[rng.integers(len(FONTS))]}.ttf")), size
    )
    text = TEXTS[rng.integers(len(TEXTS))]
    rows, columns = picture.shape
    while font.getlength(text) > columns - 4 and len(text) > 6:
        text = text[:-2]
    width = int(font.getlength(text))
    x = int(rng.integers(1, max(2, columns - width - 1)))
    y = int(rng.choice([2, rows - size - 4, rng.integers(2, max(3, rows - size - 4))]))
    level = 255 if picture[y : y + size, x : x + width].mean() < 150 else 0
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    draw.fontmode = "L" if rng.random() < 0.7 else "1"
    if rng.random() < 0.25:
        draw.rectangle((x - 2, y - 1, x + width + 2, y + size + 3), fill=255 - level)
    draw.text((x, y), text, fill=level, font=font)
    return recompressed(np.asarray(image), int(rng.integers(70, 96)))


def measure_scans(sets: Sequence[Path], count: int, name_files: bool, only: str) -> None:
    """Findings of single scans: text, blur, clipping, coloured marks."""
    false, found = Tally(), Tally()
    by_set = {code: Tally() for code in ("text-in-pixels", "motion-blur", "clipped", "coloured-marks")}
    for folder in sets:
        for number, (path, picture) in enumerate(pictures(folder, count)):
            plane = grey(picture)
            rng = np.random.default_rng(number)
            said = codes(np.asarray(picture))
            for code, tally in by_set.items():
                false.add(code, code in said)
                tally.add(folder.name, code in said)
                if name_files and code in said:
                    print(f"  {code}: {folder.name}/{path.name}")
            if only in ("", "text") and min(plane.shape) >= 96:
                for size in SIZES:
                    hit = "text-in-pixels" in codes(written_on(plane, size, rng))
                    found.add(f"text of {size} px", hit)
            if only in ("", "blur"):
                for share in BLURS:
                    blurred = moved(plane, share, np.pi * (number % 8) / 8)
                    found.add(f"blur over {100 * share:.0f} % of the side", "motion-blur" in codes(blurred))
            if only in ("", "clipped"):
                for gain in (1.5, 2.5):
                    bright = recompressed((plane * gain).clip(0, 255).astype(np.uint8), 90)
                    if (plane * gain >= 255).mean() >= 0.2:
                        found.add(f"clipped, brightness x {gain}", "clipped" in codes(bright))
    print("\nFalse alarms, images as they are")
    print("\n".join(false.rows()))
    for code, tally in by_set.items():
        worst = sorted(tally.trials, key=lambda name: -tally.of(name).value)[:3]
        print(f"  {code}, worst sets: " + "; ".join(f"{name} {tally.of(name)}" for name in worst))
    print("\nFound, copies with the fault put in")
    print("\n".join(found.rows()))


def measure_sets(sets: Sequence[Path], count: int) -> None:
    """Findings among scans: inverted ones and near-copies."""
    false, found = Tally(), Tally()
    copies: dict[str, Callable[[Image.Image], Image.Image]] = _copies()
    for folder in sets:
        drawn = [picture for _, picture in pictures(folder, count)]
        for start in range(0, len(drawn) - 19, 20):
            batch = drawn[start : start + 20]
            pairs = near_copies([grey(p) for p in batch])
            false.add("near-copy, sets of 20 with such a pair", bool(pairs))
            for code in _codes_of(batch):
                false.add("inverted, scans", "inverted" in code)
            turned = [Image.fromarray(255 - np.asarray(batch[0])), *batch[1:]]
            found.add("inverted, one of 20", "inverted" in _codes_of(turned)[0])
            for name, change in copies.items():
                looks = [grey(change(batch[0])), *map(grey, batch)]
                found.add(f"near-copy by hash, {name}", (0, 1) in near_copies(looks))
    print("\nFalse alarms among scans (some near-copies are real: neighbouring slices of one patient)")
    print("\n".join(false.rows()))
    print("\nFound")
    print("\n".join(found.rows()))


def _codes_of(batch: Sequence[Image.Image]) -> list[set[str]]:
    from workbench.data.examples import Example

    scans = [array_scan(np.asarray(picture), "image", "OT") for picture in batch]
    return [
        {f.code for f in found}
        for found in set_findings([Example(scan, "a", str(row)) for row, scan in enumerate(scans)])
    ]


def _copies() -> dict[str, Callable[[Image.Image], Image.Image]]:
    def cropped(picture: Image.Image, share: float) -> Image.Image:
        x, y = int(picture.width * share), int(picture.height * share)
        return picture.crop((x, y, picture.width - x, picture.height - y))

    return {
        "JPEG 60": lambda p: Image.fromarray(recompressed(grey(p), 60)).convert("RGB"),
        "two thirds of the size": lambda p: p.resize((p.width * 2 // 3, p.height * 2 // 3)),
        "darker": lambda p: p.point(lambda v: round(0.8 * v + 20)),
        "4 % cropped": lambda p: cropped(p, 0.02),
        "turned by 2 degrees": lambda p: p.rotate(2, Image.Resampling.BILINEAR),
    }


def measure_embedding(sets: Sequence[Path], weights: str, count: int, draws: int = 600) -> None:
    """Findings from the embedding: a scan of another set among 19 of one, and copies."""
    import torch

    from workbench.adaptation.model import load_weights
    from workbench.adaptation.similar import COPY, unlike

    learner = load_weights(weights).learner

    def embed(drawn: Sequence[Image.Image]) -> npt.NDArray[np.float64]:
        scans = [array_scan(np.asarray(p), "image", "OT") for p in drawn]
        features = learner.features(learner.recipe.batch(scans)).flatten(1)
        return np.asarray(torch.nn.functional.normalize(features, dim=1).double().numpy())

    drawn = {folder.name: [p for _, p in pictures(folder, count)] for folder in sets}
    embeddings = {name: embed(some) for name, some in drawn.items()}
    false, found = Tally(), Tally()
    names, rng = list(embeddings), np.random.default_rng(0)
    for _ in range(draws):
        home, abroad = rng.choice(len(names), 2, replace=False)
        own, foreign = embeddings[names[home]], embeddings[names[abroad]]
        rows = rng.choice(len(own), 20, replace=False)
        for hit in unlike(_apart(own[rows])):
            false.add("unlike-others, scans of sets of 20", bool(hit))
        mixed = np.concatenate([foreign[rng.integers(len(foreign))][None], own[rows[1:]]])
        found.add("unlike-others, one of 20 from another set", bool(unlike(_apart(mixed))[0]))
    for name, own in embeddings.items():
        nearest = _apart(own).min(axis=1)
        usual = float(np.median(nearest))
        for distance in nearest:
            false.add("near-copy by embedding, scans", bool(distance < COPY * usual))
        for kind, change in _copies().items():
            changed = embed([change(p) for p in drawn[name][:12]])
            for row, other in enumerate(changed):
                close = float(np.linalg.norm(own[row] - other)) < COPY * usual
                found.add(f"near-copy by embedding, {kind}", close)
    print(f"\nFalse alarms by the embedding of {weights!r}")
    print("\n".join(false.rows()))
    print("\nFound")
    print("\n".join(found.rows()))


def _apart(embeddings: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from workbench.adaptation.similar import pairwise

    distances = pairwise(embeddings)
    np.fill_diagonal(distances, np.inf)
    return distances


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of sets, each a folder of images")
    parser.add_argument("--images", type=int, default=60, help="of each set")
    parser.add_argument("--only", choices=("text", "blur", "clipped", "sets", "embedding"), default="")
    parser.add_argument("--weights", default="general")
    parser.add_argument("--list", action="store_true", help="name the files behind false alarms")
    given = parser.parse_args()
    sets = [p for p in sorted(given.data.iterdir()) if p.is_dir() and len(pictures(p, 20)) == 20]
    print(f"{len(sets)} sets: {', '.join(p.name for p in sets)}")
    if given.only in ("", "text", "blur", "clipped"):
        measure_scans(sets, given.images, given.list, given.only)
    if given.only in ("", "sets"):
        measure_sets(sets, given.images)
    if given.only in ("", "embedding"):
        measure_embedding(sets, given.weights, given.images)


if __name__ == "__main__":
    main()
