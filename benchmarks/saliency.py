"""Does a saliency map depend on the model, and does it find what decides?

    python -m benchmarks.saliency --help

Model randomisation (Adebayo et al. 2018): the encoder is replaced by a freshly initialised one, the adapted
head kept. A map that hardly changes (Spearman's correlation over pixels of 0.3 or more) shows the image's
edges and not the model.

Localisation: scans of one condition get labels by lot and one class a mark at a random place. On further
marked scans the map's maximum should lie in the mark (the "pointing game").
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.support_quality import CONDITIONS
from benchmarks.throughput import processor_name
from workbench.adaptation.saliency import METHODS, SaliencyMethod, image_saliency
from workbench.data.catalogue import get_card
from workbench.data.cohort import Cohort, load_cohort
from workbench.data.examples import Features, Support
from workbench.evaluation.contestants import UNTRAINED, contestants, fresh
from workbench.evaluation.statistics import mean_interval, proportion
from workbench.learners.base import Classifier, Learner

LIMIT = 0.3
MARK = 8
"""Side of a planted mark in pixels, at 64 px."""


@dataclass(frozen=True, slots=True)
class MapOf:
    """What was measured on the map of one image.

    Attributes:
        condition, method: see there.
        correlation: with the map after the encoder was randomised, -1 to 1.
        hit: whether the maximum of the map of a marked image lies in its mark (with a margin of 2 px).
        share: of the image that the mark with its margin takes: the chance of a hit by guessing.
        seconds: processor time of one map.
    """

    condition: str
    method: SaliencyMethod
    correlation: float
    hit: bool
    share: float
    seconds: float


def main() -> None:
    """See the module's description."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.saliency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="separated by commas")
    parser.add_argument("--images", type=int, default=6, help="of each condition")
    parser.add_argument("--shots", type=int, default=10, help="patients per class")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/saliency.md"), help="the table")
    parser.add_argument("--json", type=Path, default=Path("docs/benchmarks/saliency.json"), help="figures")
    parser.add_argument("--render", action="store_true", help="only write the table of the stored figures")
    options = parser.parse_args()
    if options.render:
        stored = [MapOf(**one) for one in json.loads(options.json.read_text(encoding="utf-8"))]
        options.out.write_text(_report(stored, options), encoding="utf-8")
        return
    torch.set_num_threads(1)
    (contestant,) = contestants("general", ("prototypical",))
    learner = contestant.learner
    found: list[MapOf] = []
    for number, name in enumerate(options.conditions.split(",")):
        random = fresh(UNTRAINED, learner.name, {}, learner.spec, learner.recipe, seed=number).learner
        cohort = load_cohort(get_card(name), learner.recipe, progress=False)
        found += measure(learner, random, cohort, options.shots, options.images, seed=number)
        print(name, *(_so_far(found, name, method) for method in METHODS), flush=True)
    options.json.write_text(json.dumps([asdict(f) for f in found]) + "\n", encoding="utf-8")
    options.out.write_text(_report(found, options), encoding="utf-8")


def measure(
    learner: Learner, random: Learner, cohort: Cohort, shots: int, images: int, seed: int
) -> list[MapOf]:
    """All methods on further images of one condition; see the module's description.

    Args:
        learner: adapts.
        random: with the same head on a random encoder.
        cohort: the condition.
        shots: per class.
        images: further images that are looked at.
        seed: of the drawing.
    """
    rng = np.random.default_rng([seed, 17])
    natural, rest = _support(cohort, shots, rng)
    adapted = learner.adapt(natural)
    chosen = rest[:images]
    marked, marked_rest = _marked_support(cohort, shots, rng)
    reader = learner.adapt(marked)
    found = []
    for row, other in zip(chosen.tolist(), marked_rest[:images].tolist(), strict=True):
        image = torch.from_numpy(np.array(cohort.images[row]))
        predicted = int(adapted.predict(image[None]).probabilities[0].argmax())
        with_mark, inside = _mark(np.array(cohort.images[other]), rng)
        for method in METHODS:
            start = time.process_time()
            trained = image_saliency(adapted, image, predicted, method)
            seconds = time.process_time() - start
            untrained = image_saliency(randomised(adapted, random), image, predicted, method)
            where = image_saliency(reader, torch.from_numpy(with_mark), 1, method)
            found.append(
                MapOf(
                    cohort.name,
                    method,
                    rank_correlation(trained, untrained),
                    bool(inside.flatten()[int(where.argmax())]),
                    float(inside.mean()),
                    seconds,
                )
            )
    return found


