"""Figures a person reads at arm's length: dots, an interval on a scale, a curve with its band.

Nothing is told by colour alone: shape, position and words say the same. Sizes are set in style sheets, so
that a figure takes its room before it is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ui.render.markup import esc
from workbench.evaluation.statistics import percent
from workbench.service.kinds import Point, Share95

_DOTS_AT_MOST = 60
_APART = 30.0
# The curve's canvas, in its own units: left and bottom leave room for the axes.
_WIDE, _HIGH, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 270, 56, 18, 18, 46


def dots(value: Share95) -> str:
    """A dot for each patient: full where read right, a ring where read wrong; nothing above sixty."""
    if value.n > _DOTS_AT_MOST:
        return ""
    right = '<i class="wb-hit"></i>' * value.successes
    wrong = '<i class="wb-slip"></i>' * (value.n - value.successes)
    said = f"{value.successes} of {value.n} read right"
    return f'<div class="wb-dots" role="img" aria-label="{said}">{right}{wrong}</div>'


def scale(value: Share95, chance: float, spoken: str) -> str:
    """The interval on a line from 0 to 100 %, with what guessing would give.

    Args:
        value: a share with its interval.
        chance: share that guessing gets right, 0 to 1.
        spoken: what it is of, for screen readers.
    """
    low, high, here = 100 * value.low, 100 * value.high, 100 * value.successes / max(value.n, 1)
    told = f"{spoken}: {here:.0f} %, 95 % interval {low:.0f} to {high:.0f} %; guessing {percent(chance)} %"
    ticks = "".join(
        f'<span class="wb-tick" style="left:{at}%">{at}{" %" if at == 100 else ""}</span>'
        for at in (0, 25, 50, 75, 100)
    )
    return (
        f'<div class="wb-ruler" role="img" aria-label="{esc(told)}"><div class="wb-ruler-rail">'
        f'<i class="wb-span" style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
        f'<i class="wb-guess" style="left:{100 * chance:.1f}%"><b>guessing</b></i>'
        f'<i class="wb-needle" style="left:{here:.1f}%"></i></div>{ticks}</div>'
    )


def bar(value: Share95 | None, index: int) -> str:
    """A small interval bar in a class's colour, for a table's row."""
    if value is None or value.n == 0:
        return '<div class="wb-bar-none" aria-hidden="true"></div>'
    here = 100 * value.successes / value.n
    return (
        f'<div class="wb-mini-rail" aria-hidden="true"><i class="wb-mini-span wb-class-{index}" '
        f'style="left:{100 * value.low:.1f}%;width:{100 * (value.high - value.low):.1f}%"></i>'
        f'<i class="wb-mini-here" style="left:{here:.1f}%"></i></div>'
    )


def curve(points: Sequence[Point], have: float, chance: float) -> str:
    """Expected accuracy by patients per class, with the band it lies in 95 % of the time.

    Args:
        points: two or more, any order.
        have: patients per class there are now.
        chance: share that guessing gets right.
    """
    ordered = sorted(points, key=lambda point: point.shots)
    first, last = ordered[0].shots, ordered[-1].shots
    reach = max(last - first, 1e-9)

    def x(shots: float) -> float:
        return _LEFT + (_WIDE - _LEFT - _RIGHT) * min(max((shots - first) / reach, 0.0), 1.0)

    def y(level: float) -> float:
        return _HIGH - _BOTTOM - (_HIGH - _TOP - _BOTTOM) * min(max(level, 0.0), 1.0)

    upper = [f"{x(p.shots):.1f},{y(p.high):.1f}" for p in ordered]
    lower = [f"{x(p.shots):.1f},{y(p.low):.1f}" for p in reversed(ordered)]
    line = " ".join(f"{x(p.shots):.1f},{y(p.expected):.1f}" for p in ordered)
    grid = "".join(
        f'<line x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y(level):.1f}" y2="{y(level):.1f}" '
        'class="wb-gridline"/>'
        f'<text x="{_LEFT - 8}" y="{y(level) + 4.5:.1f}" class="wb-axis" text-anchor="end">{100 * level:.0f}'
        f"{' %' if level == 1 else ''}</text>"
        for level in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    marks = "".join(
        f'<text x="{x(shots):.1f}" y="{_HIGH - _BOTTOM + 19}" class="wb-axis" text-anchor="middle">'
        f"{shots:g}</text>"
        for shots in _apart([p.shots for p in ordered], x)
    )
    known = "".join(
        f'<circle cx="{x(p.shots):.1f}" cy="{y(p.expected):.1f}" r="4" class="wb-knot"/>' for p in ordered
    )
    here = ""
    if first <= have <= last:
        side, anchor = (7, "start") if x(have) < _WIDE - 120 else (-7, "end")
        here = (
            f'<line x1="{x(have):.1f}" x2="{x(have):.1f}" y1="{_TOP}" y2="{_HIGH - _BOTTOM}" class="wb-now"/>'
            f'<text x="{x(have) + side:.1f}" y="{_HIGH - _BOTTOM - 8}" class="wb-label" '
            f'text-anchor="{anchor}">now</text>'
        )
    said = "; ".join(
        f"{p.shots:g} patients per class {percent(p.expected)} % ({percent(p.low)} to {percent(p.high)} %)"
        for p in ordered
    )
    return (
        f'<svg class="wb-curve" viewBox="0 0 {_WIDE} {_HIGH}" role="img" '
        f'aria-label="Expected accuracy: {esc(said)}">{grid}'
        f'<polygon points="{" ".join(upper + lower)}" class="wb-band"/>'
        f'<line x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y(chance):.1f}" y2="{y(chance):.1f}" '
        f'class="wb-chance-line"/>'
        f'<text x="{_WIDE - _RIGHT}" y="{y(chance) + 15:.1f}" class="wb-label" text-anchor="end">guessing'
        f"</text>{here}"
        f'<polyline points="{line}" class="wb-curve-line"/>{known}{marks}'
        f'<text x="{(_LEFT + _WIDE - _RIGHT) / 2:.0f}" y="{_HIGH - 6}" class="wb-label" '
        f'text-anchor="middle">patients per class</text></svg>'
    )


def threshold(at: float, finding: str, otherwise: str) -> str:
    """Where the first class becomes the better call, on its probability from 0 to 100 %."""
    here = 100 * min(max(at, 0.0), 1.0)
    told = f"From {percent(at)} % on, {finding} is the better call"
    return (
        f'<div class="wb-cut" role="img" aria-label="{esc(told)}"><div class="wb-cut-rail">'
        f'<i class="wb-cut-below" style="width:{here:.1f}%"></i>'
        f'<i class="wb-cut-above" style="left:{here:.1f}%"></i>'
        f'<b class="wb-cut-here" style="left:{here:.1f}%"><span>{percent(at)} %</span></b></div>'
        f'<div class="wb-cut-ends"><span>{esc(otherwise)}</span><span>{esc(finding)}</span></div></div>'
    )


def gauge(used: float, whole: float, spoken: str) -> str:
    """How much of something is used; it changes its sign, not only its colour, when nearly full."""
    part = min(max(used / whole, 0.0), 1.0) if whole > 0 else 0.0
    level = "full" if part >= 0.95 else "high" if part >= 0.8 else "fine"
    return (
        f'<div class="wb-gauge wb-gauge-{level}" role="img" aria-label="{esc(spoken)}">'
        f'<i style="width:{100 * part:.1f}%"></i></div>'
    )


def _apart(values: Sequence[float], x: Callable[[float], float]) -> list[float]:
    """Those whose figures do not run into each other, the first and the last among them."""
    kept = [values[0]]
    for value in values[1:-1]:
        if x(value) - x(kept[-1]) >= _APART and x(values[-1]) - x(value) >= _APART:
            kept.append(value)
    return [*kept, values[-1]]
