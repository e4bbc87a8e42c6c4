"""What one browser is working on: held on the server, named in the browser by an opaque cookie only.

`Sessions` hands them out, bounded in number and in idle time. Pixels of scans live as memory-mapped files
in the session's own private folder, so that a browser full of volumes does not fill the memory. A session
is changed by `ui.work` only, under its lock.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from workbench.adaptation.estimate import Estimate
from workbench.adaptation.model import AdaptedModel
from workbench.adaptation.saliency import SaliencyMap
from workbench.adaptation.support_quality import SupportFindings
from workbench.errors import ScanRefused
from workbench.imaging.scan import Finding, Scan
from workbench.learners import CaseReading

MAX_SESSIONS = 24
IDLE_SECONDS = 8 * 3600.0
MIN_CLASSES, MAX_CLASSES = 2, 6
DEFAULT_TITLE = "New condition"
DEFAULT_CLASSES = ("condition", "no condition")


@dataclass(frozen=True, slots=True, eq=False)
class HeldScan:
    """A scan that was dropped on the page.

    Attributes:
        key: opaque name of it in the page.
        scan: its pixels are mapped from the session's folder.
        identity: keyed hash of the pixels; equal for copies.
        patient: pseudonymous key; the identity where the file names no patient.
        findings: of reading the file and of turning it into the model's input.
        picture: thumbnail as a data URI.
        beside: findings from comparing it with the other labelled scans.
    """

    key: str
    scan: Scan
    identity: str
    patient: str
    findings: tuple[Finding, ...]
    picture: str
    beside: tuple[Finding, ...] = ()

    @property
    def shown(self) -> tuple[Finding, ...]:
        """Everything to be said about it among the labelled scans."""
        return self.findings + self.beside


@dataclass(slots=True)
class Tray:
    """The labelled scans of one class, and the files that were refused for it."""

    name: str
    scans: list[HeldScan] = field(default_factory=list)
    refused: list[ScanRefused] = field(default_factory=list)

    @property
    def patients(self) -> int:
        """Number of different patients: the shots of the class."""
        return len({held.patient for held in self.scans})


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """A classifier with everything the page says about it.

    Attributes:
        model: the classifier and its record.
        scans: the labelled scans in the support's order.
        estimate: leave-one-patient-out.
        doubtful: what is doubtful about the labelled scans.
        odd: what the encoder finds about each labelled scan; see `workbench.adaptation.similar`.
    """

    model: AdaptedModel
    scans: tuple[HeldScan, ...]
    estimate: Estimate
    doubtful: SupportFindings
    odd: tuple[tuple[Finding, ...], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A new scan and its reading.

    Attributes:
        held: the scan.
        reading: by the classifier of the moment.
        window: (centre, width) it is looked at with, None for the default.
        slice_index: slice it is looked at.
        compared: row in the support of the labelled scan shown beside it, or None.
        caution: one sentence when the reading should not be trusted as a new case, or empty.
        evidence: where the evidence for the class read lies; None until somebody asks.
    """

    held: HeldScan
    reading: CaseReading
    window: tuple[float, float] | None = None
    slice_index: int = 0
    compared: int | None = None
    caution: str = ""
    evidence: SaliencyMap | None = None


class Session:
    """State of one browser.

    Args:
        key: the opaque id in its cookie.
        folder: private to the session; made when first needed, removed when it ends.
    """

    def __init__(self, key: str, folder: Path) -> None:
        self.key = key
        self.folder = folder
        self.lock = threading.RLock()
        self.touched = time.monotonic()
        self.uploads: dict[str, Path] = {}
        self.clear()

    def clear(self) -> None:
        """Begin again with an unnamed condition."""
        self.step = 0
        self.title = ""
        self.note = ""
        self.offered: dict[Path, str] = {}  # new scans of the demonstration, not read yet, and their classes
        self.truth: dict[str, str] = {}  # of the demonstration's scans, by identity
        self.trays = [Tray(name) for name in DEFAULT_CLASSES]
        self.method = ""
        self.adapted: Adapted | None = None
        self.cases: list[Case] = []
        self.refused_cases: list[ScanRefused] = []
        self.selected = 0
        self.notice = ""
        shutil.rmtree(self.folder / "pixels", ignore_errors=True)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their trays."""
        return tuple(tray.name for tray in self.trays)

    @property
    def case(self) -> Case | None:
        """The case being read."""
        return self.cases[self.selected] if self.selected < len(self.cases) else None

    def private(self, name: str) -> Path:
        """A sub-folder of the session's own, made with no rights for anybody else."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self.folder / name
        place.mkdir(mode=0o700, exist_ok=True)
        return place

    def hold(self, scan: Scan) -> Scan:
        """The scan with its pixels moved to a mapped file in the session's folder."""
        path = self.private("pixels") / f"{secrets.token_hex(12)}.npy"
        np.save(path, scan.pixels)
        return replace(scan, pixels=np.load(path, mmap_mode="r"))

    def outdate(self) -> None:
        """Drop the classifier, because the labelled scans changed; new scans wait to be read again."""
        self.adapted = None


class Sessions:
    """Hands out sessions by their opaque id.

    Args:
        root: private folder under which each session has its own.
        clock: seconds, monotonic.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._held: dict[str, Session] = {}
        self._lock = threading.Lock()

    def new(self) -> Session:
        """A new session; the one idle for longest makes room where there are too many."""
        with self._lock:
            self._drop_idle()
            while len(self._held) >= MAX_SESSIONS:
                self._drop(min(self._held.values(), key=lambda session: session.touched))
            key = secrets.token_urlsafe(32)
            session = Session(key, self._root / secrets.token_hex(16))
            session.touched = self._clock()
            self._held[key] = session
            return session

    def find(self, key: str | None) -> Session | None:
        """The session of that id, unless it never was or has ended."""
        with self._lock:
            self._drop_idle()
            session = self._held.get(key or "")
            if session is not None:
                session.touched = self._clock()
            return session

    def close(self) -> None:
        """End every session and remove what it kept."""
        with self._lock:
            for session in list(self._held.values()):
                self._drop(session)

    def __len__(self) -> int:
        return len(self._held)

    def _drop_idle(self) -> None:
        oldest = self._clock() - IDLE_SECONDS
        for session in [s for s in self._held.values() if s.touched < oldest]:
            self._drop(session)

    def _drop(self, session: Session) -> None:
        del self._held[session.key]
        shutil.rmtree(session.folder, ignore_errors=True)
