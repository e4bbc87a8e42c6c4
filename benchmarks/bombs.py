"""Peak memory and time of hostile files, each beside a good one, in a process of its own.

    python -m benchmarks.bombs

Memory is the sum of the largest resident sizes of the reading process and its workers, those that were ended
included: never less than they held together at any one time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.hostile import BOMBS, FURTHER, ZIPS, picture
from benchmarks.processes import ended_peak_bytes, peak_bytes

MIB = 2**20
ATTACKS = {attack.name: attack for attack in (*BOMBS, *FURTHER, *ZIPS)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attack.

    Attributes:
        name: of the attack.
        size: of the file in bytes.
        answer: the first refusal's reason; "read" where there was none.
        refused: number of refusals.
        good: whether the good file beside it was read, before and after.
        seconds: until all were answered, by the clock.
        peak: bytes, see the module.
        base: the same after a good file was read and before the attack.
    """

    name: str
    size: int
    answer: str
    refused: int
    good: bool
    seconds: float
    peak: int
    base: int


def attack(name: str, bad: Path) -> Outcome:
    """Read the hostile file beside a good one, in this process."""
    from workbench.imaging.read import read_scan, read_scans

    good = bad.with_name("good.png")
    good.write_bytes(picture())
    read_scan(good)
    base = peak_bytes()
    start = time.perf_counter()
    result = read_scans([bad, good])
    seconds = time.perf_counter() - start
    was_read = any(scan.provenance.source == "good.png" for scan in result.scans)
    after = read_scan(good).pixels.shape == (1, 8, 8, 1)
    peak = peak_bytes() + ended_peak_bytes()
    answer = result.refused[0].reason if result.refused else "read"
    size = bad.stat().st_size
    return Outcome(name, size, answer, len(result.refused), was_read and after, seconds, peak, base)


def attack_apart(*names: str) -> list[Outcome]:
    """Attack a fresh process, one after the other."""
    with tempfile.TemporaryDirectory(prefix="workbench-bombs-") as place:
        # Made here, so that the memory it takes is not counted there.
        for number, name in enumerate(names):
            ATTACKS[name].make(Path(place, str(number)))
        command = [sys.executable, "-m", "benchmarks.bombs", "--attack", place, *names]
        out = subprocess.run(command, capture_output=True, text=True, check=True)
        return [Outcome(**json.loads(line)) for line in out.stdout.splitlines()]


def table(outcomes: list[Outcome]) -> str:
    """The page's table in Markdown."""
    lines = [
        "| attack | file, bytes | answer | refusals | good files read | s | peak memory, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in outcomes:
        lines.append(
            f"| {one.name} | {one.size:,} | {one.answer} | {one.refused} | {'yes' if one.good else 'NO'} | "
            f"{one.seconds:.1f} | {one.peak / MIB:,.0f} (before: {one.base / MIB:,.0f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    """See the module's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--attack", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        folder, *names = options.attack
        for number, name in enumerate(names):
            print(json.dumps(asdict(attack(name, Path(folder, str(number))))), flush=True)
    else:
        outcomes = []
        for name in options.only:
            outcomes += attack_apart(name)
            print(outcomes[-1], file=sys.stderr, flush=True)
        print(table(outcomes))


if __name__ == "__main__":
    main()
