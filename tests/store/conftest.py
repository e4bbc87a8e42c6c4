"""Every test here that asks for `store` or `database_url` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

DATABASES = [pytest.param("sqlite", id="sqlite"), pytest.param("postgresql", id="postgresql")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        metafunc.parametrize("database_url", DATABASES, indirect=True)
