"""Fixtures of the reader tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def private_patient_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Patient keys of these tests come from a secret of their own, not from the user's."""
    path = tmp_path_factory.mktemp("key") / "patient.key"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_KEY_FILE", str(path))
        yield path
