"""The table of the volumes benchmark as Markdown and JSON. Called by ``workbench benchmark volumes``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import yaml

from workbench.benchmark.volumes import VolumeRow, VolumesPlan
from workbench.evaluation.plaintext import NOTICE
from workbench.evaluation.tables import gain_text, interval_text


def write_volumes(
    plan: VolumesPlan, plans: Path, rows: Sequence[VolumeRow], folder: Path
) -> tuple[Path, ...]:
    """Write ``NAME.md`` and ``NAME.json``.

    Args:
        plan: of the benchmark.
        plans: folder of the training plans it names; they are kept in the JSON.
        rows: as measured.
        folder: to write into.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page, values = folder / f"{plan.name}.md", folder / f"{plan.name}.json"
    page.write_text(as_markdown(plan, rows), encoding="utf-8", newline="")
    values.write_text(as_json(plan, plans, rows), encoding="utf-8", newline="")
    return page, values


def as_markdown(plan: VolumesPlan, rows: Sequence[VolumeRow]) -> str:
    """One line for each row, the best balanced accuracy of those held out in bold."""
    held_out = [row.balanced_accuracy.value for row in rows if not row.seen]
    best = max(held_out, default=math.nan)
    lines = [
        f"# Reading volumes: {plan.condition}, {plan.shots} patients per class",
        "",
        "Written by `workbench benchmark volumes benchmarks/plans/volumes-benchmark.yaml`; the plans are in",
        f"[{plan.name}.json]({plan.name}.json). What it means is said in [docs/volumes.md](../volumes.md).",
        "",
        "| encoder, what it sees | method | accuracy % | balanced accuracy % | AUROC % | "
        f"minus {plan.reference} |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        balanced = interval_text(row.balanced_accuracy)
        if not row.seen and row.balanced_accuracy.value == best:
            balanced = f"**{balanced}**"
        label = f"{row.label} (seen)" if row.seen else row.label
        figures = (interval_text(row.accuracy), balanced, interval_text(row.auroc), gain_text(row.gain))
        lines.append(f"| {' | '.join((label, row.method, *figures))} |")
    n = max(row.accuracy.n for row in rows)
    lines += [
        "",
        f"Means over {n} episodes of the official {plan.split} split, {plan.queries} new patients per class,",
        "with 95 % intervals (Student's t over episodes: where another draw of episodes from the same",
        "patients would lie, not other patients). All rows read the same episodes, but for those on files of",
        "another size, which have no difference. *Seen*: the weights were trained on slices of this set, so",
        "the row is no measure of a new condition. Differences are in points of balanced accuracy.",
        NOTICE,
        "",
    ]
    return "\n".join(lines)


def as_json(plan: VolumesPlan, plans: Path, rows: Sequence[VolumeRow]) -> str:
    """Plans, versions and every figure with its limits and n."""
    values = {
        "notice": NOTICE,
        "versions": {name: version(name) for name in ("torch", "monai", "numpy", "scikit-learn")},
        "plan": plan.model_dump(mode="json"),
        "encoders": {
            name: yaml.safe_load((plans / file).read_text(encoding="utf-8"))
            for name, file in plan.encoders.items()
        },
        "rows": [asdict(row) for row in rows],
    }
    return json.dumps(values, indent=1) + "\n"
