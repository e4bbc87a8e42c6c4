"""Kill the server and its workers at random points of the walk, start again, and look for what was lost.

    python -m benchmarks.kill --kills 20 --seed 1 --out docs/benchmarks/kill.md

A clinician walks from a new condition to a verdict over and over: define, upload, label, adapt, read.
Somebody else sends SIGKILL at random moments: to server and workers together, to the server alone, or
to one worker; and starts the site again. Whatever the server had acknowledged is written down. At the
end each acknowledged upload, label and job must be there, each job must have had its effect once, and
the database, the blobs and the audit chain must verify.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx

from benchmarks.client import Clinician, Refused
from benchmarks.site import Site
from workbench.evaluation.plaintext import NOTICE
from workbench.imaging.phantom import write_phantoms

T = TypeVar("T")
WAYS = ("server and workers", "server alone", "one worker")
CLASSES = ("smooth", "spiculated")
_PATIENTS = 5
_ANSWERS = 40
"""A walk has about as many answers, so that each of its points is as likely."""
_LONGEST = 900.0


@dataclass
class Ledger:
    """What the server acknowledged."""

    imports: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    adaptations: list[str] = field(default_factory=list)
    verdicts: dict[str, str] = field(default_factory=dict)
    walks: int = 0


class Walker:
    """Walks until told to stop, through whatever happens to the server."""

    def __init__(self, address: str, files: Path, stop: threading.Event) -> None:
        self._address, self._files, self._stop = address, files, stop
        self._client = Clinician(address, patience=20.0)
        self.ledger = Ledger()
        self.answers = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Walk; an error that is not the killing's is kept in `error`."""
        try:
            while not self._stop.is_set():
                self._walk(self.ledger.walks)
                self.ledger.walks += 1
        except BaseException as error:
            self.error = error

    def _insist(self, task: Callable[[Clinician], T]) -> T:
        """Try again while the server is away; a person would reload the page."""
        end = time.monotonic() + _LONGEST
        while True:
            try:
                value = task(self._client)
                # Waiting for a worker to start is one point of the walk, however often one asks.
                queued = isinstance(value, dict) and value.get("state") == "queued"
                self.answers += not queued
                return value
            except (httpx.TransportError, Refused) as error:
                passing = isinstance(error, httpx.TransportError) or error.status in (401, 502, 503)
                if not passing or time.monotonic() > end:
                    raise
                time.sleep(0.2)
                try:
                    self._client.enter()
                except (httpx.TransportError, Refused):
                    continue

    def _walk(self, number: int) -> None:
        title = f"walk {number}"
        condition = self._condition(title)
        self._import(condition, "support", [(f"{p.parent.name}/{p.name}", p) for p in self._supports(number)])
        known = self._insist(lambda c: c.condition(condition))
        classes = {one["name"]: one["id"] for one in known["classes"]}
        for scan in self._insist(lambda c: c.scans(condition)):
            wanted = classes[scan["hint"]]
            self._insist(lambda c, s=scan["id"], w=wanted: c.label(s, w))
            self.ledger.labels[scan["id"]] = wanted
        job = self._insist(lambda c: c.adapt(condition))
        self.ledger.adaptations.append(job)
        self._over(job)
        self._import(condition, "case", [("new.dcm", self._case(number))])
        case = self._read(condition)
        self._insist(lambda c: c.verdict(case, "agree"))
        self.ledger.verdicts[case] = "agree"

    def _condition(self, title: str) -> str:
        """Make it; where the answer was lost, it may be there already."""

        def made(client: Clinician) -> str:
            for one in client.conditions():
                if one["draft"]["title"] == title:
                    return str(one["id"])
            return str(client.create(title, CLASSES)["id"])

        return self._insist(made)

    def _import(self, condition: str, role: str, files: list[tuple[str, Path]]) -> None:
        while True:
            job = self._insist(lambda c: c.begin_import(condition, role))
            try:
                self._client.send(job, files)
                self._client.commit(job)
            except (httpx.TransportError, Refused) as error:
                if isinstance(error, Refused) and error.status not in (401, 404, 422, 502, 503):
                    raise
                # The answer was lost: ask whether the import stands, and begin again only if it does not.
                if not self._stands(job):
                    continue
            self.ledger.imports[job] = len(files)
            self._over(job)
            return

    def _over(self, job: str) -> None:
        """Wait for a job.

        Raises:
            RuntimeError: it failed.
        """
        end = time.monotonic() + _LONGEST
        while time.monotonic() < end:
            found = self._insist(lambda c: c.job(job))
            if found["state"] == "done":
                return
            if found["state"] in ("failed", "cancelled"):
                raise RuntimeError(f"the job {found['state']}: {found['error']}")
            time.sleep(0.1)
        raise RuntimeError(f"the job was not over in {_LONGEST:.0f} s: {found}")

    def _stands(self, job: str) -> bool:
        try:
            return bool(self._insist(lambda c: c.job(job)))
        except Refused as error:
            if error.status == 404:
                return False
            raise

    def _read(self, condition: str) -> str:
        end = time.monotonic() + _LONGEST
        while time.monotonic() < end:
            cases = self._insist(lambda c: c.cases(condition))
            if cases and cases[0]["reading"] is not None:
                return str(cases[0]["scan"]["id"])
            time.sleep(0.2)
        raise RuntimeError("the case was not read")

    def _supports(self, number: int) -> list[Path]:
        shift = number % 3
        return [
            p for name in CLASSES for p in sorted((self._files / name).iterdir())[shift : shift + _PATIENTS]
        ]

    def _case(self, number: int) -> Path:
        return sorted((self._files / CLASSES[number % 2]).iterdir())[-1]


