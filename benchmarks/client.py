"""A clinician without hands: walks the workbench over its HTTP API, as an integrator would.

Used by `benchmarks.clinicians` (many at once) and `benchmarks.kill` (the server is killed under them).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
_GUARD = {"X-Workbench": "1"}
_TICK = 0.1


class Refused(Exception):
    """The server answered, and the answer was no; `status` and `said` tell why."""

    def __init__(self, status: int, said: str) -> None:
        self.status, self.said = status, said
        super().__init__(f"{status}: {said}")


@dataclass
class Stopwatch:
    """Seconds by what was waited for."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def take(self, name: str, task: Callable[[], T]) -> T:
        """Run a task and note how long it took."""
        begun = time.perf_counter()
        value = task()
        self.seconds.setdefault(name, []).append(time.perf_counter() - begun)
        return value


class Clinician:
    """One signed-in person.

    Args:
        address: ``http://host:port``.
        patience: seconds for one answer.
    """

    def __init__(self, address: str, patience: float = 60.0) -> None:
        self._web = httpx.Client(base_url=address, timeout=patience, headers=_GUARD, follow_redirects=True)

    def close(self) -> None:
        """Hang up."""
        self._web.close()

    def enter(self) -> None:
        """Open the page, which gives a run without login its cookie."""
        self._answer("GET", "/")

    def sign_in(self, name: str, password: str) -> None:
        """By the form that people fill in."""
        answer = self._web.post("/login", data={"name": name, "password": password})
        if answer.status_code >= 400:
            raise Refused(answer.status_code, answer.text)

    def page(self) -> int:
        """Open the page with what it loads first; the number of bytes."""
        sizes = [len(self._answer("GET", path).content) for path in ("/", "/config", "/theme.css")]
        return sum(sizes)

    def conditions(self) -> list[dict[str, Any]]:
        """The worklist."""
        found: list[dict[str, Any]] = self._json("GET", "/api/v1/conditions")
        return found

    def create(self, title: str, classes: Sequence[str]) -> dict[str, Any]:
        """Define a condition."""
        return self._json("POST", "/api/v1/conditions", json={"title": title, "classes": list(classes)})

    def condition(self, condition: str) -> dict[str, Any]:
        """How it stands."""
        return self._json("GET", f"/api/v1/conditions/{condition}")

    def begin_import(self, condition: str, role: str) -> str:
        """Reserve an import."""
        return str(self._json("POST", f"/api/v1/conditions/{condition}/imports", json={"role": role})["job"])

    def send(self, job: str, files: Sequence[tuple[str, Path]]) -> None:
        """Upload files under the names given; the folder of a name is a hint for its label."""
        parts = [("file", (name, path.read_bytes(), "application/octet-stream")) for name, path in files]
        self._json("POST", f"/api/v1/imports/{job}/files", files=parts)

    def commit(self, job: str) -> dict[str, Any]:
        """From here on the upload is acknowledged."""
        return self._json("POST", f"/api/v1/imports/{job}/commit", json={})

    def upload(self, condition: str, role: str, files: Sequence[tuple[str, Path]]) -> str:
        """All three steps; the job's identifier."""
        job = self.begin_import(condition, role)
        self.send(job, files)
        self.commit(job)
        return job

    def scans(self, condition: str, role: str = "support") -> list[dict[str, Any]]:
        """Of a condition."""
        found: list[dict[str, Any]] = self._json(
            "GET", f"/api/v1/conditions/{condition}/scans", params={"role": role}
        )
        return found

    def label(self, scan: str, class_id: str) -> None:
        """Label one scan."""
        self._json("PUT", f"/api/v1/scans/{scan}/label", json={"class_id": class_id})

    def adapt(self, condition: str) -> str:
        """Ask for an adaptation; the job's identifier."""
        return str(self._json("POST", f"/api/v1/conditions/{condition}/adapt", json={})["id"])

    def versions(self, condition: str) -> list[dict[str, Any]]:
        """Newest first."""
        found: list[dict[str, Any]] = self._json("GET", f"/api/v1/conditions/{condition}/versions")
        return found

    def cases(self, condition: str) -> list[dict[str, Any]]:
        """With their readings."""
        found: list[dict[str, Any]] = self._json("GET", f"/api/v1/conditions/{condition}/cases")
        return found

    def verdict(self, scan: str, value: str) -> None:
        """Agree, disagree or unsure."""
        self._json("PUT", f"/api/v1/scans/{scan}/verdict", json={"verdict": value})

    def look(self, scan: str, number: int = 0) -> int:
        """Fetch a slice as the viewer does; the number of bytes."""
        return len(self._answer("GET", f"/files/slice/{scan}/{number}").content)

    def preview(self, scan: str) -> int:
        """Fetch a thumbnail."""
        return len(self._answer("GET", f"/files/preview/{scan}").content)

    def job(self, job: str) -> dict[str, Any]:
        """How a job stands."""
        return self._json("GET", f"/api/v1/jobs/{job}")

    def wait(self, job: str, seconds: float = 300.0) -> dict[str, Any]:
        """Until a job is over.

        Raises:
            Refused: it failed, was cancelled, or is not over in time.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.job(job)
            if found["state"] == "done":
                return found
            if found["state"] in ("failed", "cancelled"):
                raise Refused(500, f"the job {found['state']}: {found['error']}")
            time.sleep(_TICK)
        raise Refused(504, f"the job was not over in {seconds:.0f} s")

    def _answer(self, method: str, path: str, **given: Any) -> httpx.Response:
        answer = self._web.request(method, path, **given)
        if answer.status_code >= 400:
            raise Refused(answer.status_code, answer.text[:300])
        return answer

    def _json(self, method: str, path: str, **given: Any) -> Any:
        answer = self._answer(method, path, **given)
        return answer.json() if answer.content else {}
