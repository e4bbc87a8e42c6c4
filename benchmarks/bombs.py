"""Peak memory and time of hostile files, each beside a good one, in a process of its own.

    python -m benchmarks.bombs
    python -m benchmarks.bombs --page     (the same files through the web page, in Chromium)

Memory is the sum of the largest resident sizes of the reading process and its workers, those that were ended
included: never less than they held together at any one time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.hostile import BOMBS, FURTHER, ZIPS, picture
from benchmarks.processes import ended_peak_bytes, peak_bytes

if TYPE_CHECKING:
    from playwright.sync_api import Page

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


def attack_page(names: list[str]) -> list[Outcome]:
    """Drop each file, with a good one, on a server's page; memory is the server's and its workers'."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="workbench-bombs-") as place, ExitStack() as stack:
        command = [sys.executable, "-c", _SERVE, "ui", "--data-dir", place, "--port", "7990"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        stack.callback(server.wait)
        stack.callback(server.send_signal, signal.SIGINT)
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        outcomes = [
            _drop(browser.new_context().new_page(), address, name, Path(place), server.pid) for name in names
        ]
        browser.close()
    return outcomes


_SERVE = "import sys; from workbench.cli import app; app()"


def _drop(page: Page, address: str, name: str, place: Path, server: int) -> Outcome:
    page.set_default_timeout(120_000)
    page.goto(address)
    page.wait_for_selector(".wb-step[aria-current=step]")
    page.fill("#wb-title input", "Attack")
    for index, label in enumerate(("present", "absent")):
        page.fill(f"#wb-name-{index} input", label)
    page.press("#wb-name-1 input", "Enter")
    page.wait_for_selector("#wb-drop-0")
    good, bad = place / "good.png", place / "hostile.bin"
    good.write_bytes(picture())
    ATTACKS[name].make(bad)
    base, start = peak_bytes(server), time.perf_counter()
    page.set_input_files("#wb-drop-0 input[type=file]", [str(bad), str(good)])
    refused = "#wb-tray-0 [aria-label='Refused files']"
    page.wait_for_function("document.querySelectorAll('#wb-tray-0 .wb-thumb').length >= 1")
    page.wait_for_function("!document.querySelector('#wb-tray-0 progress')")
    seconds = time.perf_counter() - start
    answer = page.inner_text(refused) if page.locator(refused).count() else "read"
    said = " ".join(answer.split())[:160]
    thumbs = page.locator("#wb-tray-0 .wb-thumb").count()
    size, peak = bad.stat().st_size, peak_bytes(server)
    page.context.close()
    return Outcome(name, size, said, int(said != "read"), thumbs >= 1, seconds, peak, base)


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
    parser.add_argument("--page", action="store_true", help="through the web page, in Chromium")
    options = parser.parse_args()
    if options.page:
        print(table(attack_page(options.only)))
    elif options.attack:
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
