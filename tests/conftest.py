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
