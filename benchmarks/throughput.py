"""Training and evaluation throughput of the workbench against the plain way, in one run, as ratios.

    python -m benchmarks.throughput --help

The plain way (`benchmarks.plain`) and the workbench each run in a process of their own, take turns
(A B A B ...), see the same pixels and episodes, and start from the same weights. Figures are medians of
processor seconds, so that whatever else the machine does weighs on both alike; wall clock stands beside.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from benchmarks.plain import write_images
from benchmarks.sides import METHODS, STAGES, Answer, Request, Setup, serve
from workbench.data.catalogue import get_card
from workbench.data.cohort import Cohort, load_cohort
from workbench.data.episodes import EpisodeSpec
from workbench.data.procedural import procedural_cohorts
from workbench.errors import FetchError
from workbench.evaluation.statistics import mean_interval, paired_difference
from workbench.imaging.recipe import Recipe
from workbench.training.checkpoints import native_bfloat16

TRAINING = ("mednist", "chula_rbc12", "ham10000", "odir_fundus")
HELD_OUT = "pbc"
HUNDREDFOLD = 10_000
"""Evaluation episodes of the bar; the workbench runs all of them, the plain way a few."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row: seconds (median, and 10th and 90th percentile of the ratio of neighbouring turns).

    Attributes:
        task: what was timed.
        size: of the images.
        plain, ours: processor seconds per step (per 10,000 episodes for evaluation).
        ratio, low, high: plain over ours; median and spread over turns.
        wall_ratio: the same by wall clock.
        n: turns.
    """

    task: str
    size: int
    plain: float
    ours: float
    ratio: float
    low: float
    high: float
    wall_ratio: float
    n: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Accuracy (%) with 95 % interval of both sides after the same steps, and the paired difference."""

    method: str
    size: int
    steps: int
    episodes: int
    plain: tuple[float, float, float]
    ours: tuple[float, float, float]
    difference: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Stage:
    """Processor seconds of one outer step after one more change."""

    method: str
    size: int
    stage: str
    seconds: float
    turns: int


K = TypeVar("K")


def _replaced(old: list[K], new: list[K], key: Callable[[K], tuple[object, ...]]) -> list[K]:
    """Old figures that were not measured anew, then the new ones; in order of size."""
    fresh = {key(x) for x in new}
    return sorted([x for x in old if key(x) not in fresh] + new, key=lambda x: str(key(x)[0]))


def _known(path: Path) -> tuple[list[Comparison], list[Accuracy], list[Stage]]:
    rows, accuracies, stages = json.loads(path.read_text(encoding="utf-8"))
    known = [
        Accuracy(**{k: tuple(v) if isinstance(v, list) else v for k, v in a.items()}) for a in accuracies
    ]
    return [Comparison(**r) for r in rows], known, [Stage(**s) for s in stages]


def main() -> None:
    """See the module's description."""
    options = _parser().parse_args()
    rows, accuracies, stages = _known(options.json) if options.add else ([], [], [])
    for size in options.sizes:
        with tempfile.TemporaryDirectory(prefix="workbench-benchmark-") as folder:
            setup, source = _setup(size, Path(folder), options)
            with _worker(setup, "plain") as plain, _worker(setup, "workbench") as ours:
                timed = [_training(plain, ours, m, size, options.turns) for m in METHODS if options.turns]
                print(*timed, sep="\n", flush=True)
                found = _accuracy(plain, ours, setup, options)
                if options.episodes:
                    timed.append(_evaluation(plain, ours, size, options))
                print(*found, *timed[-1:], sep="\n", flush=True)
            staged = _ablation(setup, options.ablation_turns)
            rows = _replaced(rows, timed, lambda r: (r.size, r.task.split("(")[0]))
            accuracies = _replaced(accuracies, found, lambda a: (a.size, a.method))
            stages = _replaced(stages, staged, lambda x: (x.size, x.method, x.stage))
            report = _report(rows, accuracies, stages, source, options)
            options.json.write_text(
                json.dumps([[asdict(x) for x in y] for y in (rows, accuracies, stages)], indent=1) + "\n"
            )
            options.out.write_text(report, encoding="utf-8")
    print(report)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Real images are taken from the folder in WORKBENCH_DATA; without it, drawn ones are used.\n"
        "A quick look: --sizes 28 --turns 3 --steps 20 --episodes 50",
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 64], help="sides of the images")
    parser.add_argument("--turns", type=int, default=9, help="interleaved measurements of each training step")
    parser.add_argument("--ablation-turns", type=int, default=5, help="the same for the ablation; 0 for none")
    parser.add_argument(
        "--steps", type=int, nargs=2, default=[200, 60], help="outer steps of prototypical networks and MAML"
        " before the accuracies are compared, at 28 px (fewer, by area, at larger sizes); 0 0 for none",
    )  # fmt: skip
    parser.add_argument(
        "--episodes", type=int, default=300, help="of the plain evaluation (MAML: a quarter); its time for"
        " 10,000 is extrapolated",
    )  # fmt: skip
    parser.add_argument(
        "--add", action="store_true", help="keep figures of --json that are not measured anew; 0 for --turns,"
        " --ablation-turns or --episodes leaves that part out",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/throughput.md"), help="the table")
    parser.add_argument("--json", type=Path, default=Path("docs/benchmarks/throughput.json"), help="figures")
    return parser


def _setup(size: int, folder: Path, options: argparse.Namespace) -> tuple[Setup, str]:
    recipe = Recipe(size=size)
    try:
        named = [load_cohort(get_card(name), recipe) for name in (*TRAINING, HELD_OUT)]
        training, held_out = tuple(named[:-1]), named[-1]
        source = f"training on {', '.join(TRAINING)}; held out: {HELD_OUT}"
    except FetchError as error:
        print(f"{error}\nDrawn images are used instead.")
        drawn = procedural_cohorts(6000, recipe, seed=0)
        training, held_out = tuple(drawn[:-1]), drawn[-1]
        source = "drawn images (no real data was found); one drawn family held out"
    files = [path for c in training for path in write_images(c, folder / c.name)]
    setup = Setup(
        recipe=recipe,
        training=tuple(_in_memory(c) for c in training),
        files=tuple(files),
        held_out=_in_memory(held_out),
        held_out_files=write_images(held_out, folder / "held-out"),
        spec=EpisodeSpec(ways=5, shots=5, queries=15),
        threads=options.threads,
    )
    return setup, source


def _in_memory(cohort: Cohort) -> Cohort:
    return replace(cohort, images=np.array(cohort.images))


@contextmanager
def _worker(setup: Setup, kind: str) -> Iterator[Connection]:
    context = mp.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, setup, kind), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.send(None)
        process.join()