def check(folder: Path, ledger: Ledger) -> list[str]:
    """What was lost or done twice, one line each.

    Args:
        folder: data directory of a site that is stopped.
        ledger: what was acknowledged.
    """
    wrong: list[str] = []
    with sqlite3.connect(f"file:{folder / 'workbench.sqlite3'}?mode=ro", uri=True) as database:
        ask = database.execute
        if ask("PRAGMA integrity_check").fetchone()[0] != "ok":
            wrong.append("the database fails its integrity check")
        states = dict(ask("SELECT id, state FROM jobs").fetchall())
        imported = dict(ask("SELECT batch, COUNT(*) FROM scans GROUP BY batch").fetchall())
        for job, files in ledger.imports.items():
            if states.get(job) != "done":
                wrong.append(f"import {job}: {states.get(job, 'lost')}")
            elif imported.get(job, 0) != files:
                wrong.append(f"import {job}: {imported.get(job, 0)} scans of {files} files")
        made = Counter(job for (job,) in ask("SELECT job_id FROM versions"))
        for job in ledger.adaptations:
            if states.get(job) != "done" or made[job] != 1:
                wrong.append(f"adaptation {job}: {states.get(job, 'lost')}, {made[job]} versions")
        current = dict(ask("SELECT scan_id, class_id FROM labels ORDER BY id").fetchall())
        wrong += [f"label of {s}: {current.get(s)}" for s, c in ledger.labels.items() if current.get(s) != c]
        said = dict(ask("SELECT scan_id, value FROM opinions WHERE kind = 'verdict' ORDER BY id").fetchall())
        wrong += [f"verdict on {s} is lost" for s, v in ledger.verdicts.items() if said.get(s) != v]
        twice = ask(
            "SELECT condition_id, copy FROM scans WHERE removed IS NULL GROUP BY condition_id, copy, role"
            " HAVING COUNT(*) > 1"
        ).fetchall()
        wrong += [f"scan stored twice in condition {condition}" for condition, _ in twice]
    for command in (["store", "check"], ["audit", "verify"]):
        done = subprocess.run(
            [sys.executable, "-m", "workbench.cli", *command, "--data-dir", str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            wrong.append(f"workbench {' '.join(command)}: {done.stdout.strip()} {done.stderr.strip()}")
    return wrong


def run(
    folder: Path, kills: int, seed: int, weights: str = "general"
) -> tuple[Ledger, Counter[str], list[str]]:
    """Walk and kill.

    Args:
        folder: empty; the site's data directory and its log are made in it.
        kills: how often.
        seed: of moments and ways.
        weights: to adapt with.

    Returns:
        what was acknowledged, how often each way of killing was used, and what is wrong.
    """
    chance, ways = random.Random(seed), Counter[str]()
    write_phantoms(folder / "phantoms", _PATIENTS + 3, seed=seed)
    site, stop = Site(folder / "data", folder / "site.log", weights=weights), threading.Event()
    site.start()
    walker = Walker(site.address, folder / "phantoms", stop)
    thread = threading.Thread(target=walker.run, daemon=True)
    thread.start()
    for number in range(1, kills + 1):
        _wait(walker, walker.answers + chance.randint(1, _ANSWERS))
        time.sleep(chance.uniform(0.0, 0.5))
        if walker.error is not None:
            break
        way = chance.choice(WAYS)
        if way == "one worker" and not site.kill_a_worker():
            way = "server and workers"
        if way != "one worker":
            site.kill(only_server=way == "server alone")
            site.start()
        ways[way] += 1
        print(f"  kill {number} of {kills}: {way}; walks finished: {walker.ledger.walks}", flush=True)
    stop.set()
    thread.join(timeout=300)
    site.stop()
    wrong = check(folder / "data", walker.ledger)
    if walker.error is not None:
        wrong.append(f"the walk failed: {walker.error!r}")
    if thread.is_alive():
        wrong.append("the last walk did not finish")
    return walker.ledger, ways, wrong


def _wait(walker: Walker, answers: int) -> None:
    """Until the walker has had so many answers, or has failed, or has had none for too long."""
    end = time.monotonic() + _LONGEST
    while walker.answers < answers and walker.error is None and time.monotonic() < end:
        time.sleep(0.02)


def render(ledger: Ledger, ways: Counter[str], wrong: list[str], seed: int) -> str:
    """The page."""
    table = "\n".join(f"| {way} | {ways[way]} |" for way in WAYS)
    found = "\n".join(f"- {line}" for line in wrong) or "Nothing was lost and nothing was done twice."
    return f"""# Killed in the middle

Made by `python -m benchmarks.kill --kills {ways.total()} --seed {seed}`. {NOTICE}

A clinician walks from a new condition to a verdict again and again (define, upload ten scans, label each,
adapt, read a case, agree) while processes get SIGKILL at random moments and the site is started again.

| killed | times |
|---|---|
{table}

Acknowledged on the way: {len(ledger.imports)} uploads with {sum(ledger.imports.values())} files,
{len(ledger.labels)} labels, {len(ledger.adaptations)} adaptations and {len(ledger.verdicts)} verdicts in
{ledger.walks} finished walks.

Checked at the end: each acknowledged upload has all its scans once, each label and verdict stands, each
adaptation made one version, no scan is stored twice, `PRAGMA integrity_check`, `workbench store check` and
`workbench audit verify`.

{found}
"""


def main() -> None:
    """See the module's description."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="the page to write; it is printed in any case")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="workbench-kill-") as folder:
        ledger, ways, wrong = run(Path(folder), given.kills, given.seed)
    page = render(ledger, ways, wrong, given.seed)
    print(page)
    if given.out is not None:
        given.out.write_text(page, encoding="utf-8")
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
