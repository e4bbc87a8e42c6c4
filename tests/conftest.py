"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores import database_url, postgres_server, sqlite_store, store  # noqa: F401 - fixtures
from tests.untrained import weights  # noqa: F401 - a fixture

PRIVATE = {"WORKBENCH_KEY_FILE": "patient.key", "WORKBENCH_CACHE": "cache"}
"""Variables that name a place of the user's own, and what stands for it in tests."""


def pytest_configure(config: pytest.Config) -> None:
    """Before anything of the user's could be read or written, by tests or by what they start."""
    home = tempfile.TemporaryDirectory(prefix="workbench-tests-")
    config.add_cleanup(home.cleanup)
    _settle(Path(home.name), pytest.MonkeyPatch())


def _settle(home: Path, patch: pytest.MonkeyPatch) -> None:
    for name, file in PRIVATE.items():
        patch.setenv(name, str(home / file))
    for name in ("WORKBENCH_DATA", "WORKBENCH_WEIGHTS"):
        patch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _nothing_of_the_users() -> Iterator[None]:
    """A test that takes the private places away would let the next one write into the user's."""
    yield
    lost = [name for name in PRIVATE if name not in os.environ]
    assert not lost, f"the test removed {', '.join(lost)}; use monkeypatch"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("WORKBENCH_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip("no folder of real data beside the checkout (set WORKBENCH_SHARED to point at one)")
    return folder


@pytest.fixture
def private_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Patient key and cache of this test's own, empty at its start."""
    home = tmp_path_factory.mktemp("home")
    _settle(home, monkeypatch)
    return home
