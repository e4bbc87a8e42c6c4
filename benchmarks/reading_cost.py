"""What an honest reading costs: each part of it at adaptation, and for a batch of 32 scans, at 64 px.

    python -m benchmarks.reading_cost --out docs/benchmarks/reading-cost.md

Drawn images, the shipped encoder with its default method. Seconds are processor time of one thread, so that a
busy machine does not matter much. Parts are a list: another one is added by a
line of `PARTS`.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch

from benchmarks.throughput import processor_name
from workbench.adaptation.appraising import surround
from workbench.adaptation.drift import Cohort, drift_between
from workbench.adaptation.estimate import Estimate, leave_one_patient_out
from workbench.adaptation.experience import experience_of
from workbench.adaptation.model import load_weights
from workbench.adaptation.saliency import saliency
from workbench.adaptation.similar import embedding_findings
from workbench.adaptation.support_quality import support_findings
from workbench.data.examples import Example, Support
from workbench.data.pool import Pool
from workbench.data.procedural import procedural_cohorts
from workbench.evaluation.plaintext import NOTICE
from workbench.imaging.scan import Provenance, Scan, Units
from workbench.learners.base import Classifier
from workbench.learners.files import LoadedLearner

BATCH, THREADS = 32, 1
SIZES = ((2, 10), (5, 10))
"""Classes and patients per class."""
ADAPTING, READING, MAP = "an adaptation", f"a batch of {BATCH}", "one map, on request"
LIMITS = {ADAPTING: 5.0, READING: 1.0}


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """One support with everything a part may need."""

    loaded: LoadedLearner
    support: Support
    bare: Classifier
    examples: tuple[Example, ...]
    estimate: Estimate
    whole: Classifier
    new: torch.Tensor
    labelled: Cohort
    cohort: Cohort


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is paid once for each adaptation or batch.

    Attributes:
        name: of the part.
        paid: by what.
        run: does it.
    """

    name: str
    paid: str
    run: Callable[[Bench], object]


def _around(bench: Bench) -> object:
    experience = experience_of(bench.loaded.sha256)
    return surround(bench.bare, bench.support, bench.estimate, experience, bench.loaded.record.method)


PARTS = (
    Part("embed and adapt", ADAPTING, lambda b: b.loaded.learner.adapt(b.support)),
    Part("leave one patient out", ADAPTING, lambda b: leave_one_patient_out(b.loaded.learner, b.support)),
    Part("calibration, sets, familiarity, outlook", ADAPTING, _around),
    Part(
        "doubtful labels, copies, shortcuts",
        ADAPTING,
        lambda b: support_findings(b.bare, b.support, b.estimate, b.examples),
    ),
    Part("scans unlike the others", ADAPTING, lambda b: embedding_findings(b.bare, b.support)),
    Part("embed and read", READING, lambda b: b.bare.predict(b.new)),
    Part(
        "calibrated probabilities, sets, familiarity (with embedding and reading)",
        READING,
        lambda b: b.whole.predict(b.new),
    ),
    Part("drift of the batch", READING, lambda b: drift_between(b.labelled, b.cohort)),
    Part("where the evidence lies (occlusion)", MAP, lambda b: saliency(b.whole, b.examples[0].scan, 0)),
)


def prepared(way: int, shots: int) -> Bench:
    """A support of drawn images, and a batch of others."""
    loaded = load_weights()
    cohort = procedural_cohorts(2048, loaded.learner.recipe, 0)[0]
    images = Pool([cohort]).images
    classes = range(len(cohort.classes))
    rows = np.concatenate([np.flatnonzero(cohort.labels == k)[:shots] for k in classes])[: way * shots]
    others = np.setdiff1d(np.arange(len(images)), rows)[:BATCH]
    support = Support(
        images[torch.from_numpy(rows)],
        torch.arange(way).repeat_interleave(shots),
        tuple(f"class {k}" for k in range(way)),
        tuple(map(str, range(way * shots))),
    )
    bare = loaded.learner.adapt(support)
    estimate = leave_one_patient_out(loaded.learner, support)
    whole, _ = surround(bare, support, estimate, experience_of(loaded.sha256), loaded.record.method)
    new = images[torch.from_numpy(others)]
    reading = whole.predict(new)
    assert reading.appraisal is not None
    return Bench(
        loaded,
        support,
        bare,
        tuple(_example(image, k, number) for number, (image, k) in enumerate(_labelled(support))),
        estimate,
        whole,
        new,
        Cohort(bare.support_embeddings.double().numpy(), estimate.probabilities.argmax(axis=1)),
        Cohort(reading.appraisal.embeddings, reading.probabilities.argmax(axis=1)),
    )


def _labelled(support: Support) -> Iterator[tuple[torch.Tensor, int]]:
    assert isinstance(support.inputs, torch.Tensor)
    return zip(support.inputs, support.labels.tolist(), strict=True)


def _example(image: torch.Tensor, label: int, number: int) -> Example:
    """A labelled scan as a PNG of the image would give it."""
    pixels = image.numpy()[None].astype(np.float32)
    provenance = Provenance(f"{number}.png", "PNG", str(number), "PNG, RGB")
    scan = Scan(pixels, Units.DISPLAY, "OT", provenance, value_range=(0.0, 255.0))
    return Example(scan, f"class {label}", str(number))


def seconds(part: Part, bench: Bench, turns: int) -> float:
    """Median processor time."""
    taken = []
    for _ in range(turns + 1):
        started = time.process_time()
        part.run(bench)
        taken.append(time.process_time() - started)
    return float(np.median(taken[1:]))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    benches = [prepared(way, shots) for way, shots in SIZES]
    heads = [f"{way} classes of {shots}" for way, shots in SIZES]
    out = [
        "# What an honest reading costs",
        "",
        f"Made by `python -m benchmarks.reading_cost` on {date.today()}: {processor_name()}; Python "
        f"{platform.python_version()}, torch {torch.__version__}. Processor seconds of one thread, "
        f"median of {given.turns} turns after one that is not counted; `auto` on the shipped "
        "encoder, drawn images of 64 px.",
        "",
        "| part | paid by | " + " | ".join(heads) + " |",
        "|---|---|" + "---|" * len(heads),
    ]
    totals = {paid: np.zeros(len(benches)) for paid in (*LIMITS, MAP)}
    for part in PARTS:
        found = np.array([seconds(part, bench, given.turns) for bench in benches])
        if part.name != "embed and read":  # the part after it holds it
            totals[part.paid] += found
        out.append(f"| {part.name} | {part.paid} | " + " | ".join(f"{s:.3f}" for s in found) + " |")
    for paid, limit in LIMITS.items():
        cells = " | ".join(f"**{s:.3f}**" for s in totals[paid])
        out.append(f"| all of it (asked: less than {limit:g} s) | {paid} | {cells} |")
    text = "\n".join([*out, "", NOTICE, ""])
    print(text)
    if given.out is not None:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
