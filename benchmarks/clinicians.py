"""Twenty simulated clinicians at once: how long each of them waits.

    python -m benchmarks.clinicians --people 20 --minutes 10 --out docs/benchmarks/clinicians.md

Each signs in to one `workbench ui --login`, then works without end as a person would, with pauses:
opens the page, defines a condition, uploads ten DICOM scans, looks at and labels each, adapts, uploads
a new case, waits for its reading, looks at it, agrees. Seconds are by the clock, from the click to the
answer; everything runs on this machine, browsers' own work excepted. Before they come, one clinician
alone adapts to ten DICOM scans of 512 x 512 pixels.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from pydicom import dcmread
from scipy.ndimage import zoom

from benchmarks.client import Clinician, Stopwatch
from benchmarks.site import Site
from benchmarks.throughput import processor_name
from workbench.evaluation.plaintext import NOTICE
from workbench.imaging.phantom import write_phantoms
from workbench.service import accounts
from workbench.service.kinds import Role
from workbench.store.database import Store

CLASSES = ("smooth", "spiculated")
PAGE, UPLOAD, LABEL, SLICE = "page", "upload of ten scans", "label", "slice in the viewer"
ADAPTATION, READING = "adaptation, click to result", "reading of a new case, upload to reading"
ORDER = (PAGE, UPLOAD, LABEL, SLICE, ADAPTATION, READING)
_PASSWORD = "correct horse battery staple"
_PATIENTS, _ROWS = 5, 512
_PAUSE = (0.5, 3.0)


@dataclass
class Person:
    """One clinician and what happened to them."""

    watch: Stopwatch = field(default_factory=Stopwatch)
    walks: int = 0
    errors: list[str] = field(default_factory=list)


def walk(
    client: Clinician, watch: Stopwatch, files: Path, title: str, rng: random.Random, pauses: bool
) -> None:
    """From the page to a verdict."""

    def think() -> None:
        if pauses:
            time.sleep(rng.uniform(*_PAUSE))

    watch.take(PAGE, client.page)
    think()
    condition = str(client.create(title, CLASSES)["id"])
    shift = rng.randrange(3)
    chosen = [p for name in CLASSES for p in sorted((files / name).iterdir())[shift : shift + _PATIENTS]]
    named = [(f"{path.parent.name}/{path.name}", path) for path in chosen]
    watch.take(UPLOAD, lambda: client.wait(client.upload(condition, "support", named)))
    classes = {one["name"]: one["id"] for one in client.condition(condition)["classes"]}
    for scan in client.scans(condition):
        watch.take(SLICE, lambda s=scan["id"]: client.look(s))
        think()
        watch.take(LABEL, lambda s=scan["id"], c=classes[scan["hint"]]: client.label(s, c))
    watch.take(ADAPTATION, lambda: client.wait(client.adapt(condition)))
    think()
    new = sorted((files / rng.choice(CLASSES)).iterdir())[-1 - rng.randrange(2)]
    case = watch.take(READING, lambda: _read(client, condition, new))
    watch.take(SLICE, lambda: client.look(case))
    think()
    client.verdict(case, "agree")


def _read(client: Clinician, condition: str, file: Path) -> str:
    client.wait(client.upload(condition, "case", [("new.dcm", file)]))
    end = time.monotonic() + 120
    while time.monotonic() < end:
        cases = client.cases(condition)
        if cases and cases[0]["reading"] is not None:
            return str(cases[0]["scan"]["id"])
        time.sleep(0.1)
    raise TimeoutError("the case was not read in two minutes")


def work(person: Person, address: str, name: str, files: Path, until: float, seed: int) -> None:
    """Until the time is over; an error is written down and the person begins again."""
    rng = random.Random(seed)
    client = Clinician(address)
    try:
        time.sleep(rng.uniform(0, 10))
        client.sign_in(name, _PASSWORD)
        while time.monotonic() < until:
            try:
                walk(client, person.watch, files, f"{name} {person.walks}", rng, pauses=True)
                person.walks += 1
            except Exception as error:
                person.errors.append(f"{name}: {error!r}")
    except Exception as error:
        person.errors.append(f"{name}: {error!r}")
    finally:
        client.close()


def large_phantoms(folder: Path) -> None:
    """Drawn scans enlarged to the size of a CT slice."""
    for path in write_phantoms(folder, _PATIENTS + 5, seed=1):
        scan = dcmread(path)
        stored = scan.pixel_array
        values = np.round(zoom(stored.astype(float), _ROWS / scan.Rows, order=1)).astype(stored.dtype)
        scan.Rows, scan.Columns = values.shape
        scan.PixelData = values.tobytes()
        scan.save_as(path, enforce_file_format=True)


def run(folder: Path, people: int, minutes: float, workers: int) -> tuple[Stopwatch, list[Person], int]:
    """One clinician alone, then all of them.

    Args:
        folder: empty; the site's data directory and log are made in it.
        people: how many at once.
        minutes: how long they work; each finishes the walk it is in.
        workers: worker processes.

    Returns:
        what the first waited for, everybody, and the most bytes that server and workers held.
    """
    large_phantoms(folder / "phantoms")
    store = Store.open(folder / "data")
    for number in range(people + 1):
        accounts.create_user(store, accounts.CONSOLE, f"person{number}", Role.EDITOR, _PASSWORD)
    store.close()
    site = Site(folder / "data", folder / "site.log", workers=workers, login=True)
    site.start()
    alone, everybody, most = Stopwatch(), [Person() for _ in range(people)], 0
    try:
        first = Clinician(site.address)
        first.sign_in("person0", _PASSWORD)
        for number in range(3):
            walk(first, alone, folder / "phantoms", f"alone {number}", random.Random(number), pauses=False)
        first.close()
        until = time.monotonic() + 60 * minutes
        threads = [
            threading.Thread(target=work, args=(p, site.address, f"person{k}", folder / "phantoms", until, k))
            for k, p in enumerate(everybody, start=1)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            most = max(most, site.memory())
            time.sleep(1.0)
    finally:
        site.stop()
    return alone, everybody, most


def render(alone: Stopwatch, everybody: Sequence[Person], minutes: float, workers: int, most: int) -> str:
    """The page."""
    rows = []
    for name in ORDER:
        own = alone.seconds.get(name, [])
        waits = np.array([s for p in everybody for s in p.watch.seconds.get(name, [])])
        first = f"{np.median(own):.2f}" if own else "not measured"
        shown = (
            f"{np.median(waits):.2f} | {np.quantile(waits, 0.95):.2f} | {len(waits)}"
            if len(waits)
            else "- | - | 0"
        )
        rows.append(f"| {name} | {first} | {shown} |")
    errors = [line for person in everybody for line in person.errors]
    said = "\n".join(f"- {line}" for line in errors[:20]) or "None."
    return f"""# Twenty clinicians at once

