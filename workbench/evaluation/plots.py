"""The plots of reports, as inline SVG for a page and as PNG for a PDF.

A drawing is a function of axes; whoever makes a report binds its figures with `functools.partial`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import matplotlib
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import roc_curve

from workbench.evaluation.statistics import Proportion

Drawing = Callable[[Axes], None]
SIZE = (4.6, 3.6)
"""Inches."""
_DOTS = 200
_NOTHING = {"Date": None, "Creator": None, "Format": None, "Type": None}


def svg(draw: Drawing) -> Markup:
    """A drawing as inline SVG: real text, no metadata, the same bytes for the same figures."""
    out = io.StringIO()
    with _style():
        _figure(draw).savefig(out, format="svg", metadata=_NOTHING, transparent=True)
    text = out.getvalue()
    return Markup(text[text.index("<svg") :])  # noqa: S704 - matplotlib escapes the class names


def png(draw: Drawing) -> bytes:
    """A drawing as PNG on white, 200 dots per inch."""
    out = io.BytesIO()
    with _style():
        _figure(draw).savefig(out, format="png", dpi=_DOTS, metadata={"Software": None})
    return out.getvalue()


def confusion(classes: Sequence[str], counts: npt.NDArray[np.int64], axes: Axes) -> None:
    """Counts ``(k, k)`` of the row's true class read as the column's."""
    # Rectangles, not a picture: a page's content policy allows nothing that is loaded, not even inline.
    axes.pcolormesh(counts, cmap="Blues", vmin=0, edgecolors="white", linewidth=1)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    ticks = [k + 0.5 for k in range(len(classes))]
    axes.set_xticks(ticks, _short(classes), rotation=30, ha="right")
    axes.set_yticks(ticks, _short(classes))
    axes.set_xlabel("reading")
    axes.set_ylabel("label")
    dark = counts.max() / 2
    for (row, column), count in np.ndenumerate(counts):
        axes.text(
            column + 0.5,
            row + 0.5,
            str(count),
            ha="center",
            va="center",
            color="white" if count > dark else "black",
        )


def sensitivities(classes: Sequence[str], values: Sequence[Proportion | None], axes: Axes) -> None:
    """Each class's sensitivity with its interval; None is said in words."""
    for row, value in enumerate(values):
        if value is None:
            axes.text(0.02, row, "too few to say", va="center")
            continue
        axes.plot([value.low, value.high], [row, row], color="tab:blue", linewidth=2)
        axes.plot([value.value], [row], "o", color="tab:blue")
    axes.set_yticks(range(len(classes)), _short(classes))
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("sensitivity")


def roc(scores: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_], axes: Axes) -> None:
    """Receiver operating characteristic of scores ``(n,)``."""
    false, true, _ = roc_curve(positive, scores)
    axes.plot(false, true, color="tab:blue", drawstyle="steps-post")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
    axes.set_xlabel("1 - specificity")
    axes.set_ylabel("sensitivity")
    axes.set_aspect("equal")


def curve(
    shots: Sequence[float],
    expected: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    now: float,
    axes: Axes,
) -> None:
    """Learning-curve forecast: accuracy (0 to 1) by patients per class, with where the condition is now."""
    axes.fill_between(shots, low, high, color="tab:blue", alpha=0.2, linewidth=0)
    axes.plot(shots, expected, "o-", color="tab:blue", markersize=4)
    axes.axvline(now, color="grey", linewidth=0.8, linestyle="--")
    axes.annotate("now", (now, 0.02), xytext=(3, 0), textcoords="offset points", color="dimgrey")
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("labelled patients per class")
    axes.set_ylabel("expected accuracy")


def _style() -> AbstractContextManager[None]:
    return matplotlib.rc_context({"svg.hashsalt": "workbench", "svg.fonttype": "none", "font.size": 10})


def _figure(draw: Drawing) -> Figure:
    figure = Figure(figsize=SIZE, layout="constrained")
    draw(figure.subplots())
    return figure


def _short(names: Sequence[str]) -> list[str]:
    # A dollar sign would start a formula in matplotlib's own markup.
    return [(name if len(name) <= 24 else f"{name[:23]}…").replace("$", r"\$") for name in names]