def randomised(classifier: Classifier, random: Learner) -> Classifier:
    """The same head on another learner's encoder."""
    features = Features(torch.zeros(1, random.backbone.dim))
    return Classifier(
        random, classifier.head, classifier.classes, features, torch.zeros(1, dtype=torch.int64)
    )


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's over pixels; 0 where a map is flat."""
    value = float(spearmanr(first.flatten().numpy(), second.flatten().numpy()).statistic)
    return 0.0 if np.isnan(value) else value


def _so_far(found: Sequence[MapOf], condition: str, method: SaliencyMethod) -> str:
    values = [f.correlation for f in found if (f.condition, f.method) == (condition, method)]
    return f"{method}: {np.mean(values):.2f}"


def _support(cohort: Cohort, shots: int, rng: np.random.Generator) -> tuple[Support, np.ndarray]:
    """Labelled images of each class, and rows of other patients in random order."""
    order = rng.permutation(len(cohort))
    _, first = np.unique(cohort.patients[order], return_index=True)
    single = order[np.sort(first)]
    taken = np.concatenate([single[cohort.labels[single] == k][:shots] for k in range(len(cohort.classes))])
    rest = single[~np.isin(single, taken)]
    support = Support(
        torch.from_numpy(np.array(cohort.images[taken])),
        torch.from_numpy(cohort.labels[taken]),
        cohort.classes,
        tuple(map(str, cohort.patients[taken].tolist())),
    )
    return support, rest


def _marked_support(cohort: Cohort, shots: int, rng: np.random.Generator) -> tuple[Support, np.ndarray]:
    rows = rng.permutation(len(cohort))
    taken = rows[: 2 * shots]
    labels = np.repeat([0, 1], shots)
    images = np.array(cohort.images[taken])
    for place in np.flatnonzero(labels):
        images[place], _ = _mark(images[place], rng)
    codes = tuple(map(str, taken.tolist()))
    support = Support(torch.from_numpy(images), torch.from_numpy(labels), ("plain", "marked"), codes)
    return support, rows[2 * shots :]


def _mark(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A white cross on a black square at a random place, and where it is with a margin of 2 px."""
    size = image.shape[0]
    top, left = rng.integers(2, size - MARK - 2, 2)
    made = image.copy()
    made[top : top + MARK, left : left + MARK] = 0
    made[top + 3 : top + 5, left : left + MARK] = 255
    made[top : top + MARK, left + 3 : left + 5] = 255
    inside = np.zeros(image.shape[:2], dtype=bool)
    inside[top - 2 : top + MARK + 2, left - 2 : left + MARK + 2] = True
    return made, inside


def _report(found: Sequence[MapOf], options: argparse.Namespace) -> str:
    conditions = tuple(dict.fromkeys(f.condition for f in found))
    chance = float(np.mean([f.share for f in found]))
    lines = [
        "# Saliency: does a map depend on the model, and does it find what decides?",
        "",
        f"Made by `python -m benchmarks.saliency` on {date.today()}: {processor_name()}, 1 thread; Python "
        f"{platform.python_version()}, torch {torch.__version__}. Weights `general`, prototypical networks, "
        f"{options.shots} labelled patients per class, {options.images} further images of each of "
        f"{len(conditions)} held-out conditions.",
        "",
        "*Correlation*: Spearman's over pixels between the map and the map after the encoder was replaced by "
        "a freshly initialised one (head kept), mean over images with its 95 % interval. *Hits*: maps "
        f"whose maximum lies in a planted mark of {MARK} x {MARK} px (2 px margin) that decides the label, "
        f"exact 95 % interval; by guessing {100 * chance:.0f} %. A method is offered where the upper limit "
        f"of the correlation is below {LIMIT} and the lower limit of the hits above guessing.",
        "",
        "The encoder reads an image at several depths and joins its edges and a thumbnail, which nothing "
        "trains and no randomisation changes: some correlation is the model's own.",
        "",
        "| method | correlation | hits | offered | s per map | " + " | ".join(conditions) + " |",
        "|---|---|---|---|---|" + "---|" * len(conditions),
    ]
    for method in METHODS:
        mine = [f for f in found if f.method == method]
        whole = mean_interval(np.array([f.correlation for f in mine]))
        each = [f"{np.mean([f.correlation for f in mine if f.condition == c]):.2f}" for c in conditions]
        hits = proportion(sum(f.hit for f in mine), len(mine))
        offered = "yes" if whole.high < LIMIT and hits.low > chance else "no"
        seconds = float(np.median([f.seconds for f in mine]))
        lines.append(f"| {method} | {whole} | {hits} | {offered} | {seconds:.2f} | {' | '.join(each)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
