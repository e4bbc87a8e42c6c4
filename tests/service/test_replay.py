"""A bundle does again what was done, and one that was touched is refused."""

from __future__ import annotations

import io
import json
import re
import shutil
import stat
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from tests.service.conftest import done, person
from tests.service.made import adapted
from workbench.cli import app
from workbench.errors import BundleError
from workbench.service import artefacts, exporting
from workbench.service.engine import Engine
from workbench.service.exporting import Export
from workbench.service.handlers import handlers
from workbench.service.replay import replay
from workbench.service.seal import KEY_FILE, MANIFEST, SIGNATURE, site_key, write_sealed
from workbench.store import jobs, loop
from workbench.store.database import Store

pytestmark = pytest.mark.usefixtures("private_home")


@pytest.fixture(scope="module")
def bundle(phantoms: Path, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two labelled patients of each class and one case of each."""
    folder = tmp_path_factory.mktemp("bundle")
    store = Store.open(folder / "data")
    ada = person(store, "ada")

    def run_jobs() -> int:
        while (claim := jobs.claim(store, "test", threading.Event())) is not None:
            loop.do(store, handlers(engine), claim)
        return 0

    condition = adapted(store, ada, phantoms, run_jobs, labelled=2, cases=1)
    job = exporting.start(store, ada, condition.id, Export.BUNDLE)
    run_jobs()
    done(store, ada, job)
    assert stat.S_IMODE((store.data_dir / KEY_FILE).stat().st_mode) == 0o600
    (one,) = artefacts.of_condition(store, ada, condition.id, job_id=job.id)
    made = Path(shutil.copy(artefacts.taken(store, ada, one.id)[1], folder / "bundle.zip"))
    store.close()
    return made


def contents(bundle: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def resigned(path: Path, members: dict[str, bytes]) -> Path:
    """A bundle that somebody else made and signed: its signature holds."""
    path.unlink(missing_ok=True)
    rest = ((name, content) for name, content in members.items() if name not in (MANIFEST, SIGNATURE))
    write_sealed(path, rest, Ed25519PrivateKey.generate())
    return path


def test_the_same_machine_gives_the_same_bits(bundle: Path, weights: Path) -> None:
    found = replay(bundle, weights, tolerance=0.0)
    assert (found.cases, found.largest, found.other) == (2, 0.0, ())
    assert found.same_input
    assert found.agrees
    again = replay(bundle, weights, key=found.fingerprint[:16])
    assert again.fingerprint == found.fingerprint
    with pytest.raises(BundleError, match="signed by another key"):
        replay(bundle, weights, key="0" * 16)


def test_the_command_says_what_came_of_it(bundle: Path, weights: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["replay", str(bundle), "--weights", str(weights), "--tolerance", "0"])
    assert run.exit_code == 0, run.output
    assert "largest difference of a probability 0 (tolerance 0)" in run.output
    assert "Agrees. For research use." in run.output
    members = contents(bundle)
    readings = json.loads(members["readings.json"])
    readings[0]["probabilities"] = [
        p + d for p, d in zip(readings[0]["probabilities"], (0.01, -0.01), strict=True)
    ]
    members["readings.json"] = json.dumps(readings).encode()
    run = CliRunner().invoke(
        app, ["replay", str(resigned(tmp_path / "other.zip", members)), "--weights", str(weights)]
    )
    assert run.exit_code == 1
    assert "0.01 (tolerance 0.0001)" in run.output
    assert "DOES NOT AGREE" in run.output
    run = CliRunner().invoke(app, ["replay", str(weights), "--weights", str(weights)])
    assert run.exit_code == 2


def test_no_member_can_be_changed_left_out_or_added(bundle: Path, weights: Path, tmp_path: Path) -> None:
    members = contents(bundle)
    assert {re.sub(r"\d{6}", "N", name) for name in members} == {
        *("readme.txt", "plan.json", "readings.json", "model.safetensors", MANIFEST, SIGNATURE),
        *("support/N.safetensors", "cases/N.safetensors"),
    }
    for name, content in members.items():
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 1
        with pytest.raises(BundleError):
            replay(rewritten(tmp_path / "changed.zip", members | {name: bytes(changed)}), weights)
        with pytest.raises(BundleError):
            replay(rewritten(tmp_path / "longer.zip", members | {name: content + b"0"}), weights)
        without = {other: content for other, content in members.items() if other != name}
        with pytest.raises(BundleError):
            replay(rewritten(tmp_path / "without.zip", without), weights)
    for added in ("cases/999999.safetensors", "../evil", "/etc/evil", "cases/../../evil", "a.pkl"):
        with pytest.raises(BundleError, match="added after signing"):
            replay(rewritten(tmp_path / "added.zip", members | {added: b"x"}), weights)
    swapped = members | {
        "cases/000001.safetensors": members["cases/000002.safetensors"],
        "cases/000002.safetensors": members["cases/000001.safetensors"],
    }
    with pytest.raises(BundleError, match="changed after signing"):
        replay(rewritten(tmp_path / "swapped.zip", swapped), weights)


Change = Callable[[dict[str, bytes]], dict[str, bytes]]


def _plan(**changes: object) -> Change:
    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        return members | {"plan.json": json.dumps(json.loads(members["plan.json"]) | changes).encode()}

    return change


def _taught(file: str) -> Change:
    return _plan(support=[{"file": file, "number": 1, "label": "smooth", "patient": "a"}])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            _plan(support=[{"file": "../../../etc/passwd", "number": 1, "label": "smooth", "patient": "a"}]),
            "not in it",
        ),
        (
            _plan(support=[{"file": "/etc/passwd", "number": 1, "label": "smooth", "patient": "a"}]),
            "not in it",
        ),
        (_plan(classes=["smooth", "other"]), "different things"),
        (_plan(weights_sha256="0" * 64), "different things"),
        (_plan(threads="many"), "not of this version's form"),
        (lambda m: m | {"readings.json": b"{}"}, "not of this version's form"),
        (lambda m: m | {"readings.json": b"[" * 100_000}, "damaged"),
        (lambda m: m | {"plan.json": b"\xff"}, "damaged"),
        (lambda m: m | {"cases/000001.safetensors": b"\x80\x04cos\nsystem\n."}, "damaged"),
        (lambda m: {k: v for k, v in m.items() if k != "plan.json"}, "missing"),
    ],
)
def test_a_hostile_bundle_with_a_good_signature_is_refused(
    bundle: Path, weights: Path, tmp_path: Path, change: Change, said: str
) -> None:
    with pytest.raises(BundleError, match=said):
        replay(resigned(tmp_path / "hostile.zip", change(contents(bundle))), weights)


def test_an_archive_that_grows_is_refused_before_it_does(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b" " * (40 * 2**20))
        archive.writestr(SIGNATURE, b"0" * 64)
    (tmp_path / "bomb.zip").write_bytes(buffer.getvalue())
    with pytest.raises(BundleError, match="too large"):
        replay(tmp_path / "bomb.zip")
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(BundleError, match="damaged or no bundle"):
        replay(tmp_path / "no.zip")


def test_nobody_can_sign_in_the_sites_name(store: Store) -> None:
    first, second = site_key(store.data_dir), site_key(store.data_dir)
    assert first.private_bytes_raw() == second.private_bytes_raw()
    assert [path.name for path in store.data_dir.iterdir() if path.name.startswith(KEY_FILE)] == [KEY_FILE]
