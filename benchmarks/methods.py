"""What each method costs: one meta-training step, one adaptation, and memory, with its inner steps.

    python -m benchmarks.methods --help

Conv-4 with 64 channels at 28 px and default options; a step is 4 episodes of 5-way 5-shot with 15 queries per
class (for methods trained on labelled images: as many images). An adaptation is to one support of 25 images,
on the whole network and on a neck (64 units on a frozen network whose embeddings, 1,344 numbers, are cached).
Every method runs in a process of its own, so that its peak memory is its own. Seconds are processor time;
drawn images.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch

from benchmarks.throughput import processor_name
from workbench.backbones import BackboneSpec
from workbench.data.examples import Features, Support
from workbench.data.pool import LabelledBatch, MetaBatch
from workbench.imaging.recipe import Recipe
from workbench.learners import learners
from workbench.learners.base import Diet, Learner
from workbench.learners.files import create

VARIANTS: dict[str, dict[str, object]] = {
    "maml (first order)": {"first_order": True},
    "maml++": {"multi_step_loss": 0.5, "per_step_rates": True},
}
"""Options of MAML that are methods of their own; of MAML++ its costlier part, of second order."""
WAY, SHOT, QUERY, EPISODES, CLASSES = 5, 5, 15, 4, 20


@dataclass(frozen=True, slots=True)
class Cost:
    """What one method costs.

    Attributes:
        method: name of the learner, or of a variant of MAML.
        diet: what a step consists of.
        steps: inner steps in meta-training; 0 where there are none.
        test_steps: inner steps of an adaptation.
        step_seconds: median processor seconds of a meta-training step, gradient and optimiser included; NaN
            where the method has no meta-training.
        memory_mib: growth of the process's peak memory by these steps.
        adapt_milliseconds: median processor time of an adaptation to 25 images, their embedding included.
        neck_milliseconds: of an adaptation to 25 cached embeddings.
    """

    method: str
    diet: str
    steps: int
    test_steps: int
    step_seconds: float
    memory_mib: float
    adapt_milliseconds: float
    neck_milliseconds: float


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.methods",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--methods", default="", help="names, comma-separated; all by default")
    parser.add_argument("--turns", type=int, default=7, help="steps and adaptations to take the median of")
    parser.add_argument("--threads", type=int, default=1, help="threads of arithmetic")
    where = "folder for methods.md and methods.json"
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"), help=where)
    given = parser.parse_args()
    names = [name.strip() for name in given.methods.split(",") if name.strip()] or sorted(
        [*learners(), *VARIANTS]
    )
    costs = []
    for name in names:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            costs.append(pool.apply(measure, (name, given.turns, given.threads)))
        print(f"{name}: {costs[-1].step_seconds:.3f} s, {costs[-1].memory_mib:.0f} MiB", flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "methods.json").write_text(
        json.dumps([_finite(asdict(cost)) for cost in costs], indent=1) + "\n", encoding="utf-8"
    )
    (given.out / "methods.md").write_text(as_markdown(costs, given.turns, given.threads), encoding="utf-8")


def measure(name: str, turns: int, threads: int) -> Cost:
    """The cost of one method, in this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    method, chosen = ("maml", VARIANTS[name]) if name in VARIANTS else (name, {})
    kind = learners()[method]
    labelled = kind.diet is Diet.LABELLED
    recipe = Recipe(size=28, channels=3)
    options = {"classes": CLASSES} if labelled else chosen
    learner = create(method, BackboneSpec("conv4", 3, 28, 64), recipe, None, options)
    step_seconds, memory = float("nan"), float("nan")
    if kind.diet is not Diet.NONE:
        batch = _labelled(learner.views) if labelled else _episodes()
        optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], lr=1e-4)

        def step() -> None:
            optimizer.zero_grad()
            learner.train().training_loss(batch).value.backward()
            optimizer.step()

        before = _peak()
        step()
        step_seconds = _median(step, turns)
        memory = _peak() - before
    images = _images(WAY * SHOT)
    adapt = _median(lambda: learner.adapt(_support(learner, images)), turns)
    spec = BackboneSpec("multiscale-resnet10", 3, 64, 32, neck=64)
    necked = create(method, spec, Recipe(size=64, channels=3), None, chosen)
    cached = Features(torch.nn.functional.normalize(torch.randn(WAY * SHOT, necked.backbone.dim), dim=1))
    on_neck = float("nan")
    if kind.diet is not Diet.NONE:  # what learns from the support alone has no frozen network
        on_neck = _median(lambda: necked.adapt(_support_of(cached)), turns)
    return Cost(
        method=name,
        diet=kind.diet.value,
        steps=int(getattr(learner.settings, "steps", 0)),
        test_steps=learner.inner_steps,
        step_seconds=step_seconds,
        memory_mib=memory,
        adapt_milliseconds=1000 * adapt,
        neck_milliseconds=1000 * on_neck,
    )


