"""Which normaliser for Conv-4: step time and accuracy on held-out conditions under equal small budgets.

    python -m benchmarks.normalisers --help

Every normaliser of `BackboneSpec` is trained for the same outer steps on the same episodes and evaluated on
the same episodes of conditions held out of training, with prototypical networks and with MAML. All are
inductive: BatchNorm's statistics are frozen at adaptation and prediction.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import torch

from benchmarks.sides import METHODS
from benchmarks.throughput import processor_name
from workbench.backbones import BackboneSpec
from workbench.backbones.spec import NORMALISERS as ALL_NORMALISERS
from workbench.data.catalogue import get_card
from workbench.data.cohort import Cohort, load_cohort
from workbench.data.datamodule import BatchStream, Stream
from workbench.data.episodes import EpisodeSpec
from workbench.data.pool import Pool
from workbench.evaluation.episodic import evaluate_episodes
from workbench.evaluation.statistics import mean_interval, paired_difference
from workbench.imaging.recipe import Recipe
from workbench.learners.base import Learner
from workbench.learners.files import create
from workbench.training.checkpoints import native_bfloat16
from workbench.training.memory import keep_freed_memory

TRAINING = ("mednist", "chula_rbc12", "ham10000", "odir_fundus")
HELD_OUT = ("pbc", "crc100k_mini")
NORMALISERS = tuple(name for name in ALL_NORMALISERS if name != "transductive")
EPISODES = {"prototypical": 4, "maml": 2}
TEST_SHARE = {"prototypical": 1.0, "maml": 0.15}
"""Share of the evaluation episodes: MAML adapts the whole network for each."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One trained learner.

    Attributes:
        method, normaliser, seed: what was trained.
        seconds: median processor seconds of an outer step.
        loss: mean of the last tenth of the steps.
        accuracy: of each evaluation episode, by condition; 0 to 1.
    """

    method: str
    normaliser: str
    seed: int
    seconds: float
    loss: float
    accuracy: dict[str, list[float]]


def main() -> None:
    """See the module's description."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.normalisers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Needs the sets in WORKBENCH_DATA or the cache. A quick look: --seeds 1 --steps 20 5",
    )
    parser.add_argument("--size", type=int, default=28, help="side of the images")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each")
    parser.add_argument(
        "--steps", type=int, nargs=2, default=[200, 60], help="outer steps of prototypical networks and MAML"
    )
    parser.add_argument("--episodes", type=int, default=200, help="for evaluation, per condition and seed")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks/normalisers.md"), help="the table")
    parser.add_argument("--json", type=Path, default=Path("docs/benchmarks/normalisers.json"), help="figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    recipe = Recipe(size=options.size)
    training = [load_cohort(get_card(name), recipe) for name in TRAINING]
    held_out = [load_cohort(get_card(name), recipe) for name in HELD_OUT]
    runs: list[Run] = []
    for seed in range(options.seeds):
        for method, steps in zip(METHODS, options.steps, strict=True):
            runs += _train_side_by_side(method, steps, seed, Pool(training), held_out, options.episodes)
            print(*(_line(run) for run in runs[-len(NORMALISERS) :]), sep="\n", flush=True)
        options.json.write_text(json.dumps([asdict(r) for r in runs]) + "\n", encoding="utf-8")
        options.out.write_text(_report(runs, options), encoding="utf-8")


def _train_side_by_side(
    method: str, steps: int, seed: int, pool: Pool, held_out: Sequence[Cohort], episodes: int
) -> list[Run]:
    """All normalisers take turns step by step, so that the machine's other work weighs on each alike."""
    spec = EpisodeSpec(ways=5, shots=5, queries=15, seed=seed)
    stream = BatchStream(pool, Stream(spec, EPISODES[method], seed=seed), steps)
    learners = {name: _learner(method, name, seed, pool) for name in NORMALISERS}
    optimisers = {n: torch.optim.AdamW(one.parameters(), lr=1e-3) for n, one in learners.items()}
    seconds: dict[str, list[float]] = {name: [] for name in NORMALISERS}
    losses: dict[str, list[float]] = {name: [] for name in NORMALISERS}
    for step in range(steps):
        batch = stream[step]
        for name, learner in learners.items():
            start = time.process_time()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=native_bfloat16()):
                loss = learner.training_loss(batch).value
            optimisers[name].zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(learner.parameters(), 10.0)
            optimisers[name].step()
            seconds[name].append(time.process_time() - start)
            losses[name].append(float(loss.detach()))
    count = round(episodes * TEST_SHARE[method])
    test = replace(spec, seed=10_000 + seed)
    return [
        Run(
            method,
            name,
            seed,
            float(np.median(seconds[name][2:])),
            float(np.mean(losses[name][-max(1, steps // 10) :])),
            {
                c.name: [float(a) for a in evaluate_episodes(one.eval(), c, test, count).accuracy]
                for c in held_out
            },
        )
        for name, one in learners.items()
    ]


def _learner(method: str, normaliser: str, seed: int, pool: Pool) -> Learner:
    torch.manual_seed(seed)
    size, channels = pool.images.shape[1], pool.images.shape[3]
    backbone = BackboneSpec(size=size, channels=channels, normaliser=normaliser)
    return create(method, backbone, Recipe(size=size, channels=channels), None, {}).train()


def _line(run: Run) -> str:
    means = ", ".join(f"{name} {100 * np.mean(values):.1f}" for name, values in run.accuracy.items())
    return f"{run.method} {run.normaliser} seed {run.seed}: {run.seconds:.3f} s, loss {run.loss:.3f}, {means}"


def _report(runs: Sequence[Run], options: argparse.Namespace) -> str:
    seeds = len({run.seed for run in runs})
    lines = [
        "# Normalisers of Conv-4",
        "",
        f"Made by `python -m benchmarks.normalisers` on {date.today()}: {processor_name()}, "
        f"{options.threads} thread(s), bfloat16 {'native' if native_bfloat16() else 'not used'}; Python "
        f"{platform.python_version()}, torch {torch.__version__}.",
        "",
        f"Conv-4 with 64 channels, {options.size} px, 5-way 5-shot with 15 queries; trained on "
        f"{', '.join(TRAINING)} for {options.steps[0]} steps of {EPISODES['prototypical']} episodes "
        f"(prototypical networks) or {options.steps[1]} of {EPISODES['maml']} (MAML, second order, 5 inner "
        f"steps, 10 at adaptation), without augmentation; {seeds} seed(s). Held out: {', '.join(HELD_OUT)}. "
        "The budgets are small on purpose: equal for all, far from convergence.",
        "",
        "Accuracy in per cent with 95 % intervals over the episodes of all seeds, and the spread (lowest to "
        "highest) of the seeds' means; the difference to BatchNorm is paired by episode and seed. Seconds "
        "are medians of processor time of an outer step, normalisers taking turns step by step.",
        "",
        "A training whose loss is no longer a number is counted as diverged: it reads the first class "
        "everywhere and its accuracy is chance. It stays in the figures.",
        "",
        "| method | normaliser | s per step | diverged | condition | accuracy | seeds | minus batch "
        "| episodes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method in METHODS:
        for name in NORMALISERS:
            mine = [r for r in runs if (r.method, r.normaliser) == (method, name)]
            base = [r for r in runs if (r.method, r.normaliser) == (method, "batch")]
            for condition in HELD_OUT:
                values, others = _joined(mine, condition), _joined(base, condition)
                mean, gap = mean_interval(values), paired_difference(values, others)
                diverged = f"{sum(math.isnan(r.loss) for r in mine)} of {len(mine)}"
                means = [100 * float(np.mean(r.accuracy[condition])) for r in mine]
                against = "" if name == "batch" else f"{gap.value:+.1f} ({gap.low:+.1f} to {gap.high:+.1f})"
                lines.append(
                    f"| {method} | {name} | {np.median([r.seconds for r in mine]):.3f} | {diverged} "
                    f"| {condition} | {mean.value:.1f} ({mean.low:.1f}-{mean.high:.1f}) "
                    f"| {min(means):.1f}-{max(means):.1f} | {against} | {len(values)} |"
                )
    return "\n".join(lines) + "\n"


def _joined(runs: Sequence[Run], condition: str) -> np.ndarray:
    return 100 * np.concatenate([r.accuracy[condition] for r in runs])


if __name__ == "__main__":
    main()
