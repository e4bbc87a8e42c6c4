"""Damaged files by the thousand: each is read or refused with a reason, and nothing else happens.

    python -m benchmarks.fuzz --files 20000 --seed 1
    python -m benchmarks.fuzz --seed 1 --only 4711 --keep damaged.bin   (one of them again)

Seeds are small valid files, made and real; file number n of a seed is always the same. A file counts as a
failure where anything but `ScanRefused` leaves the reader, where a scan holds what a scan must not, or
where the reason is an error of ours (a name, an import, an assertion) that was caught. Workers that a
codec took down are counted apart: their file is refused, and the next one is read.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.mutations import Seed, mutate, seeds
from benchmarks.processes import ended_peak_bytes, peak_bytes
from workbench.errors import ScanRefused
from workbench.imaging.read import read_scan, read_scans
from workbench.imaging.scan import Scan
from workbench.imaging.workers import Stopped

OURS = ("NameError", "UnboundLocalError", "ImportError", "AssertionError")
ABOUT = re.compile(r"\d[\d,.]*( x \d[\d,.]*)*")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one damaged file.

    Attributes:
        number: by which it can be made again.
        kind: of its seed.
        what: ``read``, ``refused``, ``stopped`` (its worker ended) or ``FAILED``.
        reason: of the refusal, numbers left out; of a failure, the error.
    """

    number: int
    kind: str
    what: str
    reason: str


def damaged(known: list[Seed], seed: int, number: int) -> tuple[Seed, bytes]:
    """File `number`: its seed and its bytes."""
    dice = random.Random(f"{seed}/{number}")
    kinds = sorted({one.kind for one in known})
    kind = dice.choice(kinds)
    chosen = dice.choice([one for one in known if one.kind == kind])
    return chosen, mutate(chosen, dice)


def judge(number: int, kind: str, path: Path) -> Outcome:
    """Read one file and say what came of it."""
    try:
        scans = _read(kind, path)
        problem = next(filter(None, map(_problem, scans)), "")
        return Outcome(number, kind, "FAILED" if problem else "read", problem)
    except Stopped as error:
        return Outcome(number, kind, "stopped", ABOUT.sub("N", error.reason))
    except ScanRefused as error:
        ours = any(f"({name})" in error.reason for name in OURS)
        tells = str(path.parent) in str(error)
        return Outcome(number, kind, "FAILED" if ours or tells else "refused", ABOUT.sub("N", error.reason))
    except BaseException as error:
        return Outcome(number, kind, "FAILED", repr(error))


def _read(kind: str, path: Path) -> list[Scan]:
    if kind != "zip":
        return [read_scan(path)]
    result = read_scans([path])
    if not result.scans:
        raise next(iter(result.refused), ScanRefused(path.name, "The zip is empty.", ""))
    return list(result.scans)


def _problem(scan: Scan) -> str:
    if not np.isfinite(scan.pixels).all():
        return "a pixel is not finite"
    if scan.affine is not None and not np.isfinite(scan.affine).all():
        return "the affine is not finite"
    if scan.spacing is not None and not all(np.isfinite(scan.spacing)):
        return "the spacing is not finite"
    return ""


def run(known: list[Seed], seed: int, numbers: range, threads: int = 2) -> Iterator[Outcome]:
    """Damage and read the files of these numbers, a few at a time."""
    with tempfile.TemporaryDirectory(prefix="workbench-fuzz-") as place:

        def one(number: int) -> Outcome:
            chosen, data = damaged(known, seed, number)
            path = Path(place, f"{number}")
            path.write_bytes(data)
            try:
                return judge(number, chosen.kind, path)
            finally:
                path.unlink()

        with ThreadPoolExecutor(threads) as pool:
            for start in range(numbers.start, numbers.stop, 500):
                yield from pool.map(one, range(start, min(start + 500, numbers.stop)))


def table(outcomes: list[Outcome]) -> str:
    """Counts by kind of file and by reason, in Markdown."""
    kinds, counts = sorted({one.kind for one in outcomes}), Counter((one.kind, one.what) for one in outcomes)
    names = ("read", "refused", "stopped", "FAILED")
    lines = ["| seed | files | read | refused | worker stopped | failed |", "|---|---|---|---|---|---|"]
    for kind in kinds:
        row = [counts[kind, name] for name in names]
        lines.append(f"| {kind} | {sum(row):,} | " + " | ".join(f"{count:,}" for count in row) + " |")
    total = [sum(counts[kind, name] for kind in kinds) for name in names]
    lines.append(f"| all | {len(outcomes):,} | " + " | ".join(f"{count:,}" for count in total) + " |")
    lines += ["", "| files | refused because |", "|---|---|"]
    reasons = Counter(one.reason for one in outcomes if one.what not in ("read", "FAILED"))
    lines += [f"| {count:,} | {reason} |" for reason, count in reasons.most_common()]
    return "\n".join(lines)


def main() -> None:
    """See the module's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shared", type=Path, help="folder of real files, whose small ones are seeds too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", type=int, help="make and read this file alone")
    parser.add_argument("--keep", type=Path, help="write the file of --only here")
    options = parser.parse_args()
    known = seeds(options.shared)
    if options.only is not None:
        chosen, data = damaged(known, options.seed, options.only)
        if options.keep:
            options.keep.write_bytes(data)
        print(chosen.kind, *run(known, options.seed, range(options.only, options.only + 1)))
        return
    start, outcomes = time.monotonic(), []
    for outcome in run(known, options.seed, range(options.files)):
        outcomes.append(outcome)
        if outcome.what in ("FAILED", "stopped"):
            print(outcome, file=sys.stderr, flush=True)
        if len(outcomes) % 1000 == 0:
            print(f"{len(outcomes):,} files, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    print(table(outcomes))
    peak = peak_bytes() + ended_peak_bytes()
    print(f"\n{len(known)} seeds; peak memory of all processes {peak / 2**20:,.0f} MiB")
    if options.json:
        failed = [one.number for one in outcomes if one.what == "FAILED"]
        stopped = [one.number for one in outcomes if one.what == "stopped"]
        record = {
            "date": date.today().isoformat(),
            "files": options.files,
            "seed": options.seed,
            "seeds": len(known),
            "failed": failed,
            "stopped": stopped,
            "peak_bytes": peak,
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if any(one.what == "FAILED" for one in outcomes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
