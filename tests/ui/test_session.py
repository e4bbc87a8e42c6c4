from __future__ import annotations

from pathlib import Path

import numpy as np

from ui.former.session import IDLE_SECONDS, MAX_SESSIONS, Sessions
from workbench.imaging import read_scan


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_sessions_are_bounded_and_the_longest_idle_makes_room(tmp_path: Path) -> None:
    clock = Clock()
    sessions = Sessions(tmp_path, clock)
    keys = []
    for number in range(MAX_SESSIONS):
        clock.now = float(number)
        keys.append(sessions.new().key)
    clock.now += 1
    assert sessions.find(keys[0]) is not None  # the first was used again, so the second is idle longest
    clock.now += 1
    sessions.new()
    assert len(sessions) == MAX_SESSIONS
    assert sessions.find(keys[0]) is not None
    assert sessions.find(keys[1]) is None


def test_an_idle_session_ends_with_its_files(tmp_path: Path, phantoms: Path) -> None:
    clock = Clock()
    sessions = Sessions(tmp_path / "sessions", clock)
    session = sessions.new()
    session.hold(read_scan(next((phantoms / "smooth").iterdir())))
    assert session.folder.stat().st_mode & 0o077 == 0
    assert any(session.folder.rglob("*.npy"))
    clock.now = IDLE_SECONDS + 1
    assert sessions.find(session.key) is None
    assert not session.folder.exists()


def test_an_unknown_id_finds_nothing(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    sessions.new()
    assert sessions.find(None) is None
    assert sessions.find("") is None
    assert sessions.find("guess") is None


def test_held_pixels_are_the_scans_own(tmp_path: Path, phantoms: Path) -> None:
    session = Sessions(tmp_path).new()
    scan = read_scan(next((phantoms / "smooth").iterdir()))
    held = session.hold(scan)
    assert isinstance(held.pixels, np.memmap)
    np.testing.assert_array_equal(held.pixels, scan.pixels)
    assert held.patient == scan.patient
