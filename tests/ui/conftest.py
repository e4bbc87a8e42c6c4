"""A tiny untrained learner, scans on disk, and a served page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from argon2 import PasswordHasher
from PIL import Image

from ui.serving import Serving
from workbench.imaging.phantom import write_phantoms
from workbench.service import accounts
from workbench.service.accounts import passwords
from workbench.service.kinds import Role

from .people import PASSWORD, Person, signed_in
from .serve import Served, served


@pytest.fixture(autouse=True)
def _private_patient_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_KEY_FILE", str(tmp_path_factory.getbasetemp() / "patient.key"))


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> None:
    """Argon2id as ever, with less of it: the tests sign in hundreds of times."""
    passwords._HASHER = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of DICOM phantoms, six patients each."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 6, seed=3)
    return folder


@pytest.fixture(scope="session")
def condition(tmp_path_factory: pytest.TempPathFactory, phantoms: Path) -> dict[str, list[Path]]:
    """A real two-class condition where its files are at hand, phantoms otherwise; 12 scans of each class."""
    beside = Path(os.environ.get("WORKBENCH_SHARED", Path(__file__).parents[3] / "shared"))
    knees = beside / "data" / "knee_osteoporosis"
    if knees.is_dir():
        return {name: sorted((knees / name).iterdir())[:12] for name in ("osteoporosis", "normal")}
    drawn = tmp_path_factory.mktemp("condition")
    write_phantoms(drawn, 12, seed=5)
    return {name: sorted((drawn / name).iterdir()) for name in ("smooth", "spiculated")}


@pytest.fixture(scope="session")
def new_png(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that no other test uses."""
    pixels = np.random.default_rng(9).integers(0, 255, (96, 80), dtype=np.uint8)
    path = tmp_path_factory.mktemp("new") / "unseen.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def address(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is served, without login, with one worker."""
    os.environ.setdefault("WORKBENCH_KEY_FILE", str(tmp_path_factory.getbasetemp() / "patient.key"))
    with served(tmp_path_factory.mktemp("site") / "data", Serving(weights=weights, workers=1)) as site:
        yield site.address


@pytest.fixture(scope="session")
def department(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page that three people sign in to: ada is an administrator, ben an editor, cy a reader."""
    os.environ.setdefault("WORKBENCH_KEY_FILE", str(tmp_path_factory.getbasetemp() / "patient.key"))
    serving = Serving(weights=weights, workers=1, login=True)
    with served(tmp_path_factory.mktemp("department") / "data", serving) as site:
        for name, role in (("ada", Role.ADMIN), ("ben", Role.EDITOR), ("cy", Role.READER)):
            accounts.create_user(site.store, accounts.CONSOLE, name, role, PASSWORD)
        yield site


@pytest.fixture
def ada(department: Served) -> Iterator[Person]:
    """An administrator."""
    with signed_in(department.address, "ada") as person:
        yield person


@pytest.fixture
def ben(department: Served) -> Iterator[Person]:
    """An editor."""
    with signed_in(department.address, "ben") as person:
        yield person
