"""People who use a served page by HTTP, each with cookies of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in.

    Attributes:
        http: sends the cookie, and the header that changes need.
    """

    http: httpx.Client

    def ask(self, method: str, path: str, **given: Any) -> Any:
        """The answer's JSON; an error fails the test with what was said."""
        answer = self.http.request(method, path, **given)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def done(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        """The job, once it is over."""
        until = time.monotonic() + seconds
        while True:
            job: dict[str, Any] = self.ask("GET", f"/api/v1/jobs/{job_id}")
            if job["state"] in ("done", "failed", "cancelled") or time.monotonic() > until:
                return job
            time.sleep(0.1)

    def condition(self, *classes: str, title: str = "A condition") -> str:
        """A new condition's identifier."""
        body = {"title": title, **({"classes": list(classes)} if classes else {})}
        return str(self.ask("POST", "/api/v1/conditions", json=body)["id"])

    def bring(
        self, condition_id: str, files: list[tuple[str, bytes]], role: str = "support"
    ) -> dict[str, Any]:
        """Import files, given as name and content; the finished job."""
        job = self.ask("POST", f"/api/v1/conditions/{condition_id}/imports", json={"role": role})["job"]
        self.ask("POST", f"/api/v1/imports/{job}/files", files=[("file", one) for one in files])
        self.ask("POST", f"/api/v1/imports/{job}/commit", json={})
        return self.done(job)


def client(address: str, **given: Any) -> httpx.Client:
    """Somebody who is not signed in."""
    return httpx.Client(base_url=address, timeout=60, **given)


@contextmanager
def signed_in(address: str, name: str, password: str = PASSWORD, **given: Any) -> Iterator[Person]:
    """Signs in by the form, as a browser does."""
    with client(address, **given) as http:
        answer = http.post("/login", data={"name": name, "password": password}, headers={"Origin": address})
        assert answer.status_code == 303, answer.text
        http.headers["X-Workbench"] = "1"
        yield Person(http)


def contents(folder: Path) -> list[tuple[str, bytes]]:
    """The files of a folder, named by their path below it."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in found]


def files_that_hold(text: str, folder: Path) -> list[str]:
    """Names of the files below a folder that hold a text.

    Another process reads them: to close a file of SQLite's here would drop the locks that the server, in this
    process, holds on it, and a worker that starts then would take away what the server uses.
    """
    code = (
        "import pathlib, sys\n"
        "for path in pathlib.Path(sys.argv[1]).rglob('*'):\n"
        "    if path.is_file() and sys.argv[2].encode() in path.read_bytes():\n"
        "        print(path.name)\n"
    )
    call = [sys.executable, "-c", code, str(folder), text]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout.splitlines()
