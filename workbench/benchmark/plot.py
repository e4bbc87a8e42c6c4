"""Balanced accuracy against shots, one small picture for each condition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from workbench.evaluation.statistics import Interval

Line = tuple[str, list[tuple[int, Interval]]]
_COLUMNS = 7
_COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of Okabe and Ito, told apart by colour-blind readers."""
_MARKS = "os^Dvx*"


def draw(conditions: Sequence[tuple[str, Sequence[Line]]], path: Path) -> None:
    """Write the picture.

    Args:
        conditions: title, and for each row its label and points (shots, balanced accuracy).
        path: a .png file.
    """
    rows = -(-len(conditions) // _COLUMNS)
    figure = Figure(figsize=(2.1 * _COLUMNS, 1.9 * rows + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True).flatten()
    handles = {}
    for place, (title, lines) in zip(axes, conditions, strict=False):
        place.set_title(title.replace(" (", "\n("), fontsize=8)
        for number, (label, points) in enumerate(lines):
            if not points:
                continue
            shots = [shot for shot, _ in points]
            values = [100 * value.value for _, value in points]
            errors = [
                [100 * (v.value - v.low) for _, v in points],
                [100 * (v.high - v.value) for _, v in points],
            ]
            handles[label] = place.errorbar(
                shots,
                values,
                yerr=errors,
                color=_COLOURS[number % len(_COLOURS)],
                marker=_MARKS[number % len(_MARKS)],
                markersize=3,
                linewidth=1,
                elinewidth=0.7,
            )
        place.set_xscale("log")
        place.set_xticks([1, 5, 10], ["1", "5", "10"])
        place.minorticks_off()
        place.tick_params(labelsize=7)
        place.grid(axis="y", linewidth=0.3)
        if not any(points for _, points in lines):
            place.text(
                0.5, 0.5, "not computed", ha="center", va="center", transform=place.transAxes, fontsize=8
            )
    for place in axes[len(conditions) :]:
        place.set_visible(False)
    figure.supxlabel("labelled patients per class", fontsize=9)
    figure.supylabel("balanced accuracy, % (95 % interval over episodes)", fontsize=9)
    if handles:
        figure.legend(
            handles.values(), handles.keys(), loc="outside upper center", ncols=6, fontsize=8, frameon=False
        )
    figure.savefig(path, dpi=100)