Made by `python -m benchmarks.clinicians --people {len(everybody)} --minutes {minutes:g}` on
{date.today()}: {processor_name()}, {os.cpu_count()} cores, {workers} workers; Python
{platform.python_version()}. {NOTICE}

Each signs in and walks again and again, with pauses of {_PAUSE[0]} to {_PAUSE[1]} seconds: page,
condition, ten drawn DICOM scans of {_ROWS} x {_ROWS} pixels, a look at and a label for each,
adaptation, a new case, its reading, a verdict. Seconds by the clock over HTTP on the same machine,
which also runs the clinicians; what a browser draws is not in them.

| waited for | alone, median of 3, s | {len(everybody)} at once, median, s | 95th percentile, s | n |
|---|---|---|---|---|
{chr(10).join(rows)}

Walks finished: {sum(person.walks for person in everybody)}. Server and {workers} workers held at most
{most / 2**20:,.0f} MiB.

Errors ({len(errors)}):

{said}
"""


def main() -> None:
    """See the module's description."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="the page to write; it is printed in any case")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="workbench-clinicians-") as folder:
        alone, everybody, most = run(Path(folder), given.people, given.minutes, given.workers)
    page = render(alone, everybody, given.minutes, given.workers, most)
    print(page)
    if given.out is not None:
        given.out.write_text(page, encoding="utf-8")
    if any(person.errors for person in everybody):
        sys.exit(1)


if __name__ == "__main__":
    main()
