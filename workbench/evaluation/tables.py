"""A comparison as CSV, JSON or Markdown, by the ending of the file's name."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.evaluation.compare import Row
from workbench.evaluation.plaintext import NOTICE
from workbench.evaluation.statistics import Interval

_FIGURES = ("accuracy", "balanced_accuracy", "auroc", "gain")


def check_ending(path: Path) -> None:
    """Say so at once, rather than after an hour of episodes.

    Raises:
        WorkbenchError: if the ending is not one that `write_rows` knows.
    """
    if path.suffix not in _WRITERS:
        raise WorkbenchError(f"{path.name}: the ending must be one of {', '.join(_WRITERS)}.")


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write a comparison in the form its ending names; see `check_ending`."""
    check_ending(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_WRITERS[path.suffix](rows), encoding="utf-8", newline="")


def as_json(rows: Sequence[Row]) -> str:
    """A list of objects, one for each row; undefined limits are null."""
    return json.dumps([_finite(asdict(row)) for row in rows], indent=2) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """One line for each row; each figure with its limits and n."""
    out = io.StringIO()
    writer = csv.writer(out)
    plain = [f.name for f in fields(Row) if f.name not in _FIGURES]
    limits = [f"{name}{end}" for name in _FIGURES for end in ("", "_low", "_high", "_n")]
    writer.writerow([*plain, *limits])
    for row in rows:
        cells = [str(getattr(row, name)) for name in plain]
        for name in _FIGURES:
            value: Interval | None = getattr(row, name)
            cells += _cells(value)
        writer.writerow(cells)
    return out.getvalue()


def overview(rows: Sequence[Row]) -> str:
    """Accuracy alone, in Markdown: a line for each condition, a column for each contestant."""
    who = list(dict.fromkeys((row.encoder, row.method) for row in rows))
    lines = [
        f"| condition | {' | '.join(f'{method}, {encoder}' for encoder, method in who)} |",
        f"|---|{'---|' * len(who)}",
    ]
    for name in dict.fromkeys(row.condition for row in rows):
        cells = {(row.encoder, row.method): row for row in rows if row.condition == name}
        first = next(iter(cells.values()))
        best = max(row.accuracy.value for row in cells.values())
        figures = [_brief(cells[key].accuracy, best) if key in cells else "not computed" for key in who]
        seen = ", seen" if any(row.seen for row in cells.values()) else ""
        label = f"{name} ({first.modality}, {first.way}-way{seen})"
        lines.append(f"| {label} | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def _brief(value: Interval, best: float) -> str:
    text = f"{100 * value.value:.1f} ± {50 * (value.high - value.low):.1f}"
    return f"**{text}**" if value.value == best else text


def as_markdown(rows: Sequence[Row]) -> str:
    """Two tables, figures in percent with 95 % intervals: accuracy at a glance, and everything."""
    lines = [
        overview(rows),
        "| condition | way, shot | encoder | method | accuracy % | balanced accuracy % | AUROC % | "
        "accuracy minus raw pixels |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = f"{row.condition} ({row.modality}){' - seen in meta-training' if row.seen else ''}"
        steps = f" ({row.inner_steps} steps)" if row.inner_steps else ""
        who = (name, f"{row.way}, {row.shot}", row.encoder, f"{row.method}{steps}")
        figures = [interval_text(value) for value in (row.accuracy, row.balanced_accuracy, row.auroc)]
        lines.append(f"| {' | '.join((*who, *figures, gain_text(row.gain)))} |")
    count = sorted({row.episodes for row in rows})
    said = " or ".join(map(str, count))
    lines.append(
        f"\nMeans over {said} episodes, the same for every row of a condition, with 95 % intervals "
        f"(Student's t). Raw pixels are the better of their two rows. {NOTICE}\n"
    )
    return "\n".join(lines)


def gain_text(value: Interval | None) -> str:
    """A difference in percentage points."""
    if value is None:
        return "-"
    return f"{100 * value.value:+.1f} ({100 * value.low:+.1f} to {100 * value.high:+.1f})"


def interval_text(value: Interval) -> str:
    """A proportion in percent with its limits."""
    return f"{100 * value.value:.1f} ({100 * value.low:.1f}-{100 * value.high:.1f})"


def _cells(value: Interval | None) -> list[str]:
    if value is None:
        return [""] * 4
    numbers = (value.value, value.low, value.high)
    return [*("" if math.isnan(x) else f"{x:.6f}" for x in numbers), str(value.n)]


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


_WRITERS: dict[str, Callable[[Sequence[Row]], str]] = {".csv": as_csv, ".json": as_json, ".md": as_markdown}