def _ask(connection: Connection, request: Request) -> Answer:
    connection.send(request)
    answer: Answer = connection.recv()
    return answer


def _training(plain: Connection, ours: Connection, method: str, size: int, turns: int) -> Comparison:
    pairs = []
    for turn in range(turns + 2):
        request = Request(method, turn, turn + 1)
        pair = (_ask(plain, request), _ask(ours, request))
        if turn >= 2:  # the first turns warm caches and primitives
            pairs.append(pair)
    return _compare(f"{method}: training step", size, pairs, 1.0, 1.0)


def _compare(
    task: str, size: int, pairs: Sequence[tuple[Answer, Answer]], plain: float, ours: float
) -> Comparison:
    """Median seconds, each side's multiplied by its factor."""
    a = np.array([p.processor for p, _ in pairs]) * plain
    b = np.array([o.processor for _, o in pairs]) * ours
    walls = np.array([p.wall * plain / (o.wall * ours) for p, o in pairs])
    low, middle, high = np.percentile(a / b, [10, 50, 90])
    return Comparison(
        task,
        size,
        float(np.median(a)),
        float(np.median(b)),
        float(middle),
        float(low),
        float(high),
        float(np.median(walls)),
        len(pairs),
    )


def _accuracy(
    plain: Connection, ours: Connection, setup: Setup, options: argparse.Namespace
) -> list[Accuracy]:
    found = []
    for method, steps, episodes in zip(
        METHODS, options.steps, (options.episodes, options.episodes // 4), strict=True
    ):
        if not steps:
            continue
        # Larger images cost more in proportion to their area.
        steps = max(1, round(steps * (28 / setup.recipe.size) ** 2))
        first = options.turns + 2  # both have taken these steps already
        for connection in (plain, ours):
            _ask(connection, Request(method, first, first + steps))
        request = Request(method, 0, episodes, evaluate=True)
        a, b = (100 * np.array(_ask(c, request).values) for c in (plain, ours))
        one, two, gap = mean_interval(a), mean_interval(b), paired_difference(b, a)
        found.append(
            Accuracy(
                method,
                setup.recipe.size,
                first + steps,
                episodes,
                (one.value, one.low, one.high),
                (two.value, two.low, two.high),
                (gap.value, gap.low, gap.high),
            )
        )
    return found


def _evaluation(plain: Connection, ours: Connection, size: int, options: argparse.Namespace) -> Comparison:
    """Two turns; the workbench's include embedding the cohort."""
    part = max(20, options.episodes // 5)
    pairs = []
    for _ in range(2):
        a = _ask(plain, Request("prototypical", 0, part, evaluate=True))
        pairs.append((a, _ask(ours, Request("prototypical", 0, HUNDREDFOLD, evaluate=True))))
    task = f"prototypical: 10,000 evaluation episodes (plain: {part} of them)"
    return _compare(task, size, pairs, HUNDREDFOLD / part, 1.0)


def _ablation(setup: Setup, turns: int) -> list[Stage]:
    found = []
    if not turns:
        return []
    with _worker(setup, "staged") as staged, _worker(setup, "staged-kept") as kept:
        for method in METHODS:
            names = [s for s in STAGES if not (method == "maml" and s == "batched")]
            seconds: dict[str, list[float]] = {name: [] for name in (*names, "kept memory")}
            for turn in range(turns + 1):
                for name in names:
                    answer = _ask(staged, Request(method, turn, turn + 1, stage=name))
                    seconds[name].append(answer.processor)
                request = Request(method, turn, turn + 1, stage="workbench")
                seconds["kept memory"].append(_ask(kept, request).processor)
            found += [
                Stage(method, setup.recipe.size, name, float(np.median(values[1:])), turns)
                for name, values in seconds.items()
            ]
    return found


_WORDS = {
    "files": "plain: one file at a time, float32",
    "gathered": "+ images gathered from one uint8 array",
    "batched": "+ all episodes embedded at once",
    "channels_last": "+ channels_last",
    "bfloat16": "+ bfloat16",
    "workbench": "+ the workbench's Conv-4 (folded BatchNorm, pooling before ReLU) and learner",
    "kept memory": "+ freed memory kept",
}


def _report(
    rows: Sequence[Comparison],
    accuracies: Sequence[Accuracy],
    stages: Sequence[Stage],
    source: str,
    options: argparse.Namespace,
) -> str:
    batch, tasks = Setup.__dataclass_fields__["episodes"].default
    lines = [
        "# Throughput against the plain way",
        "",
        f"Made by `python -m benchmarks.throughput` on {date.today()}: {processor_name()}, "
        f"{options.threads} thread(s), bfloat16 {'native' if native_bfloat16() else 'not used'}; "
        f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}.",
        "",
        f"Conv-4 with 64 channels, 5-way 5-shot with 15 queries per class, {source}. A step is {batch} "
        f"episodes for prototypical networks and {tasks} for MAML (second order, "
        f"{Setup.__dataclass_fields__['inner_steps'].default} inner steps). The plain way: float32, default "
        "memory layout, one PNG file (already of model size) opened, decoded and normalised per image, one "
        "episode after the other. The same pixels, episodes, initial weights and optimiser on both sides; "
        "the same loss and gradient on the same batch (`tests/benchmarks`). BatchNorm of prototypical "
        "networks takes statistics of one episode in the plain way and of the whole batch in the workbench; "
        "MAML freezes them inside an episode on both sides. Lightning's own time is in neither.",
        "",
        "Each side runs in a process of its own, by turns. Seconds are medians of processor time; the ratio "
        "is the median over turns, with the 10th and 90th percentile. The load average was "
        f"{os.getloadavg()[0]:.1f} at the end. Wall clock on a machine that was not "
        "idle is the least reliable column.",
        "",
        "| what | px | plain, s | workbench, s | ratio (10th-90th) | by wall clock | turns |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.task} | {r.size} | {r.plain:.3g} | {r.ours:.3g} | **{r.ratio:.1f}** "
        f"({r.low:.1f}-{r.high:.1f}) | {r.wall_ratio:.1f} | {r.n} |"
        for r in rows
    ]
    lines += [
        "",
        f"Evaluation: the plain way loads and embeds the images of the episodes named "
        f"anew, and its time is multiplied up to {HUNDREDFOLD:,}; the workbench embeds the cohort once and "
        f"runs all {HUNDREDFOLD:,} (accuracy, balanced accuracy and AUROC of each; the plain way only "
        "accuracy).",
    ]
    if accuracies:
        lines += [
            "",
            "## Accuracy after the same number of steps",
            "",
            "On the same episodes of the held-out condition, per cent with 95 % intervals over episodes. The "
            "intervals do not hold the spread over seeds.",
            "",
            "| method | px | steps | episodes | plain | workbench | workbench minus plain |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {a.method} | {a.size} | {a.steps} | {a.episodes} | {_interval(a.plain)} "
            f"| {_interval(a.ours)} | {_interval(a.difference)} |"
            for a in accuracies
        ]
    if stages:
        lines += [
            "",
            "## Where it comes from",
            "",
            f"Processor seconds of one training step, each change added to those above it; median over "
            f"interleaved turns ({', '.join(sorted({str(s.turns) for s in stages}))}).",
            "",
            "| method | px | change | s | times plain |",
            "|---|---|---|---|---|",
        ]
        for stage in stages:
            base = next(s.seconds for s in stages if (s.method, s.size) == (stage.method, stage.size))
            lines.append(
                f"| {stage.method} | {stage.size} | {_WORDS[stage.stage]} | {stage.seconds:.3f} "
                f"| {base / stage.seconds:.2f} |"
            )
    return "\n".join(lines) + "\n"


def _interval(values: tuple[float, float, float]) -> str:
    return f"{values[0]:.1f} ({values[1]:.1f} to {values[2]:.1f})"


def processor_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    name = next((line.split(":")[1].strip() for line in text.splitlines() if "model name" in line), "")
    flags = "AVX-512 bf16" if "avx512_bf16" in text else "no AVX-512 bf16"
    return f"{name or platform.machine()} ({flags}, {text.count('model name')} cores)"


if __name__ == "__main__":
    main()
