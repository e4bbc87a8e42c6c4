"""Memory and processor time of this process and of those it has started, from /proc (Linux)."""

from __future__ import annotations

import os
import resource
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def family(root: int | None = None) -> list[int]:
    """A process (this one if None) and all its descendants that are alive."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [os.getpid() if root is None else root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def peak_bytes(root: int | None = None) -> int:
    """Sum of the largest resident sizes (VmHWM) of a family: never less than it held at any one time.

    A descendant that has ended counts only through `ended_peak_bytes`.
    """
    return sum(_status(process, "VmHWM") for process in family(root))


def resident_bytes(root: int | None = None) -> int:
    """What a family holds now, pages that its processes share counted for each."""
    return sum(_status(process, "VmRSS") for process in family(root))


def ended_peak_bytes() -> int:
    """Largest resident size of any child of this process that has ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def processor_seconds() -> float:
    """Processor time of this process and of its descendants that are alive."""
    total = 0
    for process in family():
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            continue
    return total / _TICKS


def _status(process: int, name: str) -> int:
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
