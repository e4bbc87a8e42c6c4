"""Figures in words: shares, intervals, sizes, moments. Every screen says them the same way."""

from __future__ import annotations

import math
import time

from ui.render.markup import ago, plural
from workbench.evaluation.statistics import percent
from workbench.service.kinds import Interval95, Share95

TOO_FEW = "too few to say"


def span(low: float, high: float) -> str:
    """Both limits of a share in percent: ``62-97 %``."""
    return f"{percent(low)}-{percent(high)} %"


def share(value: Share95 | None) -> str:
    """``17 of 20 (62-97 %)``, or that there are too few to say."""
    if value is None or value.n == 0:
        return TOO_FEW
    return f"{value.successes} of {value.n} ({span(value.low, value.high)})"


def figure(value: Interval95 | None, as_percent: bool = True) -> str:
    """A figure with its interval and n, or that there are too few to say."""
    if value is None or math.isnan(value.value):
        return TOO_FEW
    if math.isnan(value.low) or math.isnan(value.high):
        return f"{TOO_FEW} (n = {value.n})"
    if as_percent:
        return f"{percent(value.value)} % ({span(value.low, value.high)}, n = {value.n})"
    return f"{value.value:.2f} ({value.low:.2f}-{value.high:.2f}, n = {value.n})"


def right_in(value: Share95 | None) -> str:
    """``right in 17 of 20 patients (62-97 %)``, or that there are too few to say."""
    if value is None or value.n == 0:
        return TOO_FEW
    return f"right in {value.successes} of {plural(value.n, 'patient')} ({span(value.low, value.high)})"


def size(count: int) -> str:
    """Bytes as people say them: ``3.2 MB``."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def moment(at: float | None) -> str:
    """How long ago something was, ``never`` for None."""
    return "never" if at is None else ago(at)


def stamp(at: float) -> str:
    """Date and time to the second, as a record shows them (UTC)."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def day(at: float) -> str:
    """The date alone (UTC)."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))
