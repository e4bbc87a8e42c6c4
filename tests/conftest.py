"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("WORKBENCH_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip("no folder of real data beside the checkout (set WORKBENCH_SHARED to point at one)")
    return folder


@pytest.fixture
def private_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Patient key and cache of this test's own; nothing of the user's is read or written."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("WORKBENCH_KEY_FILE", str(home / "patient.key"))
    monkeypatch.setenv("WORKBENCH_CACHE", str(home / "cache"))
    for name in ("WORKBENCH_DATA", "WORKBENCH_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    return home
