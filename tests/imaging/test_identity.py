"""Patient keys: stable, keyed, private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.imaging.identity import patient_key


def test_keys_are_stable_and_differ_between_patients_and_installations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    for name in ("one", "two"):
        monkeypatch.setenv("WORKBENCH_KEY_FILE", str(tmp_path / name / "patient.key"))
        assert patient_key("12345") == patient_key(" 12345 ")
        assert patient_key("12345") != patient_key("12346")
        keys.append(patient_key("12345"))
    assert keys[0] != keys[1]
    assert all(len(key) == 20 and "12345" not in key for key in keys)


def test_the_secret_is_private_and_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "patient.key"
    monkeypatch.setenv("WORKBENCH_KEY_FILE", str(path))
    patient_key("a")
    secret = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    patient_key("b")
    assert path.read_bytes() == secret
    assert list(path.parent.iterdir()) == [path]


def test_a_damaged_secret_is_an_error_with_a_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "patient.key"
    path.write_bytes(b"short")
    monkeypatch.setenv("WORKBENCH_KEY_FILE", str(path))
    with pytest.raises(WorkbenchError, match="Restore"):
        patient_key("a")