_COLUMNS = (
    "method",
    "trained on",
    "inner steps, training",
    "inner steps, adapting",
    "training step, s",
    "memory, MiB",
    "adapting, ms",
    "adapting on a neck, ms",
)
_NOTE = (
    "Methods trained on labelled images step over the 400 images of four episodes at once (twice as many "
    "where two views of each are compared); they have no inner loop. A dash: there is nothing of the kind."
)


def as_markdown(costs: list[Cost], turns: int, threads: int) -> str:
    """The page."""
    made = (
        f"Made by `python -m benchmarks.methods` on {date.today()}: {processor_name()}, {threads} thread(s)"
    )
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    lines = [
        "# What each method costs",
        "",
        f"{made}, float32; {versions}. Medians of {turns}.",
        "",
        *(__doc__ or "").split("--help\n\n", 1)[1].strip().splitlines(),
        "",
        "| " + " | ".join(_COLUMNS) + " |",
        "|" + "---|" * len(_COLUMNS),
        *("| " + " | ".join(_cells(cost)) + " |" for cost in costs),
        "",
        _NOTE,
    ]
    return "\n".join(lines) + "\n"


def _cells(cost: Cost) -> tuple[str, ...]:
    return (
        cost.method,
        cost.diet,
        str(cost.steps or "-"),
        str(cost.test_steps or "-"),
        _number(cost.step_seconds, 3),
        _number(cost.memory_mib, 0),
        _number(cost.adapt_milliseconds, 1),
        _number(cost.neck_milliseconds, 1),
    )


def _median(action: Callable[[], object], turns: int) -> float:
    taken = []
    for _ in range(turns):
        started = time.process_time()
        action()
        taken.append(time.process_time() - started)
    return float(np.median(taken))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _images(count: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 28, 28, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def _episodes() -> MetaBatch:
    each = WAY * (SHOT + QUERY)
    labels = torch.cat([torch.arange(WAY).repeat_interleave(n) for n in (SHOT, QUERY)])
    return MetaBatch(
        images=_images(EPISODES * each),
        labels=labels.repeat(EPISODES),
        episode=torch.arange(EPISODES).repeat_interleave(each),
        is_support=(torch.arange(each) < WAY * SHOT).repeat(EPISODES),
        ways=(WAY,) * EPISODES,
    )


def _labelled(views: int) -> LabelledBatch:
    count = EPISODES * WAY * (SHOT + QUERY)
    labels = (torch.arange(count) % CLASSES).repeat(views)
    whole = torch.full_like(labels, CLASSES)
    return LabelledBatch(
        _images(count).repeat(views, 1, 1, 1), labels, torch.zeros_like(labels), whole, views
    )


def _support(learner: Learner, images: torch.Tensor) -> Support:
    return _support_of(Features(learner.features(images)))


def _support_of(inputs: Features) -> Support:
    labels = torch.arange(WAY).repeat_interleave(SHOT)
    return Support(inputs, labels, tuple("abcde"), tuple(map(str, range(WAY * SHOT))))


def _number(value: float, digits: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def _finite(values: dict[str, object]) -> dict[str, object]:
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in values.items()}


if __name__ == "__main__":
    main()
